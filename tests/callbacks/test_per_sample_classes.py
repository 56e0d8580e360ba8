"""Results of a classifier: a row for each image, as the report reads it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer

from lungseg.callbacks.per_sample_classes import PerSampleClasses
from lungseg.errors import DataError
from lungseg.metrics.classification_summary import summarise_classes
from tests.toy_classes import CLASSES, toy_classes, toy_classification


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def run(folder: Path, store: Path, kind="multiclass", *, task=None, thresholds=None, **data):
    folder.mkdir(parents=True, exist_ok=True)
    tester = PerSampleClasses(
        kind=kind, classes=CLASSES[kind], summarise=summarise_classes, n_boot=20, thresholds=thresholds,
        facts={"trained_on": ["discs"]},
    )  # fmt: skip
    trainer = Trainer(
        default_root_dir=str(folder), accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False, callbacks=[tester],
    )  # fmt: skip
    module = toy_classes(store, kind, val=9, **data)
    trainer.test(task or toy_classification(kind), datamodule=module, verbose=False)
    return tester, module


def files(folder: Path) -> tuple[pd.DataFrame, dict]:
    return pd.read_parquet(folder / "per_sample.parquet"), json.loads((folder / "metrics.json").read_text())


def logits_of(module, task) -> np.ndarray:
    at = module.positions("val")
    images = torch.from_numpy(module.store.images(at)[:, None])
    with torch.no_grad():
        return task.eval()(module.normalize(images)).double()


def test_a_multiclass_row_holds_probabilities_truth_and_the_most_probable_class(tmp_path, store):
    _, module = run(tmp_path, store)
    frame, _ = files(tmp_path)
    assert frame.columns.tolist() == [
        "part", "source", "sample_id", "subject_id", "label", "p_dim", "p_bright", "t_dim", "t_bright", "predicted",
        "kept", "sex", "age", "view",
    ]  # fmt: skip
    wanted = torch.softmax(logits_of(module, toy_classification()), dim=1).numpy()
    assert frame[["p_dim", "p_bright"]].to_numpy() == pytest.approx(wanted, rel=1e-5)
    assert frame["p_dim"].dtype == frame["t_dim"].dtype == np.float32
    assert frame["predicted"].tolist() == [("dim", "bright")[i] for i in wanted.argmax(axis=1)]
    assert (frame["t_bright"] == (frame["label"] == "bright")).all()
    assert frame["part"].unique().tolist() == ["val"]
    assert frame["sample_id"].tolist() == [f"discs/{i:03d}" for i in range(7, 16)]


def test_a_multilabel_row_holds_nan_for_what_is_not_known_and_joins_what_is_predicted(tmp_path, store):
    _, module = run(tmp_path, store, "multilabel", thresholds={"bright": 0.0, "large": 1.0})
    frame, found = files(tmp_path)
    wanted = torch.sigmoid(logits_of(module, toy_classification("multilabel"))).numpy()
    assert frame[["p_bright", "p_large"]].to_numpy() == pytest.approx(wanted, rel=1e-5)
    # labels come in turns of four: none, bright, bright|large, ?bright|large; the first row is the eighth
    assert frame["t_bright"].tolist()[:4] == pytest.approx([np.nan, 0, 1, 1], nan_ok=True)
    assert frame["t_large"].tolist()[:4] == [1, 0, 0, 1]
    assert frame["predicted"].tolist() == ["bright"] * 9  # all at 0, none at 1
    assert found["thresholds"] == {"bright": 0.0, "large": 1.0}


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_metrics_are_the_summary_of_the_rows_that_can_be_read_back(tmp_path, store, kind):
    run(tmp_path, store, kind)
    frame, found = files(tmp_path)
    thresholds = {"multiclass": {}, "multilabel": {"bright": 0.5, "large": 0.5}}[kind]
    assert (found["kind"], found["classes"], found["thresholds"]) == (kind, list(CLASSES[kind]), thresholds)
    assert found["parts"] == summarise_classes(frame, kind=kind, classes=CLASSES[kind], n_boot=20, seed=0)
    assert (found["trained_on"], found["network_size"], found["n_boot"]) == (["discs"], [16, 16], 20)


def test_results_do_not_depend_on_how_images_are_batched(tmp_path, store):
    for size in (2, 9):
        run(tmp_path / f"{size}", store, batch_size=size)
    (one, first), (other, second) = (files(tmp_path / f"{size}") for size in (2, 9))
    pd.testing.assert_frame_equal(one, other, rtol=1e-5)
    assert first["parts"]["val"]["all"]["confusion"] == second["parts"]["val"]["all"]["confusion"]


def test_a_part_without_images_is_an_error_that_names_the_keys(tmp_path, store):
    tester, _ = run(tmp_path / "a", store)
    tester._frames = []
    with pytest.raises(DataError, match=r"test_parts"):
        tester.on_test_epoch_end(Trainer(logger=False, enable_checkpointing=False), None)


def test_an_output_that_is_not_a_number_names_the_images(tmp_path, store):
    task = toy_classification()
    torch.nn.init.constant_(task.model.head.bias, float("nan"))
    with pytest.raises(DataError, match=r"outputs for discs/007, .* are not finite.*trainer\.precision=32-true"):
        run(tmp_path, store, task=task)
