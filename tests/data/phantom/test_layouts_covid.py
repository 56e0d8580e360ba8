import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from lungseg.data.phantom.generator import Phantom
from lungseg.data.phantom.layouts import write_layout

SIZE = (64, 72)
MAPS = "annotations/all-images-semantic-masks"


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def files(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def v7(tmp_path_factory):
    return write_layout("v7_darwin", tmp_path_factory.mktemp("v7"), n=8, size=SIZE)


def annotation(root, stem):
    found = [json.loads(path.read_text()) for path in (root / "annotations").rglob("*.json")]
    return next(c for c in found if c["image"]["original_filename"] == f"{stem}.png")


def test_v7_masks_are_named_by_numbers_that_only_the_annotations_join(v7):
    assert len(v7.samples) == 8
    numbers = {Path(name).stem for name in files(v7.root) if name.startswith(MAPS)}
    assert numbers == {str(1676192 + i) for i in range(1, 9)}
    assert not numbers & set(v7.samples)
    for stem in v7.samples:
        assert annotation(v7.root, stem)["image"]["url"].split("/")[-2] in numbers


def test_v7_lungs_hold_the_heart_beside_the_spine(v7):
    stem, index = next(iter(v7.samples.items()))
    number = annotation(v7.root, stem)["image"]["url"].split("/")[-2]
    mask = read(v7.root / MAPS / f"{number}.png") == 255
    drawn = Phantom(0, SIZE).sample(index).masks
    lungs = drawn["right_lung"] | drawn["left_lung"]
    assert (mask & lungs).sum() == lungs.sum()
    # all of the heart but the columns about the spine, at most three of them
    assert (drawn["heart"] & ~mask).any(axis=0).sum() <= 3
    assert mask.sum() > lungs.sum()


def test_v7_has_a_ct_slice_and_a_lateral_view_with_empty_masks(v7):
    assert v7.without_mask == ("16003_1_1", "16006_1_1")
    for stem, view in zip(v7.without_mask, ("View/Lateral", "View/Axial"), strict=True):
        content = annotation(v7.root, stem)
        assert view in [entry["name"] for entry in content["annotations"]]
        number = content["image"]["url"].split("/")[-2]
        assert not read(v7.root / MAPS / f"{number}.png").any()


def test_v7_levels_are_0_127_255_and_the_second_has_ignore(v7):
    levels = [set(np.unique(read(path)).tolist()) for path in sorted((v7.root / MAPS).iterdir())]
    assert levels[1] == {0, 127, 255}
    assert [len(found) for found in levels] == [2, 3, 1, 2, 2, 1, 2, 2]


def test_v7_has_a_lung_with_a_hole_and_an_rgba_file(v7):
    fourth, fifth = list(v7.samples)[3:5]
    left = [area for area in annotation(v7.root, fourth)["annotations"] if "tag" not in area][1]
    assert len(left["complex_polygon"]["path"]) == 2
    assert read(v7.root / "images" / f"{fifth}.png").shape == (*SIZE, 4)


def test_v7_children_bear_their_facts_in_the_file_name(v7):
    names = list(v7.samples)
    assert [name.startswith("person") for name in names] == [False, True, False, True, False, False, False, True]


def test_v7_of_version_2_has_no_numbers_and_paths_in_lists(tmp_path):
    written = write_layout("v7_darwin_v2", tmp_path, n=2, size=SIZE)
    assert {name for name in files(tmp_path) if name.startswith("annotations/")} == {
        f"annotations/{stem}.json" for stem in written.samples
    }
    content = json.loads((tmp_path / "annotations" / f"{next(iter(written.samples))}.json").read_text())
    assert content["item"]["slots"][0]["width"] == SIZE[1]
    assert isinstance(content["annotations"][0]["polygon"]["paths"][0], list)


def test_v7_mishaps_fill_the_first_mask(tmp_path):
    for nasty, expected in (("all_ignore", {127}), ("unknown_class", {0, 64, 255})):
        write_layout("v7_darwin", tmp_path / nasty, n=1, size=SIZE, nasty=(nasty,))
        assert set(np.unique(read(tmp_path / nasty / MAPS / "1676193.png")).tolist()) == expected


def test_qatar_masks_have_three_channels_on_a_smaller_grid(tmp_path):
    written = write_layout("qatar_covid", tmp_path, n=5, size=(70, 80))
    assert list(written.samples) == ["COVID-1", "Normal-2", "Viral Pneumonia-3", "Lung_Opacity-4", "COVID-5"]
    image, mask = (read(written.root / "COVID" / kind / "COVID-1.png") for kind in ("images", "masks"))
    # 70 * 256 / 299 = 59.9
    assert (image.shape, mask.shape) == ((70, 70), (60, 60, 3))
    assert set(np.unique(mask)) == {0, 255}


def test_qatar_has_a_spreadsheet_per_class_whose_names_differ_in_case(tmp_path):
    written = write_layout("qatar_covid", tmp_path, n=2, size=(48, 48))
    with zipfile.ZipFile(written.root / "Normal.metadata.xlsx") as archive:
        texts = archive.read("xl/sharedStrings.xml").decode()
    assert "FILE NAME" in texts
    assert "NORMAL-2" in texts
    assert (written.root / "Normal" / "images" / "Normal-2.png").is_file()


def test_qatar_flat_has_radiographs_beside_one_another_and_no_masks(tmp_path):
    written = write_layout("qatar_covid_flat", tmp_path, n=3, size=(48, 48))
    assert files(written.root) == {
        "COVID/COVID (1).png",
        "Normal/Normal (2).png",
        "Viral Pneumonia/Viral Pneumonia (3).png",
    }
    assert len(written.without_mask) == 3


def test_covid_qu_ex_has_two_collections_with_a_split(tmp_path):
    written = write_layout("covid_qu_ex", tmp_path, n=5, size=(48, 48))
    lung = {name.split("/", 2)[2] for name in files(tmp_path) if name.startswith("Lung Segmentation Data/")}
    assert lung == {
        f"{place}/{kind}/{stem}.png"
        for kind in ("images", "lung masks")
        for place, stem in zip(
            ("Train/COVID-19", "Train/Non-COVID", "Val/Normal", "Test/COVID-19", "Train/Non-COVID"),
            written.samples,
            strict=True,
        )
    }
    infection = tmp_path / "Infection Segmentation Data" / "Infection Segmentation Data"
    assert len(list(infection.rglob("images/*.png"))) == 4  # all but the fifth


def test_covid_qu_ex_infection_lies_in_the_lungs_and_is_empty_without_covid(tmp_path):
    write_layout("covid_qu_ex", tmp_path, n=2, size=(48, 48))
    top = tmp_path / "Infection Segmentation Data" / "Infection Segmentation Data" / "Train"
    ill, lungs = (read(top / "COVID-19" / kind / "covid_1.png") for kind in ("infection masks", "lung masks"))
    assert ill.any()
    assert not (ill & ~lungs).any()
    assert not read(top / "Non-COVID" / "infection masks" / "non_COVID (2).png").any()
