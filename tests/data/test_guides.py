from __future__ import annotations

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from lungseg.data.guides import (
    FORMAT,
    DiskGuides,
    FolderGuides,
    check_guides,
    masks_wanted,
    read_manifest,
    refuse_mixed_masks,
)
from lungseg.data.preprocess.border_only import BorderOnly
from lungseg.data.preprocess.grey import Grey
from lungseg.data.preprocess.lung_crop import LungCrop
from lungseg.data.preprocess.lungs_only import LungsOnly
from lungseg.data.preprocess.lungs_out import LungsOut
from lungseg.data.preprocess.resize import Resize
from lungseg.data.sources.montgomery import MontgomerySource
from lungseg.data.sources.qatar_covid import QatarCovidSource
from lungseg.data.store import Store
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError
from tests.data.store_sources import MemorySource, build, row_of


def table(*rows: tuple[str, str, dict[str, str]]) -> SamplesTable:
    """Rows of (name, label, masks)."""
    return SamplesTable.from_rows([{**row_of(name, masks), "label": label} for name, label, masks in rows])


LUNGS = {"lungs": "m.png"}


def manifest(folder: Path, masks: object, number: int = FORMAT) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"format": number, "masks": masks}))
    return folder


class TestDisk:
    def test_two_lungs_are_two_files(self):
        assert DiskGuides().files(row_of("a", {"right_lung": "r", "left_lung": "l"})) == ["r", "l"]
        assert DiskGuides().files(row_of("a", {"heart": "h"})) == []

    def test_the_mask_is_what_the_set_publishes(self):
        mask = np.eye(8, dtype=bool)
        source = MemorySource({"a": np.zeros((8, 8), np.uint8)}, {"a": {"lungs": mask}})
        assert np.array_equal(DiskGuides().read(source, Path(), row_of("a", LUNGS)), mask)


class TestFolder:
    def test_a_mask_is_found_by_its_sample_s_id(self, tmp_path):
        mask = np.eye(8, dtype=np.uint8) * 255
        manifest(tmp_path, {"memory/a": {"file": "x.png", "checkpoint": "0123456789abcdef"}})
        cv2.imwrite(str(tmp_path / "x.png"), mask)
        guides = FolderGuides.open(tmp_path)
        row = row_of("a", {})
        assert guides.files(row) == [str(tmp_path / "x.png")]
        assert guides.origin(row) == "predicted by 0123456789ab"
        assert np.array_equal(guides.read(MemorySource({}), Path(), row), mask > 0)
        assert guides.files(row_of("b", {})) == []

    def test_what_travels_to_a_worker_knows_one_row_only(self, tmp_path):
        entries = {f"memory/{i}": {"file": f"{i}.png", "checkpoint": "1"} for i in range(1000)}
        row = row_of("7", {})
        alone = FolderGuides.open(manifest(tmp_path, entries)).alone(row)
        assert alone.files(row) == [str(tmp_path / "7.png")]
        assert len(pickle.dumps(alone)) < 500

    def test_a_folder_without_a_manifest_is_refused_with_the_way_out(self, tmp_path):
        with pytest.raises(DataError, match=r"holds no manifest\.json.*masks=<run folder or \.ckpt>"):
            FolderGuides.open(tmp_path)

    @pytest.mark.parametrize("masks", [None, [], {"memory/a": {"file": "x.png"}}], ids=str)
    def test_another_content_is_refused(self, tmp_path, masks):
        with pytest.raises(DataError, match="is no manifest of predicted masks"):
            FolderGuides.open(manifest(tmp_path, masks))

    def test_another_format_is_refused(self, tmp_path):
        with pytest.raises(DataError, match=f"in format {FORMAT}"):
            read_manifest(manifest(tmp_path, {}, FORMAT + 1))

    def test_a_damaged_manifest_is_named(self, tmp_path):
        (tmp_path / "manifest.json").write_text('{"format": 1, "mas')
        with pytest.raises(DataError, match=r"manifest\.json cannot be read"):
            FolderGuides.open(tmp_path)


