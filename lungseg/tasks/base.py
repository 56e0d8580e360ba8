"""What every task shares: seeding of each step, optimiser, a guard against values that are not finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lungseg.errors import ConfigError, DivergedError, near_name

CHECK_EVERY = 50
"""Steps between two looks at the finiteness flag on a GPU: each look makes the host wait for the device."""


class Task(LightningModule):
    """Base of the tasks: handed a network, a loss and an optimiser, it runs the steps.

    `epoch_values` holds the values of the epoch that just ended, named `train/<value>` and `val/<value>`; callbacks
    read them from there. `record` is the plain dict that goes into every checkpoint under the key `lungseg`.

    Args:
        model: image (B, C, H, W) float32 -> logits (B, K, H, W).
        loss: (logits, mask or label, valid) -> scalar.
        optimizer: called with the parameters.
        scheduler: called with the optimiser; stepped once an epoch; None keeps the learning rate.
        monitor: the value a plateau scheduler watches.
        seed: seeds torch before every step, with the step's number and the process's rank, so that dropout does not
            depend on what was drawn before (Lightning keeps no generator state in a checkpoint).
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        loss: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], Any] | None = None,
        monitor: str = "val/dice",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self._optimizer = optimizer
        self._scheduler = scheduler
        self.monitor = monitor
        self.seed = seed
        self.record: dict[str, Any] = {}
        self.epoch_values: dict[str, float] = {}
        self._loss_sum = torch.zeros((), dtype=torch.float64)
        self._loss_count = 0
        self._all_finite: Tensor | None = None

    def configure_optimizers(self) -> Any:
        """Build the optimiser over the trainable parameters, and the scheduler."""
        optimizer = self._optimizer(p for p in self.parameters() if p.requires_grad)
        if self._scheduler is None:
            return optimizer
        scheduler = self._scheduler(optimizer)
        watched = {"scheduler": scheduler, "interval": "epoch", "monitor": self.monitor}
        if isinstance(scheduler, ReduceLROnPlateau):
            watched["frequency"] = self.trainer.check_val_every_n_epoch or 1
        return {"optimizer": optimizer, "lr_scheduler": watched}

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed torch from (seed, batches done, rank): the same step draws the same dropout, resumed or not."""
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress
        done = int(progress.total.processed)
        # 2,654,435,761 and 40,503 are odd, so steps and ranks keep apart modulo 2**62
        drawn = (self.seed * 1_000_003 + done * 2_654_435_761 + self.global_rank * 40_503) % 2**62
        torch.default_generator.manual_seed(drawn)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(drawn)

    def on_train_epoch_start(self) -> None:
        """Forget the sums and values of the epoch before."""
        self.epoch_values = {}
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self._loss_count = 0

    def on_train_epoch_end(self) -> None:
        """Look at what a plateau scheduler watches, before Lightning does: it would end in an error of its own.

        Raises:
            ConfigError: `monitor` was not measured.
        """
        every = self.trainer.check_val_every_n_epoch or 1
        if not self.trainer.is_last_batch or (self.current_epoch + 1) % every:
            return
        plateaus = [c for c in self.trainer.lr_scheduler_configs if isinstance(c.scheduler, ReduceLROnPlateau)]
        if plateaus and self.monitor not in self.epoch_values:
            near = near_name(self.monitor, self.epoch_values)
            there = f"did you mean {near}?" if near else f"there are {', '.join(sorted(self.epoch_values))}"
            msg = f"scheduler=plateau watches monitor={self.monitor}, which was not measured in this epoch; {there}"
            raise ConfigError(msg)

    def guard(self, loss: Tensor, batch: Any) -> None:
        """Stop the run at a loss that is not finite.

        On the CPU at once; on a GPU within `CHECK_EVERY` steps, and always before a checkpoint is written.

        Raises:
            DivergedError: names the step and the samples of the batch.
        """
        if loss.device.type == "cpu":
            if not math.isfinite(loss.item()):
                self._diverged(batch)
            return
        finite = torch.isfinite(loss.detach())
        self._all_finite = finite if self._all_finite is None else self._all_finite & finite
        if (self.global_step + 1) % CHECK_EVERY == 0:
            self.check_finite(batch)

    def check_finite(self, batch: Any = None) -> None:
        """Raise when a loss since the last check was not finite.

        Raises:
            DivergedError: it was not.
        """
        flag, self._all_finite = self._all_finite, None
        if flag is not None and not bool(flag):
            self._diverged(batch)

    def _diverged(self, batch: Any) -> None:
        rates = [group["lr"] for optimizer in self.trainer.optimizers for group in optimizer.param_groups]
        names = ", ".join(batch["sample_id"][:5]) if batch is not None else "not known"
        folder = Path(self.trainer.default_root_dir)
        go_on = ""
        if (folder / "checkpoints" / "last.ckpt").exists():
            go_on = (
                ", or go on from the last checkpoint, which is intact, with "
                f"resume={folder} trainer.gradient_clip_val=1"
            )
        msg = (
            f"the loss is not finite at step {self.global_step} (epoch {self.current_epoch + 1}); the batch holds "
            f"{names}. The learning rate is {rates[0]:g}: start again with optimizer.lr={rates[0] / 10:g} or "
            f"trainer.precision=32-true{go_on}"
        )
        raise DivergedError(msg)

    def add_loss(self, loss: Tensor, size: int) -> None:
        """Add a batch to the running mean of the training loss."""
        self._loss_sum += loss.detach().double() * size
        self._loss_count += size

    def mean_loss(self) -> float:
        """Return the mean loss per image of the epoch so far; NaN before the first batch."""
        return float(self._loss_sum) / self._loss_count if self._loss_count else math.nan

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the record and the sums of a running epoch."""
        checkpoint["lungseg"] = self.record
        checkpoint["running"] = {"loss_sum": float(self._loss_sum), "loss_count": self._loss_count}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the sums of an epoch that was cut off."""
        running = checkpoint.get("running", {})
        self._loss_sum = torch.tensor(running.get("loss_sum", 0.0), dtype=torch.float64, device=self.device)
        self._loss_count = int(running.get("loss_count", 0))
