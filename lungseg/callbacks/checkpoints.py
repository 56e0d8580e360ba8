"""Checkpoints: the last state and the best weights, each replaced in one move."""

from __future__ import annotations

import logging
import math
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lungseg import distributed
from lungseg.callbacks.checkpoint_file import CheckpointFile
from lungseg.errors import ConfigError, DivergedError, ResourceError, near_name
from lungseg.tasks.base import Task

log = logging.getLogger(__name__)


class Checkpoints(Callback):
    """Keeps `checkpoints/last.ckpt` (everything, to resume) and `checkpoints/best.ckpt` (weights and record).

    `last.ckpt` is written when an epoch is over, every so many minutes inside an epoch, and when a signal stops the
    run. Writing goes to a temporary file that replaces the old one only when it is complete and on the disk, so a
    run killed at any moment leaves a whole checkpoint. Weights that are not finite are never written.

    Args:
        monitor: value that chooses the best epoch; measured on the validation part. None keeps no best.
        mode: whether more or less of it is better.
        every_minutes: time between two checkpoints inside an epoch; None writes at epoch ends only.

    Raises:
        ConfigError: `mode` is neither.
    """

    def __init__(
        self,
        *,
        monitor: str | None = "val/dice",
        mode: Literal["max", "min"] = "max",
        every_minutes: float | None = 10.0,
    ) -> None:
        if mode not in ("max", "min"):
            msg = f"callbacks.checkpoints.mode={mode} must be max or min"
            raise ConfigError(msg)
        self.monitor = monitor
        self.mode = mode
        self.every_minutes = every_minutes
        self.best_score: float | None = None
        self.best_epoch: int | None = None
        self._last_save = time.monotonic()
        self._between_epochs = False
        self._cut_off = False

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run has to know: the best so far."""
        return {"best_score": self.best_score, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best so far."""
        self.best_score = state_dict["best_score"]
        self.best_epoch = state_dict["best_epoch"]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let checkpoints be written by `CheckpointFile`, where no plugin was asked for."""
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = CheckpointFile()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._last_save = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write `last.ckpt` when its time has come; not at an epoch's last batch, since its end is written anyway."""
        if self.every_minutes is None or trainer.is_last_batch:
            return
        due = time.monotonic() - self._last_save >= 60 * self.every_minutes
        # several processes write together, so they have to come to the same answer at the same step
        if distributed.processes() > 1 and (batch_idx + 1) % distributed.AGREE_EVERY:
            return
        if distributed.any_says(due):
            self.save_last(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the state at the end of the epoch before: only now is all of it done, schedulers included."""
        if trainer.current_epoch > 0 and trainer.global_step > 0 and not trainer.fit_loop.restarted_on_epoch_start:
            self.save_between_epochs(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the state after the last epoch, or inside one that `max_steps` or `max_time` cut off."""
        if trainer.is_last_batch:
            self.save_between_epochs(trainer)
            return
        self._cut_off = True
        try:
            self.save_last(trainer)
        finally:
            self._cut_off = False

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note how many epochs are done; between two epochs, set the counters of the running epoch to 0.

        Called for `last.ckpt` only: Lightning asks no callback about a checkpoint of weights alone. Lightning leaves
        the finished epoch's counters in place there, and on resuming takes the new epoch for done (seen with lightning
        2.6.6; tests/callbacks/test_resume.py).
        """
        if self._cut_off:
            # Lightning counts an epoch that was cut off as done; resumed, it would begin the next one
            checkpoint["epoch"] -= 1
            for progress in checkpoint["loops"]["fit_loop"]["epoch_progress"].values():
                for counter in ("processed", "completed"):
                    progress[counter] -= 1
        checkpoint["epochs_done"] = int(checkpoint["epoch"])
        if self._between_epochs:
            fit_loop = checkpoint["loops"]["fit_loop"]
            for name, progress in fit_loop.items():
                if name.startswith("epoch_loop.") and isinstance(progress, dict):
                    _reset_current(progress)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write `best.ckpt` when the monitored value is better than ever.

        Raises:
            ConfigError: there is no such value.
        """
        if self.monitor is None or trainer.sanity_checking or not isinstance(pl_module, Task):
            return
        if self.monitor not in pl_module.epoch_values:
            near = near_name(self.monitor, pl_module.epoch_values)
            hint = f"Did you mean {near}?" if near else f"There are {', '.join(sorted(pl_module.epoch_values))}"
            msg = f"monitor={self.monitor} is not measured. {hint}"
            raise ConfigError(msg)
        score = pl_module.epoch_values[self.monitor]
        if math.isnan(score):
            return
        better = self.best_score is None or (score > self.best_score if self.mode == "max" else score < self.best_score)
        if better:
            self.best_score, self.best_epoch = score, trainer.current_epoch + 1
            self._save(trainer, "best.ckpt", weights_only=True)

    def save_between_epochs(self, trainer: Trainer) -> Path:
        """Write `last.ckpt` where one epoch is over and the next has not begun."""
        self._between_epochs = True
        try:
            return self.save_last(trainer)
        finally:
            self._between_epochs = False

    def save_last(self, trainer: Trainer) -> Path:
        """Write `last.ckpt` and return its path."""
        path = self._save(trainer, "last.ckpt", weights_only=False)
        self._last_save = time.monotonic()
        return path

    def _save(self, trainer: Trainer, name: str, *, weights_only: bool) -> Path:
        module = trainer.lightning_module
        if isinstance(module, Task):
            module.check_finite()
        refuse_not_finite(module.state_dict(), trainer.global_step)
        folder = Path(trainer.default_root_dir) / "checkpoints"
        path, waiting = folder / name, folder / f".{name}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            trainer.save_checkpoint(waiting, weights_only=weights_only)
            if trainer.is_global_zero:
                waiting.replace(path)
            distributed.wait_for_all()
        except OSError as error:
            with suppress(OSError):
                waiting.unlink()
            free = shutil.disk_usage(folder).free / 2**20 if folder.exists() else 0.0
            msg = (
                f"the checkpoint {path} cannot be written ({error}); {free:.0f} MiB are free there. The checkpoints "
                f"written before are intact: make room and go on with resume={trainer.default_root_dir}"
            )
            raise ResourceError(msg) from error
        return path


def _reset_current(progress: dict[str, Any]) -> None:
    """Set every `current` counter in a loop's state to 0; the totals stay."""
    for name, value in progress.items():
        if name == "current":
            for counter in value:
                value[counter] = 0
        elif name == "is_last_batch":
            progress[name] = False
        elif isinstance(value, dict):
            _reset_current(value)


def refuse_not_finite(state: dict[str, torch.Tensor], step: int) -> None:
    """Raise when a tensor of a state dict holds NaN or infinity.

    Raises:
        DivergedError: names the tensor.
    """
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            msg = (
                f"the weights {name} are not finite at step {step}; no checkpoint was written from them. Start "
                "again with a lower optimizer.lr, or go on from the last checkpoint, which is intact, with "
                "resume=<run folder> trainer.gradient_clip_val=1"
            )
            raise DivergedError(msg)
