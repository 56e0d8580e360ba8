from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
from lightning.pytorch.loggers.logger import Logger

from lungseg.callbacks.epoch_table import EpochTable
from lungseg.errors import ResourceError
from tests.toy import toy_data, toy_task, toy_trainer

VALUES = ["loss", "dice", "iou", "accuracy", "precision", "recall", "dice_pooled", "iou_pooled"]


class Notes(Logger):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[dict, int]] = []

    @property
    def name(self):
        return "notes"

    @property
    def version(self):
        return 0

    def log_hyperparams(self, *args, **kwargs):
        pass

    def log_metrics(self, metrics, step=None):
        self.told.append((dict(metrics), step))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def run(folder: Path, store: Path, *, epochs: int = 2, notes: Notes | None = None, **trainer) -> pd.DataFrame:
    run_ = toy_trainer(folder, epochs=epochs, **trainer)
    if notes is not None:
        run_.loggers = [notes]
    run_.fit(toy_task(), datamodule=toy_data(store, n=8))
    return pd.read_csv(folder / "epochs.csv")


def test_a_row_an_epoch_with_the_columns_the_report_reads(tmp_path, store):
    table = run(tmp_path, store)
    named = [f"{part}/{value}" for part in ("train", "val") for value in VALUES]
    assert sorted(table.columns) == sorted(["epoch", "step", "lr", "seconds", *named])
    assert list(table.columns[:4]) == ["epoch", "step", "lr", "seconds"]
    assert table["epoch"].tolist() == [1, 2]
    assert table["step"].tolist() == [3, 6]  # 6 training samples, 2 a batch
    assert table["lr"].tolist() == [0.01, 0.01]
    assert (table["seconds"] > 0).all()


def test_what_was_not_measured_is_an_empty_cell(tmp_path, store):
    table = run(tmp_path, store, check_val_every_n_epoch=2)
    assert table["val/dice"].isna().tolist() == [True, False]
    with (tmp_path / "epochs.csv").open() as file:
        first = next(csv.DictReader(file))
    assert first["val/dice"] == ""


def test_what_is_not_a_number_is_an_empty_cell(tmp_path):
    table = EpochTable()
    table._rows = [{"epoch": 1, "step": 3, "lr": 0.1, "seconds": 1.0, "val/dice": float("nan")}]
    trainer = toy_trainer(tmp_path)
    table._write(trainer)
    assert (tmp_path / "epochs.csv").read_text().splitlines()[1] == "1,3,0.1,1.0,"


def test_a_logger_is_told_the_same_values(tmp_path, store):
    notes = Notes()
    table = run(tmp_path, store, epochs=1, notes=notes)
    ((values, step),) = notes.told
    assert step == 3
    assert values["val/dice"] == pytest.approx(table["val/dice"].iloc[0])
    assert "step" not in values


def test_a_logger_is_told_numbers_only_and_so_no_sample_s_name(tmp_path, store):
    notes = Notes()
    run(tmp_path, store, epochs=1, notes=notes)
    assert all(isinstance(value, float) for values, _ in notes.told for value in values.values())


def test_a_resumed_run_brings_its_rows_along_and_replaces_those_it_repeats(tmp_path):
    first = EpochTable()
    first._rows = [{"epoch": 1, "val/dice": 0.5}, {"epoch": 2, "val/dice": 0.6}]
    second = EpochTable()
    second.load_state_dict(first.state_dict())
    second.on_train_epoch_end(trainer := toy_trainer(tmp_path), task := toy_task())
    task.epoch_values = {"val/dice": 0.9}
    # the trainer stands in epoch 1: its row takes the place of both
    second.on_train_epoch_end(trainer, task)
    assert [(row["epoch"], row["val/dice"]) for row in second._rows] == [(1, 0.9)]


def test_seconds_of_both_sittings_of_an_epoch_add_up():
    first = EpochTable()
    first._since -= 100
    second = EpochTable()
    second.load_state_dict(first.state_dict())
    assert second._spent == pytest.approx(100, abs=5)


def test_a_table_that_cannot_be_written_is_a_lack_of_resources(tmp_path):
    (tmp_path / "file").write_text("in the way")
    table = EpochTable()
    table._rows = [{"epoch": 1}]
    with pytest.raises(ResourceError, match=r"epochs\.csv cannot be written"):
        table._write(toy_trainer(tmp_path / "file"))
