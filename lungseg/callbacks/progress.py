"""A line per epoch, and a bar while it runs."""

from __future__ import annotations

import math
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lungseg.tasks.base import Task

VALUES = ("train/loss", "train/dice", "train/macro_f1", "val/loss", "val/dice", "val/iou", "val/macro_f1")


class ProgressLines(Callback):
    """Prints one line per epoch with its values; on a terminal also a bar for the epoch that runs.

    The bar is drawn at most `per_second` times a second, so that short steps do not wait for the terminal.

    Args:
        per_second: refreshes of the bar.
        values: what a line shows, in order; those that a task does not measure are left out.
    """

    def __init__(
        self,
        *,
        per_second: float = 4.0,
        values: tuple[str, ...] = VALUES,
    ) -> None:
        self.console = Console()
        self.period = 1.0 / per_second
        self.values = tuple(values)
        self._bar: Progress | None = None
        self._drawn = 0.0
        self._began = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the epoch's clock and bar."""
        self._began = time.monotonic()
        if self.console.is_terminal and trainer.is_global_zero:
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                console=self.console, transient=True, auto_refresh=False,
            )  # fmt: skip
            self._bar.start()
            self._bar.add_task(
                f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", total=trainer.num_training_batches
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar, when its time has come."""
        if self._bar is not None and time.monotonic() - self._drawn >= self.period:
            self._drawn = time.monotonic()
            self._bar.update(self._bar.task_ids[0], completed=batch_idx + 1, refresh=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the epoch's line."""
        self._stop()
        if not trainer.is_global_zero or not isinstance(pl_module, Task):
            return
        found = {name: pl_module.epoch_values.get(name, math.nan) for name in self.values}
        shown = "  ".join(f"{name} {value:.4f}" for name, value in found.items() if not math.isnan(value))
        seconds = time.monotonic() - self._began
        self.console.print(
            f"epoch {trainer.current_epoch + 1:>3}/{trainer.max_epochs}  {shown}  {seconds:.1f} s",
            highlight=False,
            soft_wrap=True,
        )

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take the bar off the terminal."""
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
