from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from lungseg.callbacks.overlays import Overlays, _chosen, _layer
from tests.callbacks.test_per_sample import Bright
from tests.toy import toy_data, toy_task, toy_tester, toy_trainer


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def drawn(folder: Path, store: Path, *, val: int = 9, **overlays) -> list[dict]:
    task = toy_task()
    task.model = Bright()
    trainer, _ = toy_tester(folder, Overlays(**overlays))
    trainer.test(task, datamodule=toy_data(store, n=12, val=val), verbose=False)
    return json.loads((folder / "overlays/index.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory, store):
    folder = tmp_path_factory.mktemp("run")
    drawn(folder, store, each=2)
    return folder


@pytest.fixture(scope="module")
def index(folder):
    return json.loads((folder / "overlays/index.json").read_text())


def test_each_rank_has_its_pictures(index):
    assert [(entry["rank"], entry["place"]) for entry in index] == [
        (rank, place) for rank in ("worst", "median", "best") for place in (1, 2)
    ]


def test_an_entry_names_its_file_part_and_sample(index):
    first = index[0]
    assert first["file"] == "overlays/val_worst_1.png"
    assert (first["part"], first["source"]) == ("val", "discs")
    assert first["sample_id"].startswith("discs/")


def test_the_worst_are_the_worst_and_the_best_the_best(folder, index):
    dice = pd.read_parquet(folder / "per_sample.parquet").set_index("sample_id")["dice"].sort_values()
    by_rank = {rank: [e["dice"] for e in index if e["rank"] == rank] for rank in ("worst", "median", "best")}
    assert by_rank["worst"] == dice.iloc[:2].tolist()
    assert by_rank["best"] == dice.iloc[::-1].iloc[:2].tolist()
    assert all(dice.iloc[2] <= value <= dice.iloc[-3] for value in by_rank["median"])


def test_pictures_are_640_pixels_high_and_keep_the_sides_ratio(folder, index):
    for entry in index:
        assert cv2.imread(str(folder / entry["file"])).shape == (640, 640, 3)  # the discs are square


@pytest.mark.parametrize("n", range(1, 12))
@pytest.mark.parametrize("each", [1, 3])
def test_no_sample_is_shown_under_two_ranks(n, each):
    rows = pd.DataFrame({"sample_id": [f"s{i:02d}" for i in range(n)], "dice": np.linspace(0.1, 0.9, n)})
    shown = [sample for chosen in _chosen(rows, each).values() for sample in chosen.index]
    assert len(shown) == len(set(shown)) > 0


def test_undefined_dice_is_shown_under_no_rank():
    rows = pd.DataFrame({"sample_id": ["a", "b"], "dice": [np.nan, np.nan]})
    assert sum(len(chosen) for chosen in _chosen(rows, 3).values()) == 0


def test_a_sample_of_several_structures_is_ranked_by_their_mean():
    rows = pd.DataFrame({"sample_id": ["a", "a", "b", "b", "c", "c"], "dice": [0.9, 0.1, 0.6, 0.6, 0.8, 0.9]})
    chosen = _chosen(rows, 1)
    # means 0.5, 0.6, 0.85
    assert [chosen[rank].index.tolist() for rank in ("worst", "median", "best")] == [["a"], ["b"], ["c"]]


def test_none_asked_for_makes_no_folder(tmp_path, store):
    trainer, _ = toy_tester(tmp_path, Overlays(each=0))
    trainer.test(toy_task(), datamodule=toy_data(store), verbose=False)
    assert not (tmp_path / "overlays").exists()


class TensorBoardLogger:
    """Stands in for the logger of that name: keeps the pictures it is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, tuple[int, ...]]] = []
        self.experiment = self
        self.save_dir = self.log_dir = None

    def add_image(self, name, picture, step, dataformats):
        self.sent.append((name, picture.shape))

    def log_metrics(self, *args, **kwargs):
        pass

    def save(self):
        pass

    def finalize(self, status):
        pass

    def log_graph(self, model):
        pass

    def after_save_checkpoint(self, callback):
        pass


def sent(folder: Path, store: Path, *, epochs: int, **overlays) -> list[tuple[str, tuple[int, ...]]]:
    trainer, logger = toy_trainer(folder, Overlays(**overlays), epochs=epochs), TensorBoardLogger()
    trainer.loggers = [logger]
    trainer.fit(toy_task(), datamodule=toy_data(store, n=8, val=3))
    return logger.sent


def test_a_logger_is_sent_numbered_pictures_of_the_same_validation_images(tmp_path, store):
    assert sent(tmp_path, store, epochs=1, logged=2) == [
        ("val/overlay_0", (256, 256, 3)), ("val/overlay_1", (256, 256, 3)),
    ]  # fmt: skip


def test_pictures_are_sent_every_few_epochs_and_after_the_last(tmp_path, store):
    # epochs 1, 3 (every second) and 4 (the last)
    assert len(sent(tmp_path, store, epochs=4, logged=1, every_epochs=2)) == 3


def test_sending_pictures_changes_no_weight(tmp_path, store):
    weights = []
    for name, logged in (("with", 3), ("without", 0)):
        task = toy_task()
        trainer = toy_trainer(tmp_path / name, Overlays(logged=logged), epochs=2)
        trainer.loggers = [TensorBoardLogger()]
        trainer.fit(task, datamodule=toy_data(store, n=8))
        weights.append(task.state_dict())
    assert all(bool((weights[0][name] == weights[1][name]).all()) for name in weights[0])


def test_structures_are_numbered_from_1_and_the_later_one_shows():
    planes = np.array([[[1, 1, 0]], [[0, 1, 0]]], bool)
    assert _layer(planes).tolist() == [[1, 2, 0]]
