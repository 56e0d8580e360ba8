from __future__ import annotations

import json
from pathlib import Path

import pytest

from lungseg.errors import DataError
from lungseg.tuning.results import Reached, read_epochs, read_result
from lungseg.tuning.search import Objective

DICE, LOSS = Objective("val/dice", "max"), Objective("val/loss", "min")


def folder_of(path: Path, *rows: str) -> Path:
    (path / "epochs.csv").write_text("epoch,seconds,val/dice,val/loss\n" + "\n".join(rows) + "\n")
    return path


def test_all_values_are_those_of_the_epoch_that_the_monitor_chose(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "1,2.0,0.5,0.3", "2,4.0,0.8,0.4", "3,9.0,0.7,0.2")
    assert read_result(folder, [DICE, LOSS], DICE) == Reached((0.8, 0.4), 2, 3)
    assert read_result(folder, [DICE, LOSS], LOSS) == Reached((0.7, 0.2), 3, 3)


def test_of_equal_epochs_the_first_counts_and_empty_cells_do_not(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "1,1,,0.3", "2,1,0.8,0.4", "3,1,0.8,0.2")
    assert read_result(folder, [DICE], DICE).epoch == 2


def test_costs_are_those_of_the_network_and_the_median_epoch(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "1,2.0,0.5,0.3", "2,4.0,0.8,0.4", "3,9.0,0.7,0.2")
    (folder / "model.json").write_text(json.dumps({"parameters": 120, "macs": 3e9}))
    wanted = [Objective(name, "min") for name in ("parameters", "macs", "seconds_per_epoch")]
    assert read_result(folder, wanted, DICE).values == (120, 3e9, 4.0)


@pytest.mark.parametrize("name", ["val/iou", "macs"])
def test_what_is_not_there_is_named_with_what_is(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path, "1,2.0,0.5,0.3")
    with pytest.raises(DataError, match=rf"no number of {name} at epoch 1; it has: val/dice, val/loss"):
        read_result(folder, [Objective(name, "min")], DICE)


def test_a_run_without_epochs_has_no_result(tmp_path: Path) -> None:
    assert read_epochs(tmp_path) == []
    with pytest.raises(DataError, match=r"no number of val/dice \(values of the validation part: none\)"):
        read_result(tmp_path, [DICE], DICE)