class TestChecks:
    def test_the_first_five_without_a_mask_are_named_with_the_counts_of_each_label(self):
        rows = [(f"c{i}", "COVID", LUNGS) for i in range(3)] + [(f"n{i}", "Normal", {}) for i in range(7)]
        with pytest.raises(
            DataError,
            match=r"7 of 10 radiographs have no lung mask: memory/n0, .*memory/n4 and 2 more "
            r"\(masks: memory COVID 3 of 3, memory Normal 0 of 7\).*masks=<run folder or \.ckpt.*lungs=full",
        ):
            check_guides(table(*rows), DiskGuides())

    def test_masks_of_all_pass(self):
        check_guides(table(("a", "COVID", LUNGS), ("b", "Normal", LUNGS)), DiskGuides())

    def test_masks_of_two_networks_are_refused_by_label(self, tmp_path):
        entries = {
            "memory/a": {"file": "a.png", "checkpoint": "1" * 64},
            "memory/b": {"file": "b.png", "checkpoint": "2" * 64},
        }
        guides = FolderGuides.open(manifest(tmp_path, entries))
        with pytest.raises(DataError, match=r"2 sources \(COVID: 1 predicted by 1{12}, Normal: 1 predicted by 2{12}\)"):
            check_guides(table(("a", "COVID", {}), ("b", "Normal", {})), guides)

    def test_disk_for_one_class_and_prediction_for_another_is_refused(self):
        both = table(("a", "COVID", {}), ("b", "Normal", {}), ("c", "Normal", {}))
        with pytest.raises(DataError, match=r"COVID: 1 disk, Normal: 2 predicted by x.*could tell apart"):
            refuse_mixed_masks(both, ["disk", "predicted by x", "predicted by x"])

    def test_one_origin_for_all_is_what_is_wanted(self):
        refuse_mixed_masks(table(("a", "COVID", {}), ("b", "Normal", {})), ["disk", "disk"])


class TestWanted:
    def test_steps_that_want_no_mask_want_none(self):
        assert masks_wanted({"resize": Resize(), "crop": LungCrop()}) is None

    def test_a_step_says_where_its_masks_come_from(self):
        assert masks_wanted({"lungs": LungsOnly(masks="outputs/seg"), "resize": Resize()}) == "outputs/seg"

    def test_two_steps_must_agree(self):
        assert masks_wanted({"crop": LungCrop(masks="disk"), "lungs": LungsOnly()}) == "disk"
        with pytest.raises(ConfigError, match=r"steps\.crop\.masks=disk and preprocess\.steps\.lungs\.masks=seg"):
            masks_wanted({"crop": LungCrop(masks="disk"), "lungs": LungsOnly(masks="seg")})


