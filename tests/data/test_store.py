"""The store: decoded once, found by content, whole after any interruption."""

from __future__ import annotations

import json
import pickle
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from lungseg.data.preprocess.base import Placement
from lungseg.data.preprocess.grey import Grey
from lungseg.data.preprocess.resize import Resize
from tests.data.store_sources import ROOT, MemorySource, build, numbered


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
            published, _, placement, size = store.published(position)
            assert np.array_equal(published, np.stack([masks[name]["lungs"], masks[name]["heart"]]))
            assert placement == Placement(0, 0, 8, 8)
            assert size == images[name].shape

    def test_a_mask_published_smaller_than_its_image_keeps_its_own_size(self, tmp_path):
        masks = {"a": {"lungs": np.eye(8, dtype=bool)}}
        store = build(tmp_path, MemorySource({"a": np.zeros((16, 16), np.uint8)}, masks), structures=["lungs"])
        published, _, _, size = store.published(0)
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
        assert store.published(0).placement == Placement(4, 0, 8, 16)
        assert store.masks([0])[0, 0].sum(axis=1).tolist() == [0] * 4 + [16] * 8 + [0] * 4

    def test_a_sample_that_lacks_a_structure_is_marked_and_has_no_published_mask(self, tmp_path):
        masks = {"000": {"lungs": np.ones((8, 8), bool)}}
        store = build(tmp_path, MemorySource(numbered(2), masks), structures=["lungs"])
        assert store.masked.tolist() == [True, False]
        assert store.published(1)[0].shape == (1, 0, 0)
        assert not store.masks([1]).any()


class TestLeftOut:
    """Pixels that a set marks as not annotated."""

    def source(self) -> MemorySource:
        lungs, left_out = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
        lungs[:, :4], left_out[2] = True, True
        source = MemorySource(numbered(2), {name: {"lungs": lungs} for name in ("000", "001")})
        source.left_out["001"] = left_out
        return source

    def test_they_are_a_plane_after_the_structures_for_every_sample_of_the_table(self, tmp_path):
        planes = build(tmp_path, self.source(), structures=["lungs"]).masks([0, 1])
        assert planes.shape == (2, 2, 8, 8)
        assert planes[:, 0].sum(axis=(1, 2)).tolist() == [32, 32]  # the mask stays as it was published
        assert planes[:, 1].sum(axis=(1, 2)).tolist() == [0, 8]
        assert planes[1, 1, 2].all()

    def test_a_table_without_such_pixels_has_no_plane_for_them(self, tmp_path):
        source = self.source()
        source.left_out.clear()
        store = build(tmp_path, source, structures=["lungs"])
        assert not store.leaves_out
        assert store.masks([0, 1]).shape == (2, 1, 8, 8)

    def test_the_published_reference_says_which_pixels_count(self, tmp_path):
        store = build(tmp_path, self.source(), structures=["lungs"])
        assert store.published(0).valid is None
        published = store.published(1)
        assert published.masks.shape == (1, 8, 8)
        assert published.masks.sum() == 32
        assert np.flatnonzero(~published.valid.all(axis=1)).tolist() == [2]

    def test_they_move_with_the_image(self, tmp_path):
        # 8 rows become 16: row 2 becomes rows 4 and 5
        steps = {"resize": Resize(size=(16, 16))}
        planes = build(tmp_path, self.source(), structures=["lungs"], steps=steps).masks([1])
        assert np.flatnonzero(planes[0, 1].all(axis=1)).tolist() == [4, 5]


class TestOverlap:
    def test_samples_whose_structures_share_pixels_are_marked(self, tmp_path):
        left, right = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
        left[:, :4], right[:, 4:] = True, True
        masks = {"000": {"lungs": left, "heart": right}, "001": {"lungs": left, "heart": left}}
        store = build(tmp_path, MemorySource(numbered(2), masks), structures=["lungs", "heart"])
        assert store.overlaps.tolist() == [False, True]


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
        with closing(sqlite3.connect(store.folder / "index.sqlite")) as index:
            assert index.execute("SELECT COUNT(*), COUNT(DISTINCT row) FROM samples").fetchone() == (60, 60)


def build_forty(folder: str, half: int) -> None:
    """Samples 0-39 or 20-59: the middle is wanted by both runs."""
    images = numbered(60)
    wanted = {name: images[name] for name in list(images)[20 * half : 20 * half + 40]}
    store = build(Path(folder), MemorySource(wanted))
    if store.images(range(40))[:, 0, 0].tolist() != list(range(20 * half, 20 * half + 40)):
        raise SystemExit(1)
