"""What every task shares: its steps, seeding of each, optimiser, a guard against values that are not finite."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Protocol, get_args

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lungseg import distributed
from lungseg.errors import ConfigError, DivergedError, near_name
from lungseg.types import Batch, MemoryFormat

CHECK_EVERY = 50
"""Steps between two looks at the finiteness flag on a GPU: each look makes the host wait for the device."""


class Running(Protocol):
    """What the images of an epoch are kept in, until its values are computed."""

    def __len__(self) -> int:
        """Number of images seen."""
        ...

    def reset(self) -> None:
        """Forget all images."""
        ...

    def compute(self) -> dict[str, float]:
        """Return the values to log, by name."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a resumed epoch goes on from."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        ...


class Task(LightningModule):
    """Base of the tasks: handed a network, a loss and an optimiser, it runs the steps.

    A subclass says with `loss_of`, `take` and `check_outputs` what its batches mean. The values of an epoch are the
    loss, its mean over images, and those of `running`. Of several processes the values are those of all images
    together, and the gradient is that of their mean loss, whatever number of them each process has.

    `epoch_values` holds the values of the epoch that just ended, named `train/<value>` and `val/<value>`; callbacks
    read them from there. `record` is the plain dict that goes into every checkpoint under the key `lungseg`.

    Args:
        model: image (B, C, H, W) float32 -> logits.
        loss: of logits and what they should say -> scalar, the mean over the images of the batch.
        running: what the images of the training part and of the validation part are kept in.
        optimizer: called with the parameters; with lists of them, layer by layer, if it has `by_layer`.
        scheduler: called with the optimiser; stepped once an epoch; None keeps the learning rate.
        memory_format: of the network's weights, contiguous or channels_last.
        monitor: the value a plateau scheduler watches.
        seed: seeds torch before every step, with the step's number and the process's rank, so that dropout does not
            depend on what was drawn before (Lightning keeps no generator state in a checkpoint).

    Raises:
        ConfigError: there is no such memory format.
    """

    running_key: ClassVar[str] = "seen"
    """Where a checkpoint keeps the images of a running epoch."""

    def __init__(
        self,
        *,
        model: nn.Module,
        loss: nn.Module,
        running: tuple[Running, Running],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], Any] | None = None,
        memory_format: MemoryFormat = "contiguous",
        monitor: str = "val/dice",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if memory_format not in get_args(MemoryFormat):
            msg = f"task.memory_format={memory_format} must be contiguous or channels_last"
            raise ConfigError(msg)
        if memory_format == "channels_last":
            model.to(memory_format=torch.channels_last)
        self.model = model
        self.loss = loss
        self._optimizer = optimizer
        self._scheduler = scheduler
        self.monitor = monitor
        self.seed = seed
        self.record: dict[str, Any] = {}
        self.epoch_values: dict[str, float] = {}
        self._train, self._val = running
        self._val_loss: list[Tensor] = []
        self._loss_sum = torch.zeros((), dtype=torch.float64)
        self._loss_count = 0
        self._all_finite: Tensor | None = None

    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the loss of a batch, a scalar."""
        raise NotImplementedError

    def take(self, running: Running, logits: Tensor, batch: Batch) -> None:
        """Keep what the values of the epoch need of a batch."""
        raise NotImplementedError

    def check_outputs(self, logits: Tensor, batch: Batch) -> None:
        """Refuse a network whose outputs the task cannot read.

        Raises:
            ConfigError: names the key to set.
        """
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of images (B, C, H, W)."""
        # of weights in another precision (trainer.precision=64-true, bf16-true); mixed precision keeps float32 here
        logits: Tensor = self.model(image.to(self.dtype))
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch by its share; its images go to the epoch's running values."""
        logits = self.forward(batch["image"])
        self.check_outputs(logits, batch)
        loss = self.loss_of(logits, batch)
        self.guard(loss, batch)
        share = batch.get("share", 1.0)
        if share:
            self.add_loss(loss, len(logits))
            self.take(self._train, logits.detach(), batch)
        return loss if share == 1.0 else loss * share

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After the last batch of an epoch, take the running values before validation begins."""
        if self.trainer.is_last_batch:
            values = {"loss": self.mean_loss(), **self._of_all(self._train).compute()}
            self.epoch_values = {f"train/{name}": value for name, value in values.items()}

    def on_validation_epoch_start(self) -> None:
        """Forget the images of the validation before."""
        self._val.reset()
        self._val_loss = []

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Take in a batch; returns its logits."""
        logits = self.forward(batch["image"])
        self.check_outputs(logits, batch)
        self._val_loss.append(self.loss_of(logits, batch).double() * len(logits))
        self.take(self._val, logits.detach(), batch)
        return logits

    def on_validation_epoch_end(self) -> None:
        """Log the values of the validation."""
        zero = torch.zeros((), dtype=torch.float64, device=self.device)
        total = torch.stack(self._val_loss).sum() if self._val_loss else zero
        values = {"loss": _mean(*_summed(total, len(self._val))), **self._of_all(self._val).compute()}
        named = {f"val/{name}": value for name, value in values.items()}
        self.epoch_values.update(named)
        # callbacks that watch a value find it among the trainer's metrics; writing it out is EpochTable's work. All
        # processes have the same values; Lightning wants to be told to join them nevertheless
        self.log_dict(named, logger=False, batch_size=1, sync_dist=distributed.processes() > 1)

    @staticmethod
    def _of_all(running: Running) -> Running:
        """Return the images of all processes; `running` itself keeps those of this one."""
        if distributed.processes() == 1:
            return running
        whole = copy.deepcopy(running)
        whole.load_state_dict({name: distributed.join(rows) for name, rows in running.state_dict().items()})
        return whole

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the logits of a batch, float32."""
        return self.forward(batch["image"]).float()

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the logits of a batch, float32."""
        return self.forward(batch["image"]).float()

    def configure_optimizers(self) -> Any:
        """Build the optimiser over the trainable parameters, and the scheduler."""
        optimizer = self._optimizer(self._to_optimise())
        if self._scheduler is None:
            return optimizer
        scheduler = self._scheduler(optimizer)
        watched = {"scheduler": scheduler, "interval": "epoch", "monitor": self.monitor}
        if isinstance(scheduler, ReduceLROnPlateau):
            watched["frequency"] = self.trainer.check_val_every_n_epoch or 1
        return {"optimizer": optimizer, "lr_scheduler": watched}

    def _to_optimise(self) -> Any:
        """Return the parameters that are trained now or from a later epoch on; layer by layer for `Layerwise`.

        Raises:
            ConfigError: the network does not tell its layers.
        """
        later = getattr(self.model, "unfreeze_at_epoch", None) is not None

        def trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
            return [p for p in parameters if p.requires_grad or later]

        if not getattr(self._optimizer, "by_layer", False):
            return trained(self.parameters())
        layers: Any = getattr(self.model, "layers", None)
        if layers is None:
            msg = (
                f"optimizer sets a learning rate for each layer, and {type(self.model).__name__} does not tell its "
                "layers, as classifiers do. Set optimizer=adam, or another model"
            )
            raise ConfigError(msg)
        return [kept for layer in layers() if (kept := trained(layer))]

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
        """Forget the sums, values and images of the epoch before."""
        self.epoch_values = {}
        self._train.reset()
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
        """Return the mean loss per image of the epoch so far, over all processes; NaN before the first batch."""
        return _mean(*_summed(self._loss_sum, self._loss_count))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the record, and the sums and images of a running epoch."""
        checkpoint["lungseg"] = self.record
        total, count = _summed(self._loss_sum, self._loss_count)
        checkpoint["running"] = {
            "loss_sum": total,
            "loss_count": count,
            self.running_key: self._of_all(self._train).state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the sums and images of an epoch that was cut off; of several processes the first one takes all."""
        running = checkpoint.get("running", {}) if self.global_rank == 0 else {}
        self._loss_sum = torch.tensor(running.get("loss_sum", 0.0), dtype=torch.float64, device=self.device)
        self._loss_count = int(running.get("loss_count", 0))
        if self.running_key in running:
            self._train.load_state_dict(running[self.running_key])


def _summed(total: Tensor, count: int) -> tuple[float, int]:
    """Add up the float64 sums and the counts of all processes."""
    sums = distributed.join(torch.stack([total, total.new_tensor(count)])[None])
    of_all, counted = sums.sum(dim=0).tolist()
    return of_all, int(counted)


def _mean(total: float, count: int) -> float:
    return total / count if count else math.nan
