"""A run that was cut off and resumed ends with the very weights of one that was not."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback

from lungseg.callbacks.checkpoints import Checkpoints
from lungseg.errors import PreemptedError
from tests.toy import toy_data, toy_task, toy_trainer


class StopAt(Callback):
    """Saves and stops after a number of batches, as a signal would."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.fit_loop.epoch_loop.batch_progress.total.processed == self.batches:
            next(c for c in trainer.callbacks if isinstance(c, Checkpoints)).save_last(trainer)
            raise PreemptedError("stopped by the test")


class KillAt(StopAt):
    """Stops without saving, as kill -9 would."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.fit_loop.epoch_loop.batch_progress.total.processed == self.batches:
            raise PreemptedError("killed by the test")


SCHEDULERS = {
    "constant": None,
    "step": partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5),
    "plateau": partial(torch.optim.lr_scheduler.ReduceLROnPlateau, patience=0, factor=0.5),
}


def fit(folder: Path, *callbacks: Callback, scheduler: str = "step", resume: bool = False, epochs: int = 3, **trainer):
    data = toy_data(folder.parent / "store")
    task = toy_task(scheduler=SCHEDULERS[scheduler])
    run = toy_trainer(folder, *callbacks, epochs=epochs, **trainer)
    run.fit(
        task, datamodule=data, ckpt_path=str(folder / "checkpoints/last.ckpt") if resume else None, weights_only=True
    )
    return task.state_dict(), pd.read_csv(folder / "epochs.csv").drop(columns="seconds")


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Weights and epoch tables of uninterrupted runs (5 batches an epoch, 3 epochs), by scheduler."""
    folder = tmp_path_factory.mktemp("straight")
    return {name: fit(folder / name, scheduler=name) for name in SCHEDULERS}


def assert_same(found, expected):
    weights, table = found
    for name, tensor in expected[0].items():
        assert torch.equal(weights[name], tensor), name
    pd.testing.assert_frame_equal(table, expected[1], check_exact=True)


@pytest.mark.parametrize("scheduler", list(SCHEDULERS))
@pytest.mark.parametrize("batches", [1, 4, 7, 11], ids=lambda n: f"after-batch-{n}")
def test_a_run_stopped_inside_an_epoch_resumes_bit_identically(tmp_path, straight, batches, scheduler):
    with pytest.raises(PreemptedError):
        fit(tmp_path / "run", StopAt(batches), scheduler=scheduler)
    assert_same(fit(tmp_path / "run", scheduler=scheduler, resume=True), straight[scheduler])


@pytest.mark.parametrize("batches", [6, 10, 12], ids=lambda n: f"after-batch-{n}")
@pytest.mark.parametrize("scheduler", list(SCHEDULERS))
def test_a_killed_run_resumes_from_its_last_epoch_bit_identically(tmp_path, straight, batches, scheduler):
    with pytest.raises(PreemptedError):
        fit(tmp_path / "run", KillAt(batches), scheduler=scheduler)
    assert_same(fit(tmp_path / "run", scheduler=scheduler, resume=True), straight[scheduler])


def test_a_run_stopped_twice_resumes_bit_identically(tmp_path, straight):
    with pytest.raises(PreemptedError):
        fit(tmp_path / "run", StopAt(3))
    with pytest.raises(PreemptedError):
        fit(tmp_path / "run", StopAt(9), resume=True)
    assert_same(fit(tmp_path / "run", resume=True), straight["step"])


def test_a_finished_run_goes_on_to_more_epochs_as_if_it_had_been_asked_for_them(tmp_path, straight):
    fit(tmp_path / "run", epochs=2)
    assert_same(fit(tmp_path / "run", epochs=3, resume=True), straight["step"])


def test_a_resumed_run_with_accumulated_gradients_ends_bit_identically(tmp_path):
    expected = fit(tmp_path / "whole", accumulate_grad_batches=2)
    with pytest.raises(PreemptedError):
        fit(tmp_path / "run", StopAt(7), accumulate_grad_batches=2)
    assert_same(fit(tmp_path / "run", resume=True, accumulate_grad_batches=2), expected)
