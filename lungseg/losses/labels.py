"""What every loss of classes does with its inputs: check them, leave out what is not known, take means over images."""

from __future__ import annotations

import torch
from torch import Tensor


def check_class(logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Check logits and the class of each image, and cast to the dtype the loss is computed in.

    That is float32, or float64 where the logits are float64. The values of the label are looked at on the CPU only: on
    another device it would force a synchronisation each step.

    Args:
        logits: (B, C), any float dtype.
        label: (B,) int64, in [0, C); negative where it is not known.

    Returns:
        Logits (B, C); label (B,) with 0 where it is not known; known (B,), 1 or 0, of the logits' dtype.

    Raises:
        ValueError: a shape does not fit, the label holds no whole numbers, or one that is no class.
    """
    if logits.ndim != 2 or label.shape != logits.shape[:1] or label.is_floating_point():
        msg = (
            f"logits have shape {tuple(logits.shape)} and the label {tuple(label.shape)} of {label.dtype}: a loss of "
            "one class of several takes (B, C) and (B,) of whole numbers. Choose a loss for task=multilabel, such as "
            "loss=bce_multilabel, where each label is a yes or no of its own"
        )
        raise ValueError(msg)
    if label.device.type == "cpu" and label.numel() and int(label.max()) >= logits.shape[1]:
        msg = (
            f"label holds the class {int(label.max())}, but there are {logits.shape[1]} logits, for classes from 0 on. "
            "Set model.num_classes to the number of data.classes"
        )
        raise ValueError(msg)
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    known = label >= 0
    return _finite(logits.to(dtype), known[:, None]), label.clamp(min=0), known.to(dtype)


def check_labels(logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Check logits and the labels of each image, and cast to the dtype the loss is computed in.

    As `check_class` does.

    Args:
        logits: (B, L), any float dtype.
        label: (B, L) float, 1 or 0, NaN where it is not known.

    Returns:
        Logits (B, L); label (B, L) with 0 where it is not known; known (B, L), 1 or 0. All of one dtype.

    Raises:
        ValueError: a shape does not fit, or the label holds another value than 0, 1 and NaN.
    """
    if logits.ndim != 2 or label.shape != logits.shape or not label.is_floating_point():
        msg = (
            f"logits have shape {tuple(logits.shape)} and the label {tuple(label.shape)} of {label.dtype}: a loss of "
            "several labels takes (B, L) for both, of floats (1, 0, NaN = unknown). Choose a loss for task=multiclass, "
            "such as loss=cross_entropy, where an image is of one class, or set model.num_classes to the number of "
            "data.classes"
        )
        raise ValueError(msg)
    known = ~label.isnan()
    if label.device.type == "cpu":
        other = label[known & (label != 0) & (label != 1)]
        if len(other):
            msg = f"label holds the value {other[0].item():g}, but may only hold 0, 1 and NaN (= unknown)"
            raise ValueError(msg)
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    return _finite(logits.to(dtype), known), label.nan_to_num(nan=0.0).to(dtype), known.to(dtype)


def mean_over_images(values: Tensor, known: Tensor) -> Tensor:
    """Mean of finite values (B,) or (B, L) over what is known of an image, then over images of which something is.

    Args:
        values: of images (B,), or of their labels (B, L).
        known: of the same shape, 1 or 0.

    Returns:
        Scalar; 0 where nothing is known.

    Example:
        >>> values, known = torch.tensor([[1.0, 3.0], [5.0, 9.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
        >>> mean_over_images(values, known).item()  # (2 + 5) / 2
        3.5
    """
    values, known = values.reshape(len(values), -1), known.reshape(len(known), -1)
    count = known.sum(dim=1)
    images = (values * known).sum(dim=1) / count.clamp(min=1)
    return images.sum() / (count > 0).sum().clamp(min=1)


def _finite(logits: Tensor, known: Tensor) -> Tensor:
    """Put 0 where a logit is left out: it may be infinite, and inf * 0 is NaN."""
    return logits.masked_fill(~known, 0)
