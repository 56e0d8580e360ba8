"""Signals: the state is saved, the run says how to go on, and the handlers are given back."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback

from lungseg.callbacks.checkpoints import Checkpoints
from lungseg.callbacks.preemption import SIGNALS, Preemption
from lungseg.errors import PreemptedError
from tests.callbacks.test_resume import assert_same, fit
from tests.toy import toy_data, toy_task, toy_trainer


class Send(Callback):
    """Sends signals to the own process at the end of a batch, as a scheduler of jobs would."""

    def __init__(self, batches: int, *signals: int) -> None:
        self.batches = batches
        self.signals = signals

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.fit_loop.epoch_loop.batch_progress.total.processed == self.batches:
            for number in self.signals:
                os.kill(os.getpid(), number)


@pytest.fixture
def _handlers_are_given_back():
    """Every test here must leave the handlers as they were."""
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before


pytestmark = pytest.mark.usefixtures("_handlers_are_given_back")


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    return fit(tmp_path_factory.mktemp("straight") / "run")


# 5 batches an epoch, 3 epochs
@pytest.mark.parametrize(
    ("number", "batches", "step"),
    [
        (signal.SIGINT, 6, 7), (signal.SIGUSR1, 6, 7), (signal.SIGTERM, 0, 1), (signal.SIGTERM, 6, 7),
        (signal.SIGTERM, 4, 5), (signal.SIGTERM, 14, 15),
    ],
    ids=["ctrl-c", "usr1", "first-step", "inside-an-epoch", "at-an-epoch-s-end", "at-the-run-s-end"],
)  # fmt: skip
def test_a_signal_saves_the_state_after_the_step_and_the_run_goes_on_bit_identically(
    tmp_path, straight, number, batches, step
):
    with pytest.raises(PreemptedError) as caught:
        fit(tmp_path / "run", Preemption(), Send(batches, number))
    name = signal.Signals(number).name
    assert f"stopped by {name} at step {step}; the state is in {tmp_path}/run/checkpoints/last.ckpt" in str(
        caught.value
    )
    assert f"resume={tmp_path}/run" in str(caught.value)
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] == step
    assert_same(fit(tmp_path / "run", resume=True), straight)


def test_a_second_signal_ends_the_run_at_once(tmp_path):
    with pytest.raises(PreemptedError, match="at once by a second SIGTERM"):
        fit(tmp_path / "run", Preemption(), Send(2, signal.SIGINT, signal.SIGTERM))


def test_without_the_checkpoints_it_says_that_nothing_was_saved(tmp_path):
    trainer = toy_trainer(tmp_path, Preemption(), Send(1, signal.SIGTERM))
    trainer.callbacks = [callback for callback in trainer.callbacks if not isinstance(callback, Checkpoints)]
    with pytest.raises(PreemptedError, match="nothing was saved"):
        trainer.fit(toy_task(), datamodule=toy_data(tmp_path / "store", n=8))


def test_a_run_without_a_signal_ends_as_ever(tmp_path, straight):
    assert_same(fit(tmp_path / "run", Preemption()), straight)


def test_an_error_in_the_run_gives_the_handlers_back(tmp_path):
    class Fail(Callback):
        def on_train_batch_end(self, *_):
            raise RuntimeError("a fault of the test")

    with pytest.raises(RuntimeError, match="a fault of the test"):
        fit(Path(tmp_path) / "run", Preemption(), Fail())
