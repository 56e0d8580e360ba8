from __future__ import annotations

import shutil
from collections import Counter

import numpy as np
import pytest

from lungseg.data.phantom.layouts import write_layout
from lungseg.data.sources.covid_qu_ex import CovidQuExSource
from lungseg.data.splits.official import OfficialSplit
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError

LUNG = "Lung Segmentation Data/Lung Segmentation Data"
INFECTION = "Infection Segmentation Data/Infection Segmentation Data"


@pytest.fixture
def root(tmp_path):
    """Twelve radiographs: train 6, val 3, test 3; all but two of them also with infection masks."""
    return write_layout("covid_qu_ex", tmp_path / "covid-qu-ex", n=12, size=(48, 48)).root


def index(root, **options):
    return CovidQuExSource(root=str(root), **options).index()


def test_names_with_blanks_and_brackets_are_paired_and_bear_part_and_class(root):
    rows = {row["sample_id"]: row for row in index(root).rows}
    assert len(rows) == 12
    row = rows["covid_qu_ex/train/non-covid/non_COVID (2)"]
    assert row["masks"] == {"lungs": f"{LUNG}/Train/Non-COVID/lung masks/non_COVID (2).png"}
    assert (row["label"], row["official_split"]) == ("non-covid", "train")
    assert row["subject_id"] == row["sample_id"]


def test_the_official_split_is_used_as_published(root):
    table = SamplesTable.from_rows(index(root).rows)
    assert Counter(OfficialSplit().assign(table, 0).tolist()) == {"train": 6, "val": 3, "test": 3}


def test_the_lung_collection_is_read_unless_infection_is_asked_for(root):
    assert "read from Lung Segmentation Data" in index(root).notes
    found = index(root, collection="infection")
    assert len(found.rows) == 10
    assert all(set(row["masks"]) == {"lungs", "infection"} for row in found.rows)


def test_infection_alone_is_taken_where_the_other_collection_is_absent(root):
    shutil.rmtree(root / "Lung Segmentation Data")
    assert "read from Infection Segmentation Data" in index(root).notes
    with pytest.raises(DataError, match="no complete copy"):
        index(root, collection="lung")


def test_empty_infection_masks_are_legal_without_covid(root):
    source = CovidQuExSource(root=str(root), collection="infection")
    found = source.index()
    for row in found.rows:
        lungs, infection = source.read_masks(found.root, row, ["lungs", "infection"])
        assert lungs.any()
        assert infection.any() == (row["label"] == "covid-19")
        assert not (infection & ~lungs).any()


def test_infection_masks_of_the_other_collection_are_named_by_their_key(root):
    source = CovidQuExSource(root=str(root))
    found = source.index()
    with pytest.raises(DataError, match=r"no mask of 'infection'.*data\.sources\.covid_qu_ex\.collection=infection"):
        source.read_masks(found.root, found.rows[0], ["infection"])
    with pytest.raises(DataError, match=r"asks for infection.*data\.sources\.covid_qu_ex\.collection=infection"):
        source.check_structures(found.rows, ["lungs", "infection"])
    with pytest.raises(DataError, match=r"asks for heart.*Set data\.structures=\[lungs\] \(see"):
        source.check_structures(found.rows, ["heart"])


def test_the_inner_folder_of_the_same_name_may_be_absent(root):
    for name in ("Lung Segmentation Data", "Infection Segmentation Data"):
        inner = root / name / name
        for path in inner.iterdir():
            path.rename(root / name / path.name)
        inner.rmdir()
    assert len(index(root).rows) == 12


def test_a_radiograph_without_a_mask_is_named_with_what_it_lacks(root):
    (root / INFECTION / "Train" / "COVID-19" / "infection masks" / "covid_1.png").unlink()
    with pytest.raises(DataError, match=r"1 of 10 radiographs in .* have no mask: covid_1 \(infection mask\)"):
        index(root, collection="infection")
    assert len(index(root, collection="infection", missing="drop").rows) == 9
    assert len(index(root).rows) == 12


def test_a_mask_without_a_radiograph_is_an_error(root):
    (root / LUNG / "Test" / "COVID-19" / "images" / "covid_4.png").unlink()
    with pytest.raises(DataError, match=r"1 masks in .* have no radiograph: .*lung masks/covid_4\.png"):
        index(root)


def test_parts_that_are_absent_are_noted(root):
    shutil.rmtree(root / LUNG / "Val")
    assert "the published split has parts that are not there: val" in index(root).notes


def test_an_unknown_collection_is_refused():
    with pytest.raises(ConfigError, match="collection is 'lungs'; it must be one of auto, lung, infection"):
        CovidQuExSource(collection="lungs")


@pytest.mark.data
def test_the_real_copy_has_12_radiographs_of_the_test_part_four_of_them_with_infection(real_data):
    source = CovidQuExSource(search=str(real_data))
    found = source.index()
    assert Counter(row["label"] for row in found.rows) == {"covid-19": 4, "non-covid": 4, "normal": 4}
    assert {row["official_split"] for row in found.rows} == {"test"}
    masks = [source.read_masks(found.root, row, ["lungs", "infection"]) for row in found.rows]
    assert sum(bool(infection.any()) for _, infection in masks) == 4
    # the infection lies in the lungs but for its edge
    assert all((infection & ~lungs).sum() <= 0.02 * max(infection.sum(), 1) for lungs, infection in masks)
    assert all(0.1 < np.mean(lungs) < 0.5 for lungs, _ in masks)
