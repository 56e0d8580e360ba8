"""Segmentation of K structures: one sigmoid each, or one softmax over them and the background."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lungseg.errors import ConfigError
from lungseg.metrics.counts import counts
from lungseg.metrics.running import RunningCounts
from lungseg.tasks.base import Task
from lungseg.types import Activation, Batch, MemoryFormat, channels


class SegmentationTask(Task):
    """Trains a network whose logits have one channel per structure, or one more for the background.

    With `activation=sigmoid` (K channels) structures may overlap; with `softmax` (K + 1 channels, background first)
    each pixel belongs to one of them. Every place that sees logits keeps to this.

    During fit, counts are taken at network size with `threshold`; the values of an epoch are the loss and accuracy,
    dice, iou, precision and recall (means over images, and pooled). On the published grid they are counted by the
    `PerSample` callback from what `test_step` returns.

    Args:
        model: image (B, C, H, W) float32 -> logits (B, K or K + 1, H, W), K = number of structures.
        loss: (logits, mask, valid) -> scalar, the mean over the images of the batch.
        optimizer: called with the parameters.
        scheduler: called with the optimiser; None keeps the learning rate.
        structures: the K names, in channel order.
        threshold: probability from which a pixel belongs to a structure, in (0, 1); a softmax takes the highest class.
        activation: what turns logits into probabilities: sigmoid or softmax.
        memory_format: of the network's weights, contiguous or channels_last: which is faster depends on network and
            device (a U-Net on a CPU trained a fifth faster with the latter, Res-CR-Net sees to it by itself).
        monitor: the value a plateau scheduler watches.
        seed: of every step.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        loss: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], Any] | None = None,
        structures: Sequence[str] = ("lungs",),
        threshold: float = 0.5,
        activation: Activation = "sigmoid",
        memory_format: MemoryFormat = "contiguous",
        monitor: str = "val/dice",
        seed: int = 0,
    ) -> None:
        super().__init__(model=model, loss=loss, optimizer=optimizer, scheduler=scheduler, monitor=monitor, seed=seed)
        if not 0 < threshold < 1:
            msg = f"task.threshold={threshold} must lie between 0 and 1"
            raise ConfigError(msg)
        if activation not in get_args(Activation) or memory_format not in get_args(MemoryFormat):
            msg = (
                f"task.activation={activation} must be sigmoid or softmax, and task.memory_format={memory_format} "
                "contiguous or channels_last"
            )
            raise ConfigError(msg)
        if memory_format == "channels_last":
            self.model.to(memory_format=torch.channels_last)
        self.structures = tuple(structures)
        self.threshold = threshold
        self.activation = activation
        self.channels = channels(activation, len(self.structures))
        self._logit_threshold = math.log(threshold / (1 - threshold))
        self._train = RunningCounts(structures=self.structures)
        self._val = RunningCounts(structures=self.structures)
        self._val_loss: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, K or K + 1, H, W) of images (B, C, H, W)."""
        logits: Tensor = self.model(image)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch; its counts go to the epoch's running values."""
        logits = self.model(batch["image"])
        self._check_channels(logits, batch["mask"])
        loss: Tensor = self.loss(logits, batch["mask"], batch.get("valid"))
        self.guard(loss, batch)
        self.add_loss(loss, len(logits))
        self._train.update(self._counts(logits, batch))
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After the last batch of an epoch, take the running values before validation begins."""
        if self.trainer.is_last_batch:
            values = {"loss": self.mean_loss(), **self._train.compute()}
            self.epoch_values = {f"train/{name}": value for name, value in values.items()}

    def on_train_epoch_start(self) -> None:
        """Forget the counts of the epoch before."""
        super().on_train_epoch_start()
        self._train.reset()

    def on_validation_epoch_start(self) -> None:
        """Forget the counts of the validation before."""
        self._val.reset()
        self._val_loss = []

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Count a batch at network size; returns its logits (B, K or K + 1, H, W)."""
        logits = self.forward(batch["image"])
        self._check_channels(logits, batch["mask"])
        self._val_loss.append(self.loss(logits, batch["mask"], batch.get("valid")).double() * len(logits))
        self._val.update(self._counts(logits, batch))
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
        """Return the logits (B, K or K + 1, H, W) float32 of a batch."""
        return self.forward(batch["image"]).float()

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the logits (B, K or K + 1, H, W) float32 of a batch."""
        return self.forward(batch["image"]).float()

    def foreground(self, logits: Tensor) -> Tensor:
        """Return what counts as predicted during training, (B, K, H, W) bool.

        Sigmoid: where the probability is above `threshold`. Softmax: where the structure's logit is the highest of
        all; `threshold` plays no part.
        """
        if self.activation == "sigmoid":
            return logits > self._logit_threshold
        highest = logits.argmax(dim=1, keepdim=True)
        classes = torch.arange(1, logits.shape[1], device=logits.device).view(1, -1, 1, 1)
        return highest == classes

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the counts of a running epoch."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["running"]["counts"] = self._train.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the counts of an epoch that was cut off."""
        super().on_load_checkpoint(checkpoint)
        if "counts" in checkpoint.get("running", {}):
            self._train.load_state_dict(checkpoint["running"]["counts"])

    def _counts(self, logits: Tensor, batch: Batch) -> Tensor:
        return counts(self.foreground(logits.detach()), batch["mask"], batch.get("valid"))

    def _check_channels(self, logits: Tensor, mask: Tensor) -> None:
        if logits.shape[1] != self.channels or mask.shape[1] != len(self.structures):
            more = " and the background" if self.activation == "softmax" else ""
            msg = (
                f"model gives {logits.shape[1]} channels, but task.activation={self.activation} wants one for each of "
                f"{', '.join(self.structures)}{more}. Set model.num_classes={self.channels}"
            )
            raise ConfigError(msg)
