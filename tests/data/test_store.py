"""The store: decoded once, found by content, whole after any interruption."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from lungseg.data import store as store_module
from lungseg.data.io import Radiograph
from lungseg.data.preprocess.base import Placement
from lungseg.data.preprocess.grey import Grey
from lungseg.data.preprocess.resize import Resize
from lungseg.data.sources.base import Reference, Source, SourceIndex
from lungseg.data.store import Store
from lungseg.data.table import SamplesTable
from lungseg.errors import DataError, ResourceError
from lungseg.types import Row

ROOT = Path(__file__).resolve().parents[2]


def row_of(name: str, masks: dict[str, str], source: str = "memory") -> Row:
    return Row(
        sample_id=f"{source}/{name}", subject_id=f"{source}/{name}", source=source, image=name, masks=masks,
        label=None, view=None, sex=None, age=None, spacing_mm=None, official_split=None,
    )  # fmt: skip


class MemorySource(Source):
    """Images and masks out of dicts; counts what was read, and may stop the build at the k-th image."""

    name = "memory"
    title = "memory"
    folder_names = ("memory",)
    home = "nowhere"

    def __init__(self, images: dict[str, np.ndarray], masks: dict[str, dict[str, np.ndarray]] | None = None) -> None:
        super().__init__()
        self.images = images
        self.masks = masks or {}
        self.reads: list[str] = []
        self.stop_at: int | None = None

    def expected_tree(self) -> str:
        return "nothing"

    def is_complete(self, folder: Path) -> bool:
        return True

    def find(self) -> Path:
        return Path("memory")

    def build_index(self, root: Path) -> SourceIndex:
        rows = [row_of(name, {s: s for s in self.masks.get(name, {})}, self.name) for name in self.images]
        return SourceIndex(root, rows)

    def fingerprint(self, row: Row) -> str:
        return str(row["image"])

    def read_image(self, root: Path, row: Row) -> Radiograph:
        if self.stop_at is not None and len(self.reads) == self.stop_at:
            raise KeyboardInterrupt
        self.reads.append(row["image"])
        pixels = self.images[row["image"]]
        if not pixels.size:
            msg = f"{row['image']} is broken on purpose"
            raise DataError(msg)
        return Radiograph(pixels, 8 * pixels.dtype.itemsize, False, "")

    def read_reference(self, root: Path, row: Row, structures: Sequence[str]) -> Reference:
        return Reference(np.stack([self.masks[row["image"]][s] for s in structures]), len(structures), 0, 2)


def build(folder: Path, *sources: Source, structures: Sequence[str] = (), steps=None, **options) -> Store:
    indices = [source.index() for source in sources]
    table = SamplesTable.from_rows([row for index in indices for row in index.rows])
    homes = {source.name: (source, index.root) for source, index in zip(sources, indices, strict=True)}
    return Store.build(table, homes, steps=steps or {}, structures=structures, folder=folder, **options)


def numbered(n: int, size: tuple[int, int] = (8, 8)) -> dict[str, np.ndarray]:
    return {f"{i:03d}": np.full(size, i, np.uint8) for i in range(n)}


def home_of(folder: Path) -> Path:
    (home,) = [path for path in folder.iterdir() if path.is_dir()]
    return home


class TestDecodesOnce:
    def test_a_second_build_reads_no_image(self, tmp_path):
        build(tmp_path, MemorySource(numbered(3)))
        again = MemorySource(numbered(3))
        build(tmp_path, again)
        assert again.reads == []

    def test_a_sample_added_later_is_the_only_one_read(self, tmp_path):
        build(tmp_path, MemorySource(numbered(3)))
        more = MemorySource(numbered(4))
        store = build(tmp_path, more)
        assert more.reads == ["003"]
        assert store.images([0, 1, 2, 3])[:, 0, 0].tolist() == [0, 1, 2, 3]

    def test_equal_content_is_stored_once(self, tmp_path):
        source = MemorySource(numbered(2))
        source.fingerprint = lambda row: "same"  # type: ignore[method-assign]
        store = build(tmp_path, source)
        assert len(store) == 2
        assert len(source.reads) == 1

    def test_another_recipe_gets_another_folder(self, tmp_path):
        small, large = ({"resize": Resize(size=(side, side))} for side in (8, 16))
        first = build(tmp_path, MemorySource(numbered(2)), steps=small)
        second = build(tmp_path, MemorySource(numbered(2)), steps=large)
        assert first.folder != second.folder
        assert (first.size, second.size) == ((8, 8), (16, 16))

    def test_the_recipe_is_written_down_for_people(self, tmp_path):
        store = build(tmp_path, MemorySource(numbered(1)), steps={"resize": Resize(size=(8, 8))})
        recipe = json.loads((store.folder / "recipe.json").read_text())
        assert recipe["steps"][0]["size"] == [8, 8]

    def test_progress_counts_to_the_samples_to_do(self, tmp_path):
        told: list[tuple[int, int]] = []
        build(tmp_path, MemorySource(numbered(3)), progress=lambda done, total: told.append((done, total)))
        assert told == [(1, 3), (2, 3), (3, 3)]


class FileSource(MemorySource):
    """PNG files on the disk, hashed by their bytes."""

    name = "files"

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        super().__init__({name: np.zeros(0) for name in names})
        self.folder = root

    def find(self) -> Path:
        return self.folder

    def fingerprint(self, row: Row) -> None:
        return None

    def read_image(self, root: Path, row: Row) -> Radiograph:
        self.reads.append(row["image"])
        return Source.read_image(self, root, row)


@pytest.fixture
def files(tmp_path) -> tuple[Path, list[str]]:
    """Three 8 x 8 PNG files of grey 10, 20, 30."""
    folder = tmp_path / "files"
    folder.mkdir()
    names = ["a.png", "b.png", "c.png"]
    for i, name in enumerate(names, 1):
        cv2.imwrite(str(folder / name), np.full((8, 8), 10 * i, np.uint8))
    return folder, names


class TestFiles:
    def test_a_changed_file_is_the_only_one_read_again(self, tmp_path, files):
        folder, names = files
        build(tmp_path / "store", FileSource(folder, names))
        cv2.imwrite(str(folder / "b.png"), np.full((8, 8), 99, np.uint8))
        again = FileSource(folder, names)
        store = build(tmp_path / "store", again)
        assert again.reads == ["b.png"]
        assert store.images([0, 1, 2])[:, 0, 0].tolist() == [10, 99, 30]

    def test_a_change_is_seen_though_size_and_modification_time_are_as_before(self, tmp_path, files):
        folder, names = files
        before = (folder / "b.png").stat()
        build(tmp_path / "store", FileSource(folder, names))
        cv2.imwrite(str(folder / "b.png"), np.full((8, 8), 21, np.uint8))  # one grey level: a file of the same length
        assert (folder / "b.png").stat().st_size == before.st_size
        os.utime(folder / "b.png", ns=(before.st_atime_ns, before.st_mtime_ns))
        again = FileSource(folder, names)
        store = build(tmp_path / "store", again)
        assert again.reads == ["b.png"]
        assert store.images([1])[0, 0, 0] == 21

    def test_a_file_that_was_only_touched_is_not_read_again(self, tmp_path, files):
        folder, names = files
        build(tmp_path / "store", FileSource(folder, names))
        (folder / "b.png").touch()
        again = FileSource(folder, names)
        build(tmp_path / "store", again)
        assert again.reads == []

    def test_an_unchanged_file_is_not_even_hashed_again(self, tmp_path, files, monkeypatch):
        folder, names = files
        build(tmp_path / "store", FileSource(folder, names))
        monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail(f"{self} was read"))
        build(tmp_path / "store", FileSource(folder, names))

    def test_files_that_vanished_are_named_together(self, tmp_path, files):
        folder, names = files
        source = FileSource(folder, names)
        table = SamplesTable.from_rows(source.index().rows)
        for name in names[:2]:
            (folder / name).unlink()
        with pytest.raises(DataError, match=r"2 files .* cannot be read: .*a\.png .*b\.png"):
            Store.build(table, {"files": (source, folder)}, steps={}, structures=[], folder=tmp_path / "store")


class TestInterrupted:
    def test_a_stopped_build_goes_on_with_the_rest(self, tmp_path):
        first = MemorySource(numbered(6))
        first.stop_at = 4
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path, first)
        second = MemorySource(numbered(6))
        store = build(tmp_path, second)
        assert second.reads == ["004", "005"]
        assert store.images(range(6))[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]

    def test_a_build_killed_between_two_commits_keeps_the_first(self, tmp_path, monkeypatch):
        monkeypatch.setattr(store_module, "CHUNK", 2)
        # killed: nothing runs after the fifth image, not even the writer's exit
        monkeypatch.setattr(store_module._Writer, "__exit__", lambda *_: None)
        first = MemorySource(numbered(6))
        first.stop_at = 5
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path, first)
        monkeypatch.undo()
        second = MemorySource(numbered(6))
        store = build(tmp_path, second)
        assert second.reads == ["004", "005"]  # 0-3 were committed in twos
        assert store.images(range(6))[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]

    @pytest.mark.parametrize("name", ["grey8.bin", "mask8.bin", "published.bin"])
    def test_samples_cut_off_at_a_file_s_end_are_made_again(self, tmp_path, name):
        def source() -> MemorySource:
            masks = {f"{i:03d}": {"lungs": np.eye(8, dtype=bool)} for i in range(3)}
            return MemorySource(numbered(3), masks)

        first = build(tmp_path, source(), structures=["lungs"])
        path = first.folder / name
        os.truncate(path, path.stat().st_size - 1)
        again = source()
        store = build(tmp_path, again, structures=["lungs"])
        assert again.reads == ["002"]
        assert store.images([2])[0].tolist() == np.full((8, 8), 2).tolist()
        assert store.masks([2])[0, 0].tolist() == np.eye(8).tolist()
        assert store.published(2)[0][0].tolist() == np.eye(8, dtype=bool).tolist()

    @pytest.mark.parametrize("name", ["grey8.bin", "mask8.bin", "published.bin"])
    def test_a_deleted_file_is_made_again(self, tmp_path, name):
        masks = {f"{i:03d}": {"lungs": np.ones((8, 8), bool)} for i in range(2)}
        first = build(tmp_path, MemorySource(numbered(2), masks), structures=["lungs"])
        (first.folder / name).unlink()
        again = MemorySource(numbered(2), masks)
        store = build(tmp_path, again, structures=["lungs"])
        assert again.reads == ["000", "001"]
        assert store.published(1)[0].all()

    def test_a_damaged_index_is_named_with_its_folder(self, tmp_path):
        home = build(tmp_path, MemorySource(numbered(2))).folder
        (home / "index.sqlite").write_bytes(b"this is no database at all " * 100)
        with pytest.raises(DataError, match=f"index.* is damaged .*Delete the folder {home}"):
            build(tmp_path, MemorySource(numbered(2)))

    def test_a_disk_that_sqlite_finds_full_is_no_damaged_index(self, tmp_path):
        home = build(tmp_path, MemorySource(numbered(1))).folder

        def fill() -> None:
            with store_module._index(home) as index:
                index.execute("PRAGMA max_page_count = 1")
                rows = [(str(key), bytes(1000)) for key in range(200)]
                index.executemany("INSERT INTO files VALUES (?, 0, 0, 0, 0, ?)", rows)

        with pytest.raises(ResourceError, match="full"):
            fill()

    def test_a_folder_that_cannot_be_made_is_a_lack_of_resources(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(ResourceError, match=r"cannot be written.*paths\.store"):
            build(tmp_path / "file", MemorySource(numbered(1)))

    def test_a_full_disk_keeps_what_was_committed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(store_module, "CHUNK", 2)
        written = store_module._write_at

        def full(path: Path, offset: int, data: bytes) -> None:
            if path.name == "grey8.bin" and offset >= 2 * 64:  # the third sample of 8 x 8 pixels
                raise OSError(28, "No space left on device")
            written(path, offset, data)

        monkeypatch.setattr(store_module, "_write_at", full)
        with pytest.raises(ResourceError, match="No space left"):
            build(tmp_path, MemorySource(numbered(4)))
        monkeypatch.undo()
        again = MemorySource(numbered(4))
        build(tmp_path, again)
        assert again.reads == ["002", "003"]


class TestBroken:
    def test_broken_radiographs_are_collected_and_the_good_ones_stay(self, tmp_path):
        images = numbered(9)
        images |= {name: np.zeros(0, np.uint8) for name in ("001", "002", "003", "004", "005", "006")}
        with pytest.raises(DataError, match=r"6 of 9 radiographs cannot be used: 001 .*005 .* and 1 more"):
            build(tmp_path, MemorySource(images))
        mended = MemorySource(numbered(9))
        build(tmp_path, mended)
        assert mended.reads == ["001", "002", "003", "004", "005", "006"]

    def test_images_of_different_sizes_ask_for_a_resize_step(self, tmp_path):
        images = {"a": np.zeros((8, 8), np.uint8), "b": np.zeros((8, 9), np.uint8)}
        with pytest.raises(DataError, match=r"8x8 and 8x9.*resize"):
            build(tmp_path, MemorySource(images))

    def test_a_colour_image_asks_for_a_grey_step(self, tmp_path):
        with pytest.raises(DataError, match="memory/a: the image still has 3 channels; add a grey step"):
            build(tmp_path, MemorySource({"a": np.zeros((8, 8, 3), np.uint8)}))

    def test_an_empty_table_is_refused(self, tmp_path):
        with pytest.raises(DataError, match="table is empty"):
            Store.build(SamplesTable.from_rows([]), {}, steps={}, structures=[], folder=tmp_path)


class TestDepth:
    def test_an_8_bit_sample_among_16_bit_ones_is_scaled_by_257(self, tmp_path):
        images = {"a": np.full((8, 8), 200, np.uint8), "b": np.full((8, 8), 40_000, np.uint16)}
        store = build(tmp_path, MemorySource(images))
        gathered = store.images([1, 0])
        assert gathered.dtype == np.uint16
        assert gathered[:, 0, 0].tolist() == [40_000, 51_400]  # 200 * 257

    def test_a_table_of_8_bit_samples_stays_at_8_bits_in_a_store_that_holds_others(self, tmp_path):
        build(tmp_path, MemorySource({"deep": np.full((8, 8), 40_000, np.uint16)}))
        assert build(tmp_path, MemorySource(numbered(2))).images([1]).dtype == np.uint8

    def test_a_12_bit_ramp_keeps_its_4096_levels(self, tmp_path):
        ramp = (np.arange(4096) * 65535 / 4095).round().astype(np.uint16).reshape(64, 64)
        store = build(tmp_path, MemorySource({"ramp": ramp}), steps={"grey": Grey(), "size": Resize(size=(64, 64))})
        assert len(np.unique(store.images([0]))) == 4096

    def test_masks_of_both_depths_are_gathered_in_the_order_asked_for(self, tmp_path):
        one, other = np.eye(8, dtype=bool), ~np.eye(8, dtype=bool)
        images = {"a": np.zeros((8, 8), np.uint8), "b": np.zeros((8, 8), np.uint16)}
        masks = {"a": {"lungs": one}, "b": {"lungs": other}}
        gathered = build(tmp_path, MemorySource(images, masks), structures=["lungs"]).masks([1, 0])
        assert gathered[:, 0].tolist() == [other.astype(int).tolist(), one.astype(int).tolist()]

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_mean_and_std_are_those_of_numpy(self, tmp_path, dtype):
        pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (4, 8, 8)).astype(dtype)
        store = build(tmp_path, MemorySource({str(i): image for i, image in enumerate(pixels)}))
        chosen = pixels[[0, 2, 3]] / np.iinfo(dtype).max
        assert store.mean_and_std(np.array([0, 2, 3])) == pytest.approx((chosen.mean(), chosen.std()), rel=1e-12)


class TestMasks:
    def test_published_masks_come_back_bit_by_bit_at_odd_sizes_and_overlapping(self, tmp_path):
        draw = np.random.default_rng(0)
        images, masks = {}, {}
        for name, size in (("a", (13, 17)), ("b", (9, 31))):
            images[name] = np.zeros(size, np.uint8)
            masks[name] = {"lungs": draw.random(size) < 0.5, "heart": draw.random(size) < 0.5}
        steps = {"resize": Resize(size=(8, 8))}
        store = build(tmp_path, MemorySource(images, masks), structures=["lungs", "heart"], steps=steps)
        for position, name in enumerate(images):
            published, placement, size = store.published(position)
            assert np.array_equal(published, np.stack([masks[name]["lungs"], masks[name]["heart"]]))
            assert placement == Placement(0, 0, 8, 8)
            assert size == images[name].shape

    def test_a_mask_published_smaller_than_its_image_keeps_its_own_size(self, tmp_path):
        masks = {"a": {"lungs": np.eye(8, dtype=bool)}}
        store = build(tmp_path, MemorySource({"a": np.zeros((16, 16), np.uint8)}, masks), structures=["lungs"])
        published, _, size = store.published(0)
        assert published.shape == (1, 8, 8)
        assert size == (16, 16)
        assert store.masks([0]).shape == (1, 1, 16, 16)

    def test_a_letterbox_s_placement_is_stored(self, tmp_path):
        steps = {"resize": Resize(size=(16, 16), mode="letterbox")}
        store = build(
            tmp_path, MemorySource({"a": np.zeros((20, 40), np.uint8)}, {"a": {"lungs": np.ones((20, 40), bool)}}),
            structures=["lungs"], steps=steps,
        )  # fmt: skip
        # 20 x 40 shrinks by 0.4 to 8 x 16; (16 - 8) / 2 = 4 rows of bar above
        assert store.published(0)[1] == Placement(4, 0, 8, 16)
        assert store.masks([0])[0, 0].sum(axis=1).tolist() == [0] * 4 + [16] * 8 + [0] * 4

    def test_a_sample_that_lacks_a_structure_is_marked_and_has_no_published_mask(self, tmp_path):
        masks = {"000": {"lungs": np.ones((8, 8), bool)}}
        store = build(tmp_path, MemorySource(numbered(2), masks), structures=["lungs"])
        assert store.masked.tolist() == [True, False]
        assert store.published(1)[0].shape == (1, 0, 0)
        assert not store.masks([1]).any()


class TestShared:
    def test_the_store_s_own_arrays_cannot_be_written_to(self, tmp_path):
        store = build(tmp_path, MemorySource(numbered(2)))
        store.images([0])
        with pytest.raises(ValueError, match="read-only"):
            store._array("grey", 8)[0] = 1

    def test_what_was_gathered_is_a_copy(self, tmp_path):
        store = build(tmp_path, MemorySource(numbered(2)))
        store.images([1])[:] = 77
        assert store.images([1])[0, 0, 0] == 1

    def test_a_pickled_store_serves_the_same_and_carries_no_pixels(self, tmp_path):
        store = build(tmp_path, MemorySource(numbered(50, (64, 64))))
        store.images([0])
        packed = pickle.dumps(store)
        assert len(packed) < 5_000  # the pixels are 204,800 bytes
        assert pickle.loads(packed).images([7])[0, 0, 0] == 7

    def test_several_processes_prepare_what_one_would(self, tmp_path):
        store = build(tmp_path, MemorySource(numbered(5)), jobs=2)
        assert store.images(range(5))[:, 0, 0].tolist() == [0, 1, 2, 3, 4]

    def test_two_runs_that_build_one_store_at_once_give_one_correct_store(self, tmp_path):
        code = "import sys; from tests.data.test_store import build_forty; build_forty(sys.argv[1], int(sys.argv[2]))"
        runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), half], cwd=ROOT) for half in "01"]
        assert [run.wait(100) for run in runs] == [0, 0]
        last = MemorySource(numbered(60))
        store = build(tmp_path, last)
        assert last.reads == []
        assert store.images(range(60))[:, 0, 0].tolist() == list(range(60))
        with sqlite3.connect(store.folder / "index.sqlite") as index:
            assert index.execute("SELECT COUNT(*), COUNT(DISTINCT row) FROM samples").fetchone() == (60, 60)


def build_forty(folder: str, half: int) -> None:
    """Samples 0-39 or 20-59: the middle is wanted by both runs."""
    images = numbered(60)
    wanted = {name: images[name] for name in list(images)[20 * half : 20 * half + 40]}
    store = build(Path(folder), MemorySource(wanted))
    if store.images(range(40))[:, 0, 0].tolist() != list(range(20 * half, 20 * half + 40)):
        raise SystemExit(1)
