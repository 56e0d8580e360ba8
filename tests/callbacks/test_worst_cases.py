"""Pictures of the images with the highest loss."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from lungseg.callbacks.worst_cases import WorstCases
from lungseg.stats.case_loss import case_losses
from lungseg.types import Kind
from tests.toy_classes import CLASSES, class_tester, toy_classes, toy_classification


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_the_worst_of_each_part_are_drawn_as_the_network_saw_them(tmp_path: Path, store: Path, kind: Kind):
    module = toy_classes(store, kind, n=24, val=9, test=6)
    module.test_parts = ("test", "val")
    class_tester(tmp_path, WorstCases(each=2), kind=kind).trainer.test(
        toy_classification(kind), datamodule=module, verbose=False
    )
    listed = json.loads((tmp_path / "overlays/index.json").read_text())
    assert [(each["file"], each["part"], each["rank"], each["place"]) for each in listed] == [
        (f"overlays/{part}_worst_{place}.png", part, "worst", place) for part in ("val", "test") for place in (1, 2)
    ]
    rows = pd.read_parquet(tmp_path / "per_sample.parquet")
    p, truth = (rows[[start + name for name in CLASSES[kind]]].to_numpy(float) for start in ("p_", "t_"))
    loss = pd.Series(case_losses(p, truth, kind), index=rows["sample_id"])
    names = module.table.column("sample_id").to_pylist()
    for part in ("test", "val"):
        worst = loss[rows.loc[rows["part"] == part, "sample_id"]].nlargest(2)
        entries = [each for each in listed if each["part"] == part]
        assert [each["sample_id"] for each in entries] == worst.index.tolist()
        assert [each["loss"] for each in entries] == pytest.approx(worst.tolist())
    for each in listed:
        drawn = cv2.imread(str(tmp_path / each["file"]), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(drawn, module.store.images([names.index(each["sample_id"])])[0])


def test_images_of_which_nothing_is_known_are_not_drawn(tmp_path: Path, store: Path):
    labels = ("bright", "bright|large", "?bright|?large", "none")
    module = toy_classes(store, "multilabel", n=24, val=8, labels=labels)
    class_tester(tmp_path, WorstCases(each=50), kind="multilabel").trainer.test(
        toy_classification("multilabel"), datamodule=module, verbose=False
    )
    rows = pd.read_parquet(tmp_path / "per_sample.parquet")
    known = rows[rows[["t_bright", "t_large"]].notna().any(axis=1)]
    listed = json.loads((tmp_path / "overlays/index.json").read_text())
    assert sorted(each["sample_id"] for each in listed) == sorted(known["sample_id"])


def test_none_asked_for_makes_no_folder(tmp_path: Path, store: Path):
    class_tester(tmp_path, WorstCases(each=0)).trainer.test(
        toy_classification(), datamodule=toy_classes(store), verbose=False
    )
    assert not (tmp_path / "overlays").exists()
