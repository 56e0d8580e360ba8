"""Calibration of a classifier as functions of (probabilities, labels): ECE, Brier score, reliability table.

Probabilities and labels are those of `lungseg.metrics.classification`. Bins are of equal width over [0, 1], 15 unless
said otherwise; a bin holds its lower edge, and 1 belongs to the last.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lungseg.metrics.classification import truth_matrix
from lungseg.stats.confusion import Values, mean_over
from lungseg.stats.reliability import BINS, Reliability, reliability


def class_reliability(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = BINS) -> list[Reliability]:
    """Reliability table of each class: its probability against the share of images of the class.

    Args:
        probabilities: (N, C) in [0, 1].
        labels: (N,), or (N, L) with NaN = unknown, left out.
        bins: number of bins.

    Returns:
        A table for each class.

    Raises:
        DataError: a probability is not in [0, 1], or labels do not fit.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    truth = truth_matrix(labels, p.shape[1])
    known = ~np.isnan(truth)
    columns = zip(p.T, truth.T, known.T, strict=True)
    return [reliability(one[keep], there[keep], bins=bins) for one, there, keep in columns]


def confidence_reliability(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = BINS) -> Reliability:
    """Reliability table of a multiclass: the highest probability against the share of images predicted rightly.

    Args:
        probabilities: (N, C) in [0, 1].
        labels: (N,).
        bins: number of bins.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    right = truth_matrix(labels, p.shape[1]).argmax(axis=1) == p.argmax(axis=1)
    return reliability(p.max(axis=1), right, bins=bins)


def ece(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = BINS) -> float:
    """Expected calibration error, sum_b n_b / n |share right_b - mean probability_b|.

    Multiclass: of the predicted class's probability. Multilabel: of each label's, then the mean over labels.

    Source: Guo et al. 2017, arXiv:1706.04599, equation 3.

    Example:
        >>> round(ece([[0.8, 0.2], [0.9, 0.1]], [0, 1]), 4)  # bins of their own: (|1 - .8| + |0 - .9|) / 2
        0.55
    """
    if np.ndim(labels) == 1:
        return confidence_reliability(probabilities, labels, bins=bins).error
    errors = [table.error for table in class_reliability(probabilities, labels, bins=bins)]
    return float(mean_over(np.array(errors)))


def class_brier(probabilities: ArrayLike, labels: ArrayLike) -> Values:
    """Brier score of each class, mean of (p - t)^2 over the known images, (C,); 0 is perfect."""
    p = np.asarray(probabilities, dtype=np.float64)
    truth = truth_matrix(labels, p.shape[1])
    return mean_over(((p - truth) ** 2).T)


def brier(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Brier score.

    Multiclass: mean over images of sum_c (p_c - t_c)^2, from 0 to 2 (Brier 1950). Multilabel: mean over labels.

    Example:
        >>> round(brier([[0.8, 0.2], [0.9, 0.1]], [0, 1]), 4)  # (.04 + .04 + .81 + .81) / 2
        0.85
    """
    each = class_brier(probabilities, labels)
    return float(each.sum()) if np.ndim(labels) == 1 else float(mean_over(each))
