"""Overlap measures as functions of counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

Counts = npt.NDArray[Any] | Tensor
"""(..., 4): TP, FP, FN, TN."""
Values = npt.NDArray[np.float64]


def dice(counts: Counts) -> Values:
    """Dice = 2 TP / (2 TP + FP + FN); NaN where both masks are empty, 0 where one is.

    Args:
        counts: (..., 4) TP, FP, FN, TN of each image, or of pooled images.

    Returns:
        (...) float64 in [0, 1] or NaN.

    Example:
        >>> dice(np.array([[2, 1, 1, 0], [0, 0, 0, 4]]))  # 4 / 6; both empty
        array([0.66666667,        nan])
    """
    tp, fp, fn, _ = _columns(counts)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def iou(counts: Counts) -> Values:
    """Intersection over union (Jaccard) = TP / (TP + FP + FN); NaN where both masks are empty, 0 where one is.

    Args:
        counts: (..., 4) TP, FP, FN, TN.

    Returns:
        (...) float64 in [0, 1] or NaN.

    Source:
        The paper `resunet` prints eq. 7 without the subtracted intersection, but its table holds this value.
    """
    tp, fp, fn, _ = _columns(counts)
    return _ratio(tp, tp + fp + fn)


def accuracy(counts: Counts) -> Values:
    """Accuracy = (TP + TN) / all pixels; NaN where no pixel is valid.

    Args:
        counts: (..., 4) TP, FP, FN, TN.

    Returns:
        (...) float64 in [0, 1] or NaN.
    """
    tp, fp, fn, tn = _columns(counts)
    return _ratio(tp + tn, tp + fp + fn + tn)


def precision(counts: Counts) -> Values:
    """Precision = TP / (TP + FP); where nothing is predicted 0, or NaN if the reference is empty too.

    Args:
        counts: (..., 4) TP, FP, FN, TN.

    Returns:
        (...) float64 in [0, 1] or NaN.
    """
    tp, fp, fn, _ = _columns(counts)
    missed = (tp + fp == 0) & (fn > 0)
    return np.where(missed, 0.0, _ratio(tp, tp + fp))


def recall(counts: Counts) -> Values:
    """Recall (sensitivity) = TP / (TP + FN); NaN where the reference is empty.

    Args:
        counts: (..., 4) TP, FP, FN, TN.

    Returns:
        (...) float64 in [0, 1] or NaN.
    """
    tp, _, fn, _ = _columns(counts)
    return _ratio(tp, tp + fn)


OVERLAP: dict[str, Callable[[Counts], Values]] = {
    "dice": dice,
    "iou": iou,
    "accuracy": accuracy,
    "precision": precision,
    "recall": recall,
}
"""Every overlap measure by the name it is logged and written under."""


def _columns(counts: Counts) -> tuple[npt.NDArray[np.int64], ...]:
    array = counts.detach().cpu().numpy() if isinstance(counts, Tensor) else np.asarray(counts)
    if array.ndim == 0 or array.shape[-1] != 4:
        msg = f"counts have shape {array.shape}, but the last dimension must be 4: TP, FP, FN, TN"
        raise ValueError(msg)
    return tuple(np.moveaxis(array.astype(np.int64, copy=False), -1, 0))


def _ratio(numerator: npt.NDArray[np.int64], denominator: npt.NDArray[np.int64]) -> Values:
    nothing = np.full(np.shape(denominator), np.nan)
    np.divide(numerator, denominator, out=nothing, where=denominator > 0)
    return nothing
