"""Measures of a classifier as functions of (probabilities, labels).

Multiclass: probabilities (N, C) and labels (N,) whole numbers below C; the highest probability is the prediction.
Multilabel: probabilities (N, L) and labels (N, L) of 0, 1 or NaN = unknown; a label is predicted where its probability
is at least its threshold, and unknown labels are left out label by label.

The measures with their intervals, all at once, are `lungseg.metrics.classification_summary`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungseg.errors import DataError
from lungseg.stats import confusion as of_counts
from lungseg.stats import ranking
from lungseg.stats.confusion import Values, mean_over


def truth_matrix(labels: ArrayLike, num_classes: int) -> Values:
    """Write labels as one column for each class.

    Args:
        labels: (N,) class of each image, or (N, L) 0, 1 or NaN.
        num_classes: C or L.

    Returns:
        (N, C) float64 of 0 and 1; NaN where unknown.

    Raises:
        DataError: a class is not below `num_classes`, or a label is not 0, 1 or NaN.

    Example:
        >>> truth_matrix([1, 0], 3)
        array([[0., 1., 0.],
               [1., 0., 0.]])
    """
    found = np.asarray(labels)
    if found.ndim == 2 and found.shape[1] == num_classes:
        known: Values = found.astype(np.float64)
        if not np.isin(known[~np.isnan(known)], (0, 1)).all():
            raise DataError("labels of a multilabel must be 0, 1 or NaN (unknown)")
        return known
    whole = found.astype(np.int64)
    if found.ndim != 1 or (whole != found).any():
        raise DataError(f"labels have the shape {found.shape}: give (N,) classes or (N, {num_classes}) of 0, 1 and NaN")
    outside = (whole < 0) | (whole >= num_classes)
    if outside.any():
        seen = np.unique(whole[outside])[:5].tolist()
        raise DataError(f"{int(outside.sum())} labels are no class, e.g. {seen}: there are {num_classes}, from 0")
    return np.asarray(whole[:, None] == np.arange(num_classes), dtype=np.float64)


def confusion_matrix(probabilities: ArrayLike, labels: ArrayLike, *, thresholds: ArrayLike = 0.5) -> NDArray[np.int64]:
    """Count images by what they are and what they are taken for.

    Args:
        probabilities: (N, C).
        labels: (N,), or (N, L) with NaN.
        thresholds: multilabel: of each label, (L,), or one for all.

    Returns:
        Multiclass: (C, C) int64, true class by predicted class; of equal probabilities the first class is taken.
        Multilabel: (L, 2, 2) int64, [[TN, FP], [FN, TP]] of each label.

    Raises:
        DataError: shapes do not fit or labels are not as described.

    Example:
        >>> confusion_matrix([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], [0, 1, 1])
        array([[1, 0],
               [1, 1]])
    """
    p, truth = _checked(probabilities, labels)
    if np.ndim(labels) == 1:
        cells = np.zeros((p.shape[1], p.shape[1]), dtype=np.int64)
        np.add.at(cells, (truth.argmax(axis=1), p.argmax(axis=1)), 1)
        return cells
    predicted = p >= np.broadcast_to(np.asarray(thresholds, dtype=np.float64), p.shape)
    there, absent = truth == 1, truth == 0
    cells = np.stack(
        [(absent & ~predicted), (absent & predicted), (there & ~predicted), (there & predicted)], axis=-1
    ).sum(axis=0)
    return np.asarray(cells.reshape(-1, 2, 2), dtype=np.int64)


def counts(probabilities: ArrayLike, labels: ArrayLike, *, thresholds: ArrayLike = 0.5) -> NDArray[np.int64]:
    """Return TP, FP, FN and TN of each class against the rest, (C, 4) int64."""
    cells = confusion_matrix(probabilities, labels, thresholds=thresholds)
    if cells.ndim == 2:
        return np.asarray(of_counts.one_vs_rest(cells), dtype=np.int64)
    return np.stack((cells[:, 1, 1], cells[:, 0, 1], cells[:, 1, 0], cells[:, 0, 0]), axis=-1)


def precision(probabilities: ArrayLike, labels: ArrayLike, *, thresholds: ArrayLike = 0.5) -> Values:
    """Precision TP / (TP + FP) of each class, (C,); NaN where it is never predicted."""
    return of_counts.precision(counts(probabilities, labels, thresholds=thresholds))


def recall(probabilities: ArrayLike, labels: ArrayLike, *, thresholds: ArrayLike = 0.5) -> Values:
    """Recall (sensitivity) TP / (TP + FN) of each class, (C,); NaN where it has no image."""
    return of_counts.recall(counts(probabilities, labels, thresholds=thresholds))


def specificity(probabilities: ArrayLike, labels: ArrayLike, *, thresholds: ArrayLike = 0.5) -> Values:
    """Specificity TN / (TN + FP) of each class, (C,); NaN where all images are of it."""
    return of_counts.specificity(counts(probabilities, labels, thresholds=thresholds))


def f1(probabilities: ArrayLike, labels: ArrayLike, *, thresholds: ArrayLike = 0.5) -> Values:
    """F1 = 2 TP / (2 TP + FP + FN) of each class, (C,); NaN where it is neither there nor predicted."""
    return of_counts.f1(counts(probabilities, labels, thresholds=thresholds))


def macro_f1(probabilities: ArrayLike, labels: ArrayLike, *, thresholds: ArrayLike = 0.5) -> float:
    """Mean of the F1 of the classes, not the F1 of mean precision and mean recall.

    Left out are classes that are neither there nor predicted, and of a multilabel those of which all known images are
    of one kind.

    Example:
        >>> macro_f1([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], [0, 1, 1])  # F1 2/3 and 2/3
        0.6666666666666666
    """
    cells = counts(probabilities, labels, thresholds=thresholds)
    return _mean(of_counts.f1(cells), cells, labels)


def accuracy(probabilities: ArrayLike, labels: ArrayLike, *, thresholds: ArrayLike = 0.5) -> float:
    """Share of images predicted rightly; of a multilabel the share of known labels."""
    cells = confusion_matrix(probabilities, labels, thresholds=thresholds)
    return float(of_counts.ratio(np.trace(cells, axis1=-2, axis2=-1).sum(), cells.sum()))


def balanced_accuracy(probabilities: ArrayLike, labels: ArrayLike, *, thresholds: ArrayLike = 0.5) -> float:
    """Mean recall of the classes that have images; of a multilabel the mean of (sensitivity + specificity) / 2."""
    cells = counts(probabilities, labels, thresholds=thresholds)
    if np.ndim(labels) == 1:
        return float(mean_over(of_counts.recall(cells)))
    return _mean((of_counts.recall(cells) + of_counts.specificity(cells)) / 2, cells, labels)


def cohen_kappa(probabilities: ArrayLike, labels: ArrayLike, *, thresholds: ArrayLike = 0.5) -> float:
    """Cohen's kappa (see `lungseg.stats.confusion.cohen_kappa`); of a multilabel the mean over labels."""
    cells = confusion_matrix(probabilities, labels, thresholds=thresholds)
    return float(mean_over(np.atleast_1d(of_counts.cohen_kappa(cells))))