class TestStore:
    def source(self, size: tuple[int, int] = (16, 16)) -> MemorySource:
        mask = np.zeros(size, bool)
        mask[: size[0] // 2] = True
        images = {"a": np.full((16, 16), 80, np.uint8), "b": np.full((16, 16), 90, np.uint8)}
        return MemorySource(images, {name: {"lungs": mask} for name in images})

    @pytest.mark.parametrize("size", [(16, 16), (8, 8)], ids=["as the image", "half its size"])
    def test_the_mask_guides_the_step_and_is_no_target(self, tmp_path, size):
        store = build(tmp_path, self.source(size), steps={"lungs": LungsOnly()}, guides=DiskGuides())
        images = store.images([0, 1])
        assert images[:, :8].reshape(2, -1).tolist() == [[80] * 128, [90] * 128]
        assert (images[:, 8:] == 0).all()
        assert store.masks([0, 1]).shape == (2, 0, 16, 16)

    def test_the_share_that_stays_is_kept_with_every_sample(self, tmp_path):
        steps = {"lungs": BorderOnly(), "resize": Resize(size=(8, 8))}
        store = build(tmp_path, self.source(), steps=steps, guides=DiskGuides())
        assert store.kept([1, 0]).tolist() == [0.5, 0.5]
        again = build(tmp_path, self.source(), steps=steps, guides=DiskGuides())
        assert again.kept([0]).tolist() == [0.5]

    def test_no_share_is_known_where_nothing_is_taken_away(self, tmp_path):
        assert np.isnan(build(tmp_path, self.source()).kept([0, 1])).all()

    def test_a_radiograph_without_a_mask_is_refused_before_anything_is_decoded(self, tmp_path):
        source = self.source()
        del source.masks["b"]
        with pytest.raises(DataError, match="1 of 2 radiographs have no lung mask: memory/b"):
            build(tmp_path, source, steps={"lungs": LungsOnly()}, guides=DiskGuides())
        assert source.reads == []

    def test_an_empty_mask_is_named_with_its_sample(self, tmp_path):
        source = self.source()
        source.masks["b"]["lungs"] = np.zeros((16, 16), bool)
        with pytest.raises(DataError, match=r"memory/b: step lungs: it needs a mask .* empty"):
            build(tmp_path, source, steps={"lungs": LungsOnly()}, guides=DiskGuides())

    def test_a_mask_that_is_drawn_anew_makes_a_new_sample(self, tmp_path):
        folder = manifest(
            tmp_path / "masks", {f"memory/{n}": {"file": f"{n}.png", "checkpoint": "1" * 64} for n in "ab"}
        )
        for name in "ab":
            cv2.imwrite(str(folder / f"{name}.png"), np.full((16, 16), 255, np.uint8))
        steps = {"lungs": LungsOnly(masks=str(folder))}
        first = build(tmp_path / "store", self.source(), steps=steps, guides=FolderGuides.open(folder))
        assert first.kept([0, 1]).tolist() == [1, 1]
        half = np.zeros((16, 16), np.uint8)
        half[:, :8] = 255
        cv2.imwrite(str(folder / "b.png"), half)
        source = self.source()
        second = build(tmp_path / "store", source, steps=steps, guides=FolderGuides.open(folder))
        assert source.reads == ["b"]
        assert second.kept([0, 1]).tolist() == [1, 0.5]
        assert (second.images([1])[0, :, 8:] == 0).all()


@pytest.mark.data
class TestReal:
    def test_lungs_of_adults_cover_what_lungs_cover(self, real_data, tmp_path):
        source = MontgomerySource(search=str(real_data))
        index = source.index()
        table = SamplesTable.from_rows(index.rows[:3])
        homes = {source.name: (source, index.root)}
        kept = {}
        for step in (LungsOnly(), LungsOut(), LungsOut(fill="mask"), BorderOnly()):
            steps = {"lungs": step, "grey": Grey(), "resize": Resize(size=(64, 64))}
            name = f"{type(step).__name__} {getattr(step, 'fill', '')}"
            store = Store.build(table, homes, steps=steps, structures=[], folder=tmp_path, guides=DiskGuides())
            kept[name] = store.kept([0, 1, 2])
            assert store.images([0, 1, 2]).std(axis=(1, 2)).min() > 0
        # both lungs are some quarter of a frontal radiograph; hull and box take more of it
        assert ((kept["LungsOnly "] > 0.1) & (kept["LungsOnly "] < 0.45)).all()
        assert np.allclose(kept["LungsOut mask"], 1 - kept["LungsOnly "])
        assert (kept["LungsOut mask"] > kept["LungsOut convex_hull"]).all()
        assert (kept["LungsOut convex_hull"] > kept["BorderOnly "]).all()

    def test_the_stand_in_has_masks_of_one_class_only_and_is_refused(self, real_data):
        source = QatarCovidSource(search=str(real_data), classes=["COVID", "Normal", "Viral Pneumonia"], masks=False)
        rows = source.index().rows
        folder = next(real_data.rglob("COVID-19_Radiography_Dataset"), None) or next(
            real_data.rglob("covid19-radiography-standin")
        )
        drawn = {path.stem for path in folder.rglob("COVID/masks/*.png")}
        assert drawn
        with_masks = [
            {**row, "masks": {"lungs": row["image"]} if Path(row["image"]).stem in drawn else {}} for row in rows
        ]
        with pytest.raises(DataError, match=r"310 of 470 radiographs have no lung mask.*160 of 160.*0 of 200"):
            check_guides(SamplesTable.from_rows(with_masks), DiskGuides())
