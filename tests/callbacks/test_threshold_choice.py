"""Thresholds of labels: from the validation part alone, and of the very probabilities it has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from lungseg.callbacks.threshold_choice import ThresholdChoice
from lungseg.errors import ConfigError
from lungseg.metrics.thresholds import LabelThresholds
from tests.toy_classes import toy_classes, toy_classification


def trainer(folder) -> Trainer:
    return Trainer(
        default_root_dir=str(folder), accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip


def attached(run: Trainer, module) -> Trainer:
    run.datamodule = module
    return run


def test_they_are_chosen_from_the_probabilities_and_labels_of_the_validation_part(tmp_path):
    seen = {}

    def chooser(chances, labels, *, classes):
        seen.update(chances=chances, labels=labels, classes=classes)
        return {}

    module = toy_classes(tmp_path / "store", "multilabel", n=20, val=8, test=4)
    task = toy_classification("multilabel")
    assert ThresholdChoice(chooser=chooser).choose(attached(trainer(tmp_path), module), task) == {}
    at = module.positions("val")
    with torch.no_grad():
        logits = task.eval()(module.normalize(torch.from_numpy(module.store.images(at)[:, None])))
    assert seen["chances"] == pytest.approx(torch.sigmoid(logits).numpy(), rel=1e-5)
    np.testing.assert_array_equal(seen["labels"], module.labels[at])
    assert seen["classes"] == ("bright", "large")


def test_the_tested_parts_and_the_callbacks_are_as_before(tmp_path):
    module = toy_classes(tmp_path / "store", "multilabel", n=20, val=8, test=4)
    run = attached(trainer(tmp_path), module)
    before = list(run.callbacks)
    found = ThresholdChoice(chooser=LabelThresholds()).choose(run, toy_classification("multilabel"))
    assert set(found) == {"bright", "large"}
    assert (run.callbacks, module.test_parts) == (before, ("test",))


def test_without_a_validation_part_the_key_is_named(tmp_path):
    module = toy_classes(tmp_path / "store", "multilabel", n=12, val=0, test=4)
    with pytest.raises(ConfigError, match=r"validation part.*metrics\.thresholds=null"):
        ThresholdChoice(chooser=LabelThresholds()).choose(
            attached(trainer(tmp_path), module), toy_classification("multilabel")
        )
