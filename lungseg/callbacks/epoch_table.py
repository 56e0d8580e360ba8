"""epochs.csv, and the same values to the loggers."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lungseg.run_folder import writing
from lungseg.tasks.base import Task

FIRST = ("epoch", "step", "lr", "seconds")


class EpochTable(Callback):
    """Writes one row per epoch to `epochs.csv`, and sends the values to every logger.

    Columns: epoch (from 1), step, lr, seconds (of the epoch, over all sittings), then `train/...` and `val/...`; the
    cell of a value that was not measured, or is not defined, is empty. A resumed run drops the rows of epochs that it
    repeats, so the table of a resumed run is that of an uninterrupted one, seconds apart.
    """

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._lr = 0.0
        self._spent = 0.0
        self._since = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far and the seconds of a running epoch."""
        return {"rows": self._rows, "spent": self._spent + time.monotonic() - self._since}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the rows so far."""
        self._rows = list(state_dict["rows"])
        self._spent = float(state_dict["spent"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; write the rows that a resumed run brings along."""
        self._since = time.monotonic()
        if self._rows:
            self._write(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the epoch's clock."""
        self._spent, self._since = 0.0, time.monotonic()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the learning rate before the scheduler moves on to the next epoch's."""
        self._lr = float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch's row."""
        if not isinstance(pl_module, Task):
            return
        row = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "lr": self._lr,
            "seconds": round(self._spent + time.monotonic() - self._since, 3),
            **pl_module.epoch_values,
        }
        self._rows = [earlier for earlier in self._rows if earlier["epoch"] < row["epoch"]] + [row]
        self._write(trainer)
        for logger in trainer.loggers:
            logger.log_metrics({k: float(v) for k, v in row.items() if k != "step"}, step=trainer.global_step)

    def _write(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero:
            return
        names = list(dict.fromkeys([*FIRST, *(name for row in self._rows for name in row)]))
        path = Path(trainer.default_root_dir) / "epochs.csv"
        waiting = path.with_name(".epochs.csv.part")
        with writing(path), waiting.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows({k: "" if v != v else v for k, v in row.items()} for row in self._rows)
        with writing(path):
            waiting.replace(path)
