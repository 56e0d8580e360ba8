"""Measures of a classifier as functions of its counts; numpy only.

Counts come first: a confusion matrix (..., C, C) counts images by true class (row) and predicted class (column), and
(..., C, 4) holds TP, FP, FN and TN of each class against the rest. Leading axes are resamples or parts, so a bootstrap
is one call.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Counts = NDArray[Any]


def one_vs_rest(confusion: Counts) -> Counts:
    """Counts of each class against the rest.

    Args:
        confusion: (..., C, C), true class by predicted class.

    Returns:
        (..., C, 4) TP, FP, FN, TN, of the dtype of `confusion`.

    Example:
        >>> one_vs_rest(np.array([[2, 1], [0, 3]])).tolist()
        [[2, 0, 1, 3], [3, 1, 0, 2]]
    """
    tp = np.diagonal(confusion, axis1=-2, axis2=-1)
    fp, fn = confusion.sum(axis=-2) - tp, confusion.sum(axis=-1) - tp
    tn = confusion.sum(axis=(-2, -1))[..., None] - tp - fp - fn
    return np.stack((tp, fp, fn, tn), axis=-1)


def precision(counts: Counts) -> Values:
    """Precision (positive predictive value) = TP / (TP + FP) of (..., 4); NaN where nothing is predicted."""
    return ratio(counts[..., 0], counts[..., 0] + counts[..., 1])


def recall(counts: Counts) -> Values:
    """Recall (sensitivity) = TP / (TP + FN) of (..., 4); NaN where the class has no image."""
    return ratio(counts[..., 0], counts[..., 0] + counts[..., 2])


def specificity(counts: Counts) -> Values:
    """Specificity = TN / (TN + FP) of (..., 4); NaN where all images are of the class."""
    return ratio(counts[..., 3], counts[..., 3] + counts[..., 1])


def f1(counts: Counts) -> Values:
    """F1 = 2 TP / (2 TP + FP + FN) of (..., 4); NaN where the class is neither there nor predicted."""
    return ratio(2 * counts[..., 0], 2 * counts[..., 0] + counts[..., 1] + counts[..., 2])


def accuracy(counts: Counts) -> Values:
    """Accuracy = (TP + TN) / all of (..., 4); NaN without images."""
    return ratio(counts[..., 0] + counts[..., 3], counts.sum(axis=-1))


def cohen_kappa(confusion: Counts) -> Values:
    """Cohen's kappa = (p_o - p_e) / (1 - p_e) of a confusion matrix.

    p_o is the share of images on the diagonal and p_e the one expected when truth and prediction were independent with
    the margins of the matrix (Cohen 1960, doi:10.1177/001316446002000104).

    Args:
        confusion: (..., C, C).

    Returns:
        (...) in [-1, 1]; NaN where all images are of one class and all are predicted as it.

    Example:
        >>> cohen_kappa(np.array([[2, 0], [2, 0]])).item()  # always the same class: no better than chance
        0.0
    """
    total = confusion.sum(axis=(-2, -1)).astype(np.float64)
    agreed = np.trace(confusion, axis1=-2, axis2=-1) * total
    chance = (confusion.sum(axis=-1).astype(np.float64) * confusion.sum(axis=-2)).sum(axis=-1)
    return ratio(agreed - chance, total * total - chance)


def mean_over(values: Values) -> Values:
    """Mean over the last axis, (..., C) -> (...), of what is defined; NaN where nothing is.

    Example:
        >>> mean_over(np.array([[0.5, np.nan, 1.0], [np.nan, np.nan, np.nan]]))
        array([0.75,  nan])
    """
    defined = np.isfinite(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))


def ratio(above: Counts, below: Counts) -> Values:
    """Divide in float64; NaN where `below` is 0."""
    over: Values = np.divide(
        above, below, out=np.full(np.broadcast(above, below).shape, np.nan), where=np.asarray(below) != 0
    )
    return over
