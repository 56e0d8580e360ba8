"""Classification of whole radiographs: one class of several, or a yes or no to each of several labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lungseg.errors import ConfigError
from lungseg.metrics.running_classes import RunningClasses
from lungseg.tasks.base import Task
from lungseg.types import Batch, Kind, MemoryFormat


class ClassificationTask(Task):
    """Trains a network whose logits have one entry per class.

    With `kind=multiclass` each image is of one class, that of the highest logit; with `multilabel` each class is a
    label of its own, which an image may bear, lack, or of which nothing is known (NaN; left out of loss and values).

    The values of an epoch are the loss (mean over images) and those of `lungseg.metrics.running_classes`: accuracy,
    macro_f1, auroc, `f1/<class>`. Labels are predicted from a probability of 0.5 on meanwhile. What `test_step` returns
    is measured by the `PerSampleClasses` callback.

    Args:
        model: image (B, C, H, W) float32 -> logits (B, number of classes).
        loss: (logits, label) -> scalar, the mean over the images of the batch.
        optimizer: called with the parameters.
        scheduler: called with the optimiser; None keeps the learning rate.
        classes: their names, in the order of the logits.
        kind: multiclass or multilabel.
        memory_format: of the network's weights, contiguous or channels_last.
        monitor: the value a plateau scheduler watches.
        seed: of every step.

    Raises:
        ConfigError: `kind` or `memory_format` is none, or the classes are fewer than told apart, or repeated.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        loss: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], Any] | None = None,
        classes: Sequence[str] = (),
        kind: Kind = "multiclass",
        memory_format: MemoryFormat = "contiguous",
        monitor: str = "val/loss",
        seed: int = 0,
    ) -> None:
        super().__init__(model=model, loss=loss, optimizer=optimizer, scheduler=scheduler, monitor=monitor, seed=seed)
        if kind not in get_args(Kind) or memory_format not in get_args(MemoryFormat):
            msg = (
                f"task.kind={kind} must be multiclass or multilabel, and task.memory_format={memory_format} contiguous "
                "or channels_last"
            )
            raise ConfigError(msg)
        if memory_format == "channels_last":
            self.model.to(memory_format=torch.channels_last)
        self.classes = tuple(classes)
        self.kind: Kind = kind
        self._train = RunningClasses(kind=kind, classes=self.classes)
        self._val = RunningClasses(kind=kind, classes=self.classes)
        self._val_loss: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, number of classes) of images (B, C, H, W)."""
        logits: Tensor = self.model(image)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch; its logits go to the epoch's running values."""
        logits = self.model(batch["image"])
        self._check_classes(logits)
        loss: Tensor = self.loss(logits, batch["label"])
        self.guard(loss, batch)
        self.add_loss(loss, len(logits))
        self._train.update(logits.detach(), batch["label"])
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After the last batch of an epoch, take the running values before validation begins."""
        if self.trainer.is_last_batch:
            values = {"loss": self.mean_loss(), **self._train.compute()}
            self.epoch_values = {f"train/{name}": value for name, value in values.items()}

    def on_train_epoch_start(self) -> None:
        """Forget the images of the epoch before."""
        super().on_train_epoch_start()
        self._train.reset()

    def on_validation_epoch_start(self) -> None:
        """Forget the images of the validation before."""
        self._val.reset()
        self._val_loss = []

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Take in a batch; returns its logits (B, number of classes)."""
        logits = self.forward(batch["image"])
        self._check_classes(logits)
        self._val_loss.append(self.loss(logits, batch["label"]).double() * len(logits))
        self._val.update(logits, batch["label"])
        return logits

    def on_validation_epoch_end(self) -> None:
        """Log the values of the validation."""
        seen = len(self._val)
        total = float(torch.stack(self._val_loss).sum()) if self._val_loss else math.nan
        values = {"loss": total / seen if seen else math.nan, **self._val.compute()}
        named = {f"val/{name}": value for name, value in values.items()}
        self.epoch_values.update(named)
        # callbacks that watch a value find it among the trainer's metrics; writing it out is EpochTable's work
        self.log_dict(named, logger=False, batch_size=1)

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the logits (B, number of classes) float32 of a batch."""
        logits = self.forward(batch["image"]).float()
        self._check_classes(logits)
        return logits

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the logits (B, number of classes) float32 of a batch."""
        return self.forward(batch["image"]).float()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the images of a running epoch."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["running"]["classes"] = self._train.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the images of an epoch that was cut off."""
        super().on_load_checkpoint(checkpoint)
        if "classes" in checkpoint.get("running", {}):
            self._train.load_state_dict(checkpoint["running"]["classes"])

    def _check_classes(self, logits: Tensor) -> None:
        if logits.ndim != 2 or logits.shape[1] != len(self.classes):
            msg = (
                f"model gives logits of the shape {tuple(logits.shape)}, but task.kind={self.kind} wants one for each "
                f"of {', '.join(self.classes)}. Take a classifier (model=resnet34) and set "
                f"model.num_classes={len(self.classes)}"
            )
            raise ConfigError(msg)
