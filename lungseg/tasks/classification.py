"""Classification of whole radiographs: one class of several, or a yes or no to each of several labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, cast, get_args

from torch import Tensor, nn
from torch.optim import Optimizer

from lungseg.errors import ConfigError
from lungseg.metrics.running_classes import RunningClasses
from lungseg.tasks.base import Running, Task
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
        ConfigError: `kind` or `memory_format` is none of those named.
    """

    running_key: ClassVar[str] = "classes"

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
        if kind not in get_args(Kind):
            msg = f"task.kind={kind} must be multiclass or multilabel"
            raise ConfigError(msg)
        super().__init__(
            model=model,
            loss=loss,
            running=(RunningClasses(kind=kind, classes=classes), RunningClasses(kind=kind, classes=classes)),
            optimizer=optimizer,
            scheduler=scheduler,
            memory_format=memory_format,
            monitor=monitor,
            seed=seed,
        )
        self.classes = tuple(classes)
        self.kind: Kind = kind

    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the loss of logits (B, number of classes) against the labels."""
        loss: Tensor = self.loss(logits, batch["label"])
        return loss

    def take(self, running: Running, logits: Tensor, batch: Batch) -> None:
        """Keep logits and labels of a batch."""
        cast("RunningClasses", running).update(logits, batch["label"])

    def check_outputs(self, logits: Tensor, batch: Batch) -> None:
        """Refuse logits that are not one for each class.

        Raises:
            ConfigError: names the keys to set.
        """
        if logits.ndim != 2 or logits.shape[1] != len(self.classes):
            msg = (
                f"model gives logits of the shape {tuple(logits.shape)}, but task.kind={self.kind} wants one for each "
                f"of {', '.join(self.classes)}. Take a classifier (model=resnet34) and set "
                f"model.num_classes={len(self.classes)}"
            )
            raise ConfigError(msg)