def auroc(probabilities: ArrayLike, labels: ArrayLike) -> Values:
    """Area under the ROC curve of each class against the rest, (C,); ties count half.

    NaN where all known images are of one kind; `skipped` names and counts these.

    Example:
        >>> auroc([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], [0, 0, 1])
        array([1., 1.])
    """
    p, truth = _checked(probabilities, labels)
    known = ~np.isnan(truth)
    pairs = zip(p.T, truth.T, known.T, strict=True)
    return np.array([ranking.auroc(scores[keep], there[keep] == 1) for scores, there, keep in pairs])


def average_precision(probabilities: ArrayLike, labels: ArrayLike) -> Values:
    """Average precision of each class against the rest, (C,), not interpolated; NaN as in `auroc`."""
    p, truth = _checked(probabilities, labels)
    known = ~np.isnan(truth)
    pairs = zip(p.T, truth.T, known.T, strict=True)
    found = [ranking.average_precision(scores[keep], there[keep] == 1) for scores, there, keep in pairs]
    return np.where(skipped(labels, p.shape[1]), np.nan, found)


def skipped(labels: ArrayLike, num_classes: int) -> NDArray[np.bool_]:
    """Tell classes of which all known images are of one kind, (C,): none of it, or nothing else.

    Example:
        >>> skipped([0, 0, 1], 3)
        array([False, False,  True])
    """
    truth = truth_matrix(labels, num_classes)
    return np.asarray(~((truth == 1).any(axis=0) & (truth == 0).any(axis=0)), dtype=np.bool_)


def _mean(values: Values, cells: NDArray[Any], labels: ArrayLike) -> float:
    """Mean over classes; of a multilabel over those of which both kinds are there."""
    if np.ndim(labels) == 1:
        return float(mean_over(values))
    there, absent = cells[:, 0] + cells[:, 2], cells[:, 1] + cells[:, 3]
    return float(mean_over(np.where((there > 0) & (absent > 0), values, np.nan)))


def _checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[Values, Values]:
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2:
        raise DataError(f"probabilities have the shape {p.shape}: give one column for each class, (N, C)")
    truth = truth_matrix(labels, p.shape[1])
    if len(truth) != len(p):
        raise DataError(f"there are probabilities of {len(p)} images and labels of {len(truth)}")
    return p, truth
