"""Segmentation of K structures: one sigmoid each, or one softmax over them and the background."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, cast, get_args

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lungseg.errors import ConfigError
from lungseg.metrics.counts import counts
from lungseg.metrics.running import RunningCounts
from lungseg.tasks.base import Running, Task
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

    running_key: ClassVar[str] = "counts"

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
        super().__init__(
            model=model,
            loss=loss,
            running=(RunningCounts(structures=structures), RunningCounts(structures=structures)),
            optimizer=optimizer,
            scheduler=scheduler,
            memory_format=memory_format,
            monitor=monitor,
            seed=seed,
        )
        if not 0 < threshold < 1:
            msg = f"task.threshold={threshold} must lie between 0 and 1"
            raise ConfigError(msg)
        if activation not in get_args(Activation):
            msg = f"task.activation={activation} must be sigmoid or softmax"
            raise ConfigError(msg)
        self.structures = tuple(structures)
        self.threshold = threshold
        self.activation = activation
        self.channels = channels(activation, len(self.structures))
        self._logit_threshold = math.log(threshold / (1 - threshold))

    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the loss of logits (B, K or K + 1, H, W) against the masks, where they are valid."""
        loss: Tensor = self.loss(logits, batch["mask"], batch.get("valid"))
        return loss

    def take(self, running: Running, logits: Tensor, batch: Batch) -> None:
        """Count a batch at network size."""
        cast("RunningCounts", running).update(self._counts(logits, batch))

    def check_outputs(self, logits: Tensor, batch: Batch) -> None:
        """Refuse logits that do not have a channel for each structure, and for the background of a softmax.

        Raises:
            ConfigError: names the key to set.
        """
        if logits.shape[1] != self.channels or batch["mask"].shape[1] != len(self.structures):
            more = " and the background" if self.activation == "softmax" else ""
            msg = (
                f"model gives {logits.shape[1]} channels, but task.activation={self.activation} wants one for each of "
                f"{', '.join(self.structures)}{more}. Set model.num_classes={self.channels}"
            )
            raise ConfigError(msg)

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

    def _counts(self, logits: Tensor, batch: Batch) -> Tensor:
        return counts(self.foreground(logits.detach()), batch["mask"], batch.get("valid"))
