"""Values of an epoch of classes: functions of the images, not of batches or stops; what does not fit is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lungseg.errors import ConfigError, DivergedError, PreemptedError
from tests.callbacks.test_resume import StopAt
from tests.toy import toy_trainer
from tests.toy_classes import TinyClassifier, toy_classes, toy_classification

KINDS = ["multiclass", "multilabel"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def fit(folder: Path, store: Path, kind="multiclass", *callbacks, batch_size=3, epochs=2, resume=False):
    task = toy_classification(kind)
    toy_trainer(folder, *callbacks, epochs=epochs).fit(
        task, datamodule=toy_classes(store, kind, batch_size=batch_size),
        ckpt_path=str(folder / "checkpoints/last.ckpt") if resume else None, weights_only=True,
    )  # fmt: skip
    return task


class Fixed(torch.nn.Module):
    """The brighter the image, the more of the second class; no weight that training would move."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(2))

    def forward(self, image):
        light = image.amax(dim=(1, 2, 3))
        return torch.stack([0.7 - light, light - 0.7], dim=1) + self.bias


def fixed_values(folder, store, batch_size):
    task = toy_classification()
    task.model = Fixed()
    task._optimizer = lambda parameters: torch.optim.SGD(list(parameters), lr=0.0)
    toy_trainer(folder, epochs=1).fit(task, datamodule=toy_classes(store, val=7, batch_size=batch_size))
    return task.epoch_values


@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_has_its_values_of_both_parts(tmp_path, store, kind):
    values = fit(tmp_path, store, kind).epoch_values
    for part in ("train", "val"):
        assert {f"{part}/{name}" for name in ("loss", "accuracy", "macro_f1", "auroc")} <= set(values)


def test_it_learns_what_there_is_to_learn(tmp_path, store):
    task = fit(tmp_path, store, epochs=15)
    assert task.epoch_values["val/macro_f1"] == 1.0
    assert task.epoch_values["val/loss"] < math.log(2)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_values_are_the_same_to_the_last_bit_for_any_batch_size(tmp_path, store, batch_size):
    whole, other = (fixed_values(tmp_path / f"{n}", store, n) for n in (7, batch_size))
    for name, value in whole.items():
        assert other[name] == (pytest.approx(value, rel=1e-6) if name.endswith("loss") else value), name


def test_values_are_those_of_the_images_by_hand(tmp_path, store):
    data = toy_classes(store, val=7)
    at = data.positions("val")
    found = (data.store.images(at) / 255).max(axis=(1, 2)) > 0.7
    values = fixed_values(tmp_path, store, 3)
    assert values["val/accuracy"] == pytest.approx((found == data.labels[at]).mean(), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batches", [2, 6], ids=["first-epoch", "second-epoch"])
def test_a_run_stopped_inside_an_epoch_resumes_with_the_same_values_and_weights(tmp_path, store, kind, batches):
    straight = fit(tmp_path / "straight", store, kind)
    with pytest.raises(PreemptedError):
        fit(tmp_path / "run", store, kind, StopAt(batches))
    resumed = fit(tmp_path / "run", store, kind, resume=True)
    assert all(torch.equal(resumed.state_dict()[name], value) for name, value in straight.state_dict().items())
    one, other = (pd.read_csv(tmp_path / name / "epochs.csv").drop(columns="seconds") for name in ("straight", "run"))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_unknown_labels_count_nowhere(tmp_path, store):
    labels = ("none", "bright", "?bright", "none")
    task = toy_classification("multilabel", classes=("bright",))
    data = toy_classes(store, "multilabel", labels=labels, classes=["bright"], val=8)
    assert data.part_of(2) == "unused"  # nothing is known of it
    toy_trainer(tmp_path, epochs=1).fit(task, datamodule=data)
    assert len(task._val) == 6
    assert math.isfinite(task.epoch_values["val/loss"])


class NotANumber(torch.nn.Module):
    def forward(self, logits, label):
        return logits.sum() * math.nan


def test_a_loss_that_is_not_finite_stops_the_run_and_names_samples(tmp_path, store):
    task = toy_classification()
    task.loss = NotANumber()
    with pytest.raises(DivergedError, match=r"the batch holds discs/"):
        toy_trainer(tmp_path, epochs=1).fit(task, datamodule=toy_classes(store))


def test_a_network_with_another_number_of_outputs_names_the_key(tmp_path, store):
    task = toy_classification()
    task.model = TinyClassifier(num_classes=5)
    with pytest.raises(ConfigError, match=r"shape \(3, 5\).*dim, bright.*model\.num_classes=2"):
        toy_trainer(tmp_path, epochs=1).fit(task, datamodule=toy_classes(store))


@pytest.mark.parametrize("wrong", [{"kind": "ordinal"}, {"memory_format": "rows"}], ids=["kind", "format"])
def test_an_unknown_choice_is_refused(wrong):
    with pytest.raises(ConfigError, match=f"task.{next(iter(wrong))}={next(iter(wrong.values()))}"):
        toy_classification(**{"classes": ("a", "b"), **wrong})


def test_channels_last_changes_the_layout_and_not_the_logits():
    plain, other = toy_classification().eval(), toy_classification(memory_format="channels_last").eval()
    image = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(other(image), plain(image))


def test_predicting_and_testing_give_the_logits():
    task = toy_classification().eval()
    batch = {"image": torch.rand(2, 1, 16, 16), "sample_id": ["a", "b"], "source": ["s", "s"], "index": torch.arange(2)}
    with torch.no_grad():
        assert torch.equal(task.test_step(batch, 0), task.predict_step(batch, 0))
        assert np.isfinite(task.test_step(batch, 0).numpy()).all()
