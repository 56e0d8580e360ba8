"""Logits of the images seen so far in an epoch, and the values logged from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lungseg.metrics import classification
from lungseg.metrics.probabilities import probabilities
from lungseg.types import Kind


class RunningClasses:
    """Keeps the logits and labels of every image of an epoch, and computes its values at the end.

    The logits themselves are kept (4 bytes per image and class, on their device, in buffers that grow by doubling) and
    not running sums: an update is two copies, and every value is computed from whole counts and exact sums. So it does
    not change in the last bit with the batch size, the order, the number of processes, or when an epoch is resumed in
    its middle.

    Logged values follow `lungseg.metrics.classification`: accuracy, macro_f1 and auroc (mean over the classes where it
    is defined), and `f1/<class>` of each class. A multiclass is predicted by its highest logit, a label where its
    probability is at least 0.5, that is, where its logit is not negative.

    Args:
        kind: multiclass or multilabel.
        classes: the C names, in the order of the logits.

    Raises:
        ValueError: no class is named, or `kind` is neither.

    Example:
        >>> running = RunningClasses(kind="multiclass", classes=["normal", "viral"])
        >>> running.update(torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]]), torch.tensor([0, 1, 1]))
        >>> {name: round(value, 3) for name, value in running.compute().items()}
        {'accuracy': 0.667, 'macro_f1': 0.667, 'auroc': 1.0, 'f1/normal': 0.667, 'f1/viral': 0.667}
    """

    def __init__(self, *, kind: Kind, classes: Sequence[str]) -> None:
        if kind not in get_args(Kind):
            msg = f"kind={kind} must be multiclass or multilabel"
            raise ValueError(msg)
        if not classes:
            msg = "classes is empty: name at least one, as in data.classes=[normal,bacterial,viral]"
            raise ValueError(msg)
        self.kind = kind
        self.classes = tuple(classes)
        self._logits = torch.zeros(0, len(self.classes))
        self._labels = self._empty_labels(0, torch.device("cpu"))
        self._n = 0

    def __len__(self) -> int:
        """Number of images seen."""
        return self._n

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch; the device is not waited for.

        Args:
            logits: (B, C), any float dtype and device; kept in float32.
            labels: (B,) whole numbers, or (B, C) 0, 1 or NaN = unknown for a multilabel.

        Raises:
            ValueError: a shape does not fit the classes.
        """
        expected = (logits.shape[0],) if self.kind == "multiclass" else (logits.shape[0], len(self.classes))
        if logits.ndim != 2 or logits.shape[1] != len(self.classes) or tuple(labels.shape) != expected:
            msg = (
                f"logits have shape {tuple(logits.shape)} and labels {tuple(labels.shape)}, but a {self.kind} of "
                f"{len(self.classes)} classes ({', '.join(self.classes)}) needs (B, {len(self.classes)}) and "
                f"{'(B,)' if self.kind == 'multiclass' else f'(B, {len(self.classes)})'}"
            )
            raise ValueError(msg)
        end = self._n + logits.shape[0]
        if end > self._logits.shape[0] or logits.device != self._logits.device:
            self._grow(max(end, 2 * self._n, 256), logits.device)
        self._logits[self._n : end] = logits.detach()
        self._labels[self._n : end] = labels
        self._n = end

    def merge(self, others: Iterable[RunningClasses]) -> None:
        """Add the images of other processes or parts of the same classes."""
        for other in others:
            self.update(other.logits, other.labels)

    def reset(self) -> None:
        """Forget all images; the buffers are kept."""
        self._n = 0

    @property
    def logits(self) -> Tensor:
        """Logits of the images seen, (N, C) float32, on the device they were given on."""
        return self._logits[: self._n]

    @property
    def labels(self) -> Tensor:
        """Labels of the images seen, (N,) int64, or (N, C) float32 with NaN for a multilabel."""
        return self._labels[: self._n]

    def compute(self) -> dict[str, float]:
        """Return the values to log, by name; NaN where undefined. Waits for the device once.

        Raises:
            DataError: a label is no class, or a logit is NaN.
        """
        p = self.probabilities()
        labels = self.labels.cpu().numpy()
        values = {
            "accuracy": classification.accuracy(p, labels),
            "macro_f1": classification.macro_f1(p, labels),
            "auroc": _exact_mean(classification.auroc(p, labels)),
        }
        each = zip(self.classes, classification.f1(p, labels).tolist(), strict=True)
        return values | {f"f1/{name}": value for name, value in each}

    def probabilities(self) -> npt.NDArray[np.float64]:
        """Probabilities of the images seen, (N, C) float64: softmax, or a sigmoid of each label."""
        return probabilities(self.logits.cpu().numpy(), self.kind)

    def state_dict(self) -> dict[str, Tensor]:
        """Return what was seen so far, as plain tensors on the CPU that a resumed epoch goes on from."""
        return {"logits": self.logits.cpu().clone(), "labels": self.labels.cpu().clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state_dict`; the buffers move to the device of the next update.

        Raises:
            ValueError: the state is of another number of classes or another kind.
        """
        self.reset()
        self.update(state["logits"], state["labels"])

    def _grow(self, capacity: int, device: torch.device) -> None:
        # made outside inference mode, which validation runs in: such a tensor could not be written to after it
        with torch.inference_mode(False):
            logits = torch.zeros(capacity, len(self.classes), device=device)
            labels = self._empty_labels(capacity, device)
        logits[: self._n] = self.logits.to(device)
        labels[: self._n] = self.labels.to(device)
        self._logits, self._labels = logits, labels

    def _empty_labels(self, capacity: int, device: torch.device) -> Tensor:
        if self.kind == "multiclass":
            return torch.zeros(capacity, dtype=torch.int64, device=device)
        return torch.zeros(capacity, len(self.classes), dtype=torch.float32, device=device)


def _exact_mean(values: npt.NDArray[np.float64]) -> float:
    defined = [value for value in values.tolist() if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan
