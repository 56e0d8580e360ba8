"""A backbone that is frozen in the first epochs: what moves when, and that a resumed run ends with the same weights."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from lungseg.callbacks.checkpoints import Checkpoints
from lungseg.callbacks.unfreeze import Unfreeze
from lungseg.errors import ConfigError, PreemptedError
from lungseg.models.backbone_classifier import BackboneClassifier
from lungseg.models.layerwise import Layerwise
from lungseg.tasks.classification import ClassificationTask
from tests.toy import toy_trainer
from tests.toy_classes import CLASSES, TinyLoss, toy_classes

# as lungseg.quiet has it
pytestmark = pytest.mark.filterwarnings("ignore:Found .* in eval mode at the start of training")

BATCHES = 4  # of an epoch: 12 training images, 3 a batch


class Small(BackboneClassifier):
    """One convolution with batch norm before the last layer."""

    def __init__(self, **arguments) -> None:
        super().__init__(in_channels=1, num_classes=2, dropout=0.2, **arguments)
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
        )
        self.use(net, features=16, last_conv="0")


OPTIMIZERS = {
    "adam": partial(torch.optim.Adam, lr=0.01),
    "adamw": partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1),  # must not shrink what is frozen
    "layerwise": Layerwise(optimizer=torch.optim.Adam, lr=0.01, decay=0.5),
}


class Notes(Callback):
    """Notes which tensors each epoch moved."""

    def __init__(self) -> None:
        self.moved: list[set[str]] = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.before = {name: value.clone() for name, value in pl_module.model.state_dict().items()}

    def on_train_epoch_end(self, trainer, pl_module):
        now = pl_module.model.state_dict()
        self.moved.append({name for name, value in self.before.items() if not torch.equal(value, now[name])})


class StopAt(Callback):
    """Saves and stops after a number of batches, as a signal would."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.fit_loop.epoch_loop.batch_progress.total.processed == self.batches:
            next(c for c in trainer.callbacks if isinstance(c, Checkpoints)).save_last(trainer)
            raise PreemptedError("stopped by the test")


def fit(folder: Path, *callbacks: Callback, optimizer: str = "adam", resume: bool = False, epochs: int = 4, **model):
    torch.manual_seed(0)
    task = ClassificationTask(
        model=Small(**{"freeze": "backbone", "unfreeze_at_epoch": 3, **model}), loss=TinyLoss(),
        classes=CLASSES["multiclass"], optimizer=OPTIMIZERS[optimizer],
    )  # fmt: skip
    run = toy_trainer(folder, Unfreeze(), *callbacks, epochs=epochs)
    last = str(folder / "checkpoints/last.ckpt") if resume else None
    run.fit(task, datamodule=toy_classes(folder.parent / "store"), ckpt_path=last, weights_only=True)
    return task


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_before_its_epoch_nothing_of_the_backbone_moves_and_then_all_of_it(tmp_path, optimizer):
    notes = Notes()
    task = fit(tmp_path / "run", notes, optimizer=optimizer)
    everything = set(task.model.state_dict())
    assert notes.moved == [{"head.weight", "head.bias"}] * 2 + [everything] * 2


def test_without_an_epoch_the_backbone_stays_frozen_and_out_of_the_optimiser(tmp_path):
    notes = Notes()
    task = fit(tmp_path / "run", notes, unfreeze_at_epoch=None)
    assert notes.moved == [{"head.weight", "head.bias"}] * 4
    assert sum(len(group["params"]) for group in task.trainer.optimizers[0].param_groups) == 2


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Weights of uninterrupted runs, by optimiser."""
    folder = tmp_path_factory.mktemp("straight")
    return {name: fit(folder / name, optimizer=name).state_dict() for name in OPTIMIZERS}


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize(
    "batches",
    [BATCHES + 2, 2 * BATCHES + 1, 3 * BATCHES + 2],
    ids=["frozen", "first-after", "later"],
)
def test_a_run_stopped_and_resumed_ends_bit_identically(tmp_path, straight, batches, optimizer):
    with pytest.raises(PreemptedError):
        fit(tmp_path / "run", StopAt(batches), optimizer=optimizer)
    weights = fit(tmp_path / "run", optimizer=optimizer, resume=True).state_dict()
    assert [name for name, value in straight[optimizer].items() if not torch.equal(weights[name], value)] == []


@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_run_that_ended_goes_on_to_more_epochs_bit_identically(tmp_path, straight, done):
    fit(tmp_path / "run", epochs=done)
    weights = fit(tmp_path / "run", resume=True).state_dict()
    assert [name for name, value in straight["adam"].items() if not torch.equal(weights[name], value)] == []


def test_an_epoch_after_the_last_is_warned_of(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        fit(tmp_path / "run", epochs=1)
    assert "model.unfreeze_at_epoch=3 comes after trainer.max_epochs=1: the backbone is never trained" in caplog.text


def test_several_processes_are_refused():
    class Two:
        world_size, max_epochs, current_epoch = 2, 4, 0

    task = ClassificationTask(
        model=Small(freeze="backbone", unfreeze_at_epoch=3), loss=TinyLoss(), classes=("a", "b"),
        optimizer=OPTIMIZERS["adam"],
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"model\.unfreeze_at_epoch=3 works in one process, and there are 2"):
        Unfreeze().on_train_start(Two(), task)


def test_other_networks_are_left_alone(tmp_path):
    task = fit(tmp_path / "run", freeze="none", unfreeze_at_epoch=None, epochs=1)
    assert not task.model.frozen
    assert all(p.requires_grad for p in task.model.parameters())
