"""Tables of one run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from lungseg.report.paper import load_paper
from lungseg.report.reader import Run, read_run
from lungseg.report.tables import environment_blocks, epochs_table, net_name, run_facts, subgroup_table


def test_every_row_of_a_table_is_as_wide_as_its_head(make_run: Callable[..., Path]):
    run = read_run(make_run())
    assert run.epochs is not None
    for found in (epochs_table(run.epochs, None), epochs_table(run.epochs, load_paper("resunet"))):
        assert {len(row) for row in found.rows} == {len(found.columns)}


def test_the_paper_stands_before_running_training_and_validation_last():
    epochs = pd.DataFrame({"epoch": [1], "train/loss": [0.125], "val/loss": [0.25], "train/dice": [0.5], "lr": [0.001]})
    table = epochs_table(epochs, load_paper("resunet"))
    groups = [title for title, _ in table.groups()]
    assert groups == ["", "Paper", "Ours, running training", "Ours, validation", "Run"]
    # paper's four columns, then 0.125 x 4 = 0.5, the mean itself, Dice; validation 0.25 x 4 = 1, the mean; lr
    assert [cell.text for cell in table.rows[0][1:]] == [
        "0.7736", "0.9076", "0.8302", "0.7205", "0.5000", "0.1250", "0.5000", "1.0000", "0.2500", "0.001",
    ]  # fmt: skip


def test_epochs_that_only_the_paper_has_are_shown_with_dashes():
    table = epochs_table(pd.DataFrame({"epoch": [1], "train/loss": [0.1]}), load_paper("resunet"))
    assert len(table.rows) == 20
    assert table.rows[1][5].text == "–"


def test_subgroups_below_thirty_images_are_counted_but_not_scored():
    n = 70
    frame = pd.DataFrame(
        {
            "part": "test", "structure": "lungs", "dice": np.linspace(0.9, 1, n), "source": "jsrt",
            "subject_id": [f"p{i}" for i in range(n)], "sex": ["F"] * 40 + ["M"] * 29 + [None],
            "age": [17.0] * 30 + [18.0] * 39 + [np.nan], "view": None,
        }
    )  # fmt: skip
    table = subgroup_table(frame, "test", "lungs", n_boot=50)
    assert table is not None
    said = [(row[0].text, row[1].text, row[2].text, row[3].text == "too few") for row in table.rows]
    assert said == [
        ("Sex", "female", "40", False),
        ("Sex", "male", "29", True),
        ("Sex", "not known", "1", False),
        ("Age", "under 18", "30", False),
        ("Age", "18 to 39", "39", False),
        ("Age", "not known", "1", False),
    ]


def test_nothing_known_of_the_patients_gives_no_subgroups():
    frame = pd.DataFrame({"part": ["test"], "structure": ["lungs"], "dice": [1.0], "subject_id": ["p"], "sex": [None]})
    assert subgroup_table(frame, "test", "lungs") is None


def test_the_facts_name_data_split_hash_and_seed_0(make_run: Callable[..., Path]):
    facts = dict(run_facts(read_run(make_run())).items)
    assert facts["Data"] == "JSRT: 246 radiographs, 246 patients"
    assert facts["Images"] == "174 training, 21 validation, 51 test"
    assert facts["Split hash"] == "9f2c1ab04d9f2c1a"
    assert facts["Seed"] == "0"
    assert facts["Scored on"] == "the masks as published, threshold 0.5"


def test_the_environment_names_hardware_time_and_overrides(make_run: Callable[..., Path]):
    (facts,) = environment_blocks(read_run(make_run()))
    said = dict(facts.items)  # type: ignore[union-attr]
    assert said["Processor"] == "AMD EPYC 9V74"
    assert said["Memory"] == "15.6 GiB"
    assert said["GPU"] == "none"
    assert said["Overrides"] == "experiment=resunet_jsrt seed=0"
    assert said["Seconds"] == "1052.4"


def test_a_net_is_called_by_the_published_network_inside(tmp_path: Path):
    def named(of: str, **model: str) -> str:
        return net_name(Run(tmp_path, config={"model": model}, model={"class": of}))

    assert named("TorchvisionClassifier", architecture="resnet34") == "resnet34"
    assert named("TimmClassifier", backbone="convnext_tiny") == "convnext_tiny"
    assert named("TimmClassifier") == "TimmClassifier"
    assert named("ResUNet", architecture="x") == "ResUNet"
