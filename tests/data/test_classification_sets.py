"""The sets for classification as their configs choose them: classes, splits and balance on real radiographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate

from lungseg.cli.composition import Composer
from lungseg.config import config_dir
from lungseg.data.labels import class_counts, encode_table
from lungseg.data.splits import check_subjects
from lungseg.data.table import SamplesTable


def chosen(real_data: Path, *choices: str) -> tuple[SamplesTable, np.ndarray, np.ndarray, dict]:
    """Table, labels, parts after balancing, and counts of the parts before, by the config's choices."""
    config = Composer("train", config_dir()).compose([*choices, f"paths.data={real_data}"]).config
    kind = "multilabel" if "task=multilabel" in choices else "multiclass"
    (source,) = (instantiate(node, _convert_="all") for node in config["data"]["sources"].values())
    table = SamplesTable.from_rows(source.index().rows)
    labels = encode_table(table, config["data"]["classes"], kind)
    parts = instantiate(config["split"], _convert_="all").assign(table, config["seed"])
    assert check_subjects(table, parts) == 0
    before = class_counts(labels, config["data"]["classes"], parts)
    balanced = instantiate(config["balance"], _convert_="all").apply(table, parts, config["seed"])
    return (
        table,
        labels,
        balanced,
        {"before": before, "after": class_counts(labels, config["data"]["classes"], balanced)},
    )


@pytest.mark.data
def test_kermanys_training_part_is_brought_down_to_its_rarest_class(real_data: Path) -> None:
    _, _, parts, counts = chosen(real_data, "data=kermany", "split=stratified_70_15_15", "balance=undersample")
    before, after = counts["before"], counts["after"]
    # 70 % of 1575, 2772 and 1493 are 1102.5, 1940.4 and 1045.1
    assert {name: n.positive for name, n in before["train"].items()} == {
        "normal": 1103,
        "bacteria": 1940,
        "virus": 1045,
    }
    assert {n.positive for n in after["train"].values()} == {1045}
    assert (after["val"], after["test"]) == (before["val"], before["test"])
    assert (parts == "unused").sum() == 1103 + 1940 - 2 * 1045


@pytest.mark.data
def test_kermanys_official_test_part_is_kept_whole(real_data: Path) -> None:
    _, _, _, counts = chosen(real_data, "data=kermany", "split=kermany_official")
    assert {name: n.positive for name, n in counts["after"]["test"].items()} == {
        "normal": 234,
        "bacteria": 242,
        "virus": 148,
    }
    assert sum(n.positive for n in counts["after"]["val"].values()) > 400  # a tenth of the children


@pytest.mark.data
def test_the_radiography_stand_in_undersamples_one_class_to_another(real_data: Path) -> None:
    _, labels, parts, counts = chosen(
        real_data,
        "data=covid_radiography",
        "split=stratified_70_15_15",
        "balance=undersample",
        "balance.limits={normal: covid-19}",
    )
    assert np.bincount(labels).tolist() == [160, 200, 110]
    training = {name: n.positive for name, n in counts["before"]["train"].items()}
    assert {name: n.positive for name, n in counts["after"]["train"].items()} == training | {
        "normal": training["covid-19"]
    }
    assert (parts == "unused").sum() == training["normal"] - training["covid-19"] > 0


@pytest.mark.data
def test_the_nih_part_has_its_official_patients_and_fourteen_findings(real_data: Path) -> None:
    table, labels, parts, counts = chosen(
        real_data, "data=nih_chestxray_14", "split=nih_official", "task=multilabel", "balance=none"
    )
    assert labels.shape == (520, 14)
    assert labels.sum(axis=0).tolist() == [60, 6, 17, 51, 41, 7, 2, 0, 106, 12, 10, 18, 243, 8]
    official = np.array(table.column("official_split").to_pylist())
    assert ((parts == "test") == (official == "test")).all()
    assert counts["after"]["test"]["Hernia"] == (0, 110, 0)
    assert 30 <= (parts == "val").sum() <= 75  # an eighth of 283 patients
