"""How well scores rank positives before negatives: AUROC, average precision and their curves; numpy only.

Equal scores are one group and are never ordered among themselves, so no value depends on the order of the images. The
images carry weights, which in a bootstrap are the number of times that their patient was drawn: the scores are sorted
once, and a resample costs a few sums.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungseg.errors import DataError
from lungseg.stats.confusion import Values, ratio


class Ranking:
    """Images sorted by their score, highest first, equal scores in one group.

    Args:
        scores: (n,) float, higher = more likely positive.
        positive: (n,) bool or 0/1.

    Raises:
        DataError: the lengths differ, or a score is NaN.

    Example:
        >>> ranking = Ranking([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0])
        >>> ranking.auroc().item()  # of 4 pairs 3 are in order and one is a tie
        0.875
    """

    def __init__(self, scores: ArrayLike, positive: ArrayLike) -> None:
        values, truth = np.asarray(scores, dtype=np.float64), np.asarray(positive).astype(bool)
        if values.shape != truth.shape or values.ndim != 1:
            raise DataError(f"scores have the shape {values.shape} and truth {truth.shape}: one of each per image")
        if np.isnan(values).any():
            raise DataError(f"{int(np.isnan(values).sum())} of {len(values)} scores are NaN: leave these images out")
        self._order = np.argsort(-values, kind="stable")
        self._positive = truth[self._order]
        falling = values[self._order]
        first = np.ones(len(values), dtype=bool)
        first[1:] = falling[1:] != falling[:-1]
        self._starts = np.flatnonzero(first)
        self.thresholds: Values = falling[self._starts]
        """Distinct scores, highest first, (g,)."""

    def groups(self, weights: ArrayLike | None = None) -> tuple[Values, Values]:
        """Positives and negatives of each distinct score, highest first.

        Args:
            weights: (..., n) of the images, in the order in which they were given; None = 1 each.

        Returns:
            Two arrays (..., g) float64.
        """
        ordered: Values
        if weights is None:
            ordered = np.ones(len(self._order))
        else:
            ordered = np.asarray(weights, dtype=np.float64)[..., self._order]
        positives = np.where(self._positive, ordered, 0.0)
        if len(self._starts) < len(self._order):
            ordered, positives = (np.add.reduceat(each, self._starts, axis=-1) for each in (ordered, positives))
        return positives, ordered - positives

    def auroc(self, weights: ArrayLike | None = None) -> Values:
        """Area under the ROC curve: the chance that a positive scores higher than a negative, a tie counting half.

            sum_i sum_j w_i w_j ([s_i > s_j] + [s_i = s_j] / 2) / (sum_i w_i sum_j w_j), i positive, j negative

        Source: Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747.

        Args:
            weights: (..., n); None = 1 each.

        Returns:
            (...) in [0, 1]; NaN where positives or negatives are missing.
        """
        positives, negatives = self.groups(weights)
        n_negative = negatives.sum(axis=-1)
        below = n_negative[..., None] - np.cumsum(negatives, axis=-1)
        won = (positives * (below + 0.5 * negatives)).sum(axis=-1)
        return ratio(won, positives.sum(axis=-1) * n_negative)

    def average_precision(self, weights: ArrayLike | None = None) -> Values:
        """Average precision: sum_k (R_k - R_(k-1)) P_k over the distinct scores from high to low, not interpolated.

        Args:
            weights: (..., n); None = 1 each.

        Returns:
            (...) in [0, 1]; NaN without positives.
        """
        positives, negatives = self.groups(weights)
        found, chosen = np.cumsum(positives, axis=-1), np.cumsum(positives + negatives, axis=-1)
        # a group that no image of the resample belongs to adds nothing
        gained = np.where(positives > 0, positives * np.divide(found, np.maximum(chosen, 1e-300)), 0.0)
        return ratio(gained.sum(axis=-1), positives.sum(axis=-1))


def auroc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve of (n,) scores; NaN where only one kind is there (see `Ranking.auroc`)."""
    return float(Ranking(scores, positive).auroc())


def average_precision(scores: ArrayLike, positive: ArrayLike) -> float:
    """Average precision of (n,) scores; NaN without positives (see `Ranking.average_precision`)."""
    return float(Ranking(scores, positive).average_precision())


def roc_points(scores: ArrayLike, positive: ArrayLike) -> tuple[Values, Values]:
    """Corners of the ROC curve.

    Returns:
        False positive rate and sensitivity at each distinct score, (g + 1,) each, from (0, 0) to (1, 1); NaN where a
        kind is missing.

    Example:
        >>> roc_points([0.9, 0.4, 0.1], [1, 0, 1])
        (array([0., 0., 1., 1.]), array([0. , 0.5, 0.5, 1. ]))
    """
    positives, negatives = Ranking(scores, positive).groups()
    return _rising(negatives), _rising(positives)


def precision_recall_points(scores: ArrayLike, positive: ArrayLike) -> tuple[Values, Values]:
    """Corners of the precision-recall curve.

    Returns:
        Recall and precision at each distinct score from high to low, (g,) each.

    Example:
        >>> precision_recall_points([0.9, 0.4, 0.1], [1, 0, 1])
        (array([0.5, 0.5, 1. ]), array([1.        , 0.5       , 0.66666667]))
    """
    positives, negatives = Ranking(scores, positive).groups()
    found = np.cumsum(positives)
    return ratio(found, np.asarray(positives.sum())), ratio(found, np.cumsum(positives + negatives))


def _rising(parts: Values) -> NDArray[np.float64]:
    whole = np.concatenate(([0.0], np.cumsum(parts)))
    return ratio(whole, whole[-1:])
