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


def f1(counts: Counts) -> Values:
    """F1 = the harmonic mean of precision and recall, which for masks is Dice under the name that tables give it.

    Args:
        counts: (..., 4) TP, FP, FN, TN.

    Returns:
        (...) float64 in [0, 1] or NaN: what `dice` returns, undefined cases included. The mean over images is the mean
        of the images' F1, and not the F1 of a mean precision and a mean recall.
    """
    return dice(counts)


def specificity(counts: Counts) -> Values:
    """Specificity = TN / (TN + FP); NaN where the reference fills every valid pixel.

    Args:
        counts: (..., 4) TP, FP, FN, TN.

    Returns:
        (...) float64 in [0, 1] or NaN.
    """
    _, fp, _, tn = _columns(counts)
    return _ratio(tn, tn + fp)


def mse(counts: Counts) -> Values:
    """Mean squared error of the thresholded mask = (FP + FN) / all pixels: the share of wrong pixels, 1 - accuracy.

    Args:
        counts: (..., 4) TP, FP, FN, TN.

    Returns:
        (...) float64 in [0, 1], NaN where no pixel is valid.

    Source:
        The paper `covid_segmentation`; on probabilities see `lungseg.metrics.soft.brier`.
    """
    tp, fp, fn, tn = _columns(counts)
    return _ratio(fp + fn, tp + fp + fn + tn)


def complement(counts: Counts) -> npt.NDArray[np.int64]:
    """Return the counts of the background, everything that is not the structure: (..., 4) TN, FN, FP, TP.

    Example:
        >>> complement(np.array([3, 1, 2, 4]))
        array([4, 2, 1, 3])
    """
    tp, fp, fn, tn = _columns(counts)
    return np.stack((tn, fn, fp, tp), axis=-1)


def over_classes(measure: Callable[[Counts], Values], counts: Counts) -> Values:
    """Mean of a measure over two classes, the structure and its background; undefined where it is for either.

    The background fills most of a radiograph and is easily found, so that this lies well above the measure itself.

    Args:
        measure: one of `PER_IMAGE`.
        counts: (..., 4) TP, FP, FN, TN of the structure.

    Returns:
        (...) float64 in [0, 1] or NaN.

    Source:
        The paper `covid_segmentation` speaks of scores "for all classes"; whether it means this, it does not say.

    Example:
        >>> over_classes(dice, np.array([3, 1, 2, 4]))  # (6 / 9 + 8 / 11) / 2
        array(0.6969697)
    """
    return np.asarray((measure(counts) + measure(complement(counts))) / 2)


def all_classes(right: npt.ArrayLike, pixels: npt.ArrayLike, *, num_classes: int) -> npt.NDArray[np.int64]:
    """Return counts pooled over exclusive classes, the background being one of them.

    A wrong pixel is a false positive of one class and a false negative of another, so FP = FN, and Dice, precision,
    recall and F1 of these counts are all one number, the share of right pixels. That is how the paper `res_cr_net`
    scores: its table has four equal columns.

    Args:
        right: (...) pixels whose class is right.
        pixels: (...) valid pixels.
        num_classes: K structures and the background: K + 1.

    Returns:
        (..., 4) int64 TP, FP, FN, TN, each summed over the classes.

    Example:
        >>> all_classes(7, 10, num_classes=2)  # of one structure with TP 3, FP 1, FN 2, TN 4: its counts and theirs
        array([7, 3, 3, 7])
    """
    tp = np.asarray(right, dtype=np.int64)
    wrong = np.asarray(pixels, dtype=np.int64) - tp
    return np.stack((tp, wrong, wrong, tp * (num_classes - 1) + wrong * (num_classes - 2)), axis=-1)


OVERLAP: dict[str, Callable[[Counts], Values]] = {
    "dice": dice,
    "iou": iou,
    "accuracy": accuracy,
    "precision": precision,
    "recall": recall,
}
"""The overlap measures that are logged after each epoch, by name."""

PER_IMAGE: dict[str, Callable[[Counts], Values]] = {**OVERLAP, "specificity": specificity, "f1": f1, "mse": mse}
"""The overlap measures of each tested image; those that are not logged say the same in other words, or little."""


def ratios(counts: Counts) -> dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Return numerator and denominator of dice, iou, precision and recall, each (...), to be pooled over images.

    Example:
        >>> [int(part) for part in ratios(np.array([3, 1, 2, 4]))["dice"]]
        [6, 9]
    """
    tp, fp, fn, _ = _columns(counts)
    return {
        "dice": (2 * tp, 2 * tp + fp + fn),
        "iou": (tp, tp + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
    }


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
