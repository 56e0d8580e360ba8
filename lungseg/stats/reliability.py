"""Whether probabilities are as often right as they say: bins of equal width, calibration error; numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungseg.errors import DataError
from lungseg.stats.confusion import Values, ratio

BINS = 15
"""Bins of equal width over [0, 1], as in Guo et al. 2017."""


@dataclass(frozen=True)
class Reliability:
    """A reliability table; one entry per bin, NaN where a bin is empty.

    Attributes:
        low, high: edges of the bins, (bins,); a bin holds its lower edge, the last also its upper.
        n: images in each bin, (bins,) int64.
        probability: mean predicted probability, (bins,).
        share: share of images that were right (or positive), (bins,).
    """

    low: Values
    high: Values
    n: NDArray[np.int64]
    probability: Values
    share: Values

    @property
    def error(self) -> float:
        """Expected calibration error, sum_b n_b / n |share_b - probability_b|; NaN without images."""
        total = int(self.n.sum())
        if total == 0:
            return float("nan")
        filled = self.n > 0
        return float((self.n[filled] * np.abs(self.share[filled] - self.probability[filled])).sum() / total)


def bin_of(probability: ArrayLike, bins: int = BINS) -> NDArray[np.intp]:
    """Number of the bin of each probability, of the shape of `probability`; 1 belongs to the last bin.

    Raises:
        DataError: a probability is not in [0, 1].

    Example:
        >>> bin_of([0.0, 0.2, 0.5, 1.0], bins=2)
        array([0, 0, 1, 1])
    """
    values = np.asarray(probability, dtype=np.float64)
    outside = ~((values >= 0) & (values <= 1))
    if outside.any():
        raise DataError(f"{int(outside.sum())} probabilities are not in [0, 1], e.g. {values[outside].flat[0]:g}")
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], values, side="right")


def reliability(probability: ArrayLike, right: ArrayLike, *, bins: int = BINS) -> Reliability:
    """Sort images into bins of equal width by their probability.

    Args:
        probability: (n,) in [0, 1]: of the positive class, or the confidence of the predicted one.
        right: (n,) bool or 0/1: positive, or predicted rightly.
        bins: number of bins.

    Returns:
        The table.

    Raises:
        DataError: the lengths differ, or a probability is not in [0, 1].

    Source:
        Guo et al. 2017, arXiv:1706.04599, section 2 (there bins hold their upper edge).

    Example:
        >>> round(reliability([0.9, 0.8, 0.3], [1, 0, 0], bins=2).error, 4)  # 2/3 |.5 - .85| + 1/3 |0 - .3|
        0.3333
    """
    values, truth = np.asarray(probability, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if values.shape != truth.shape or values.ndim != 1:
        raise DataError(f"probabilities have the shape {values.shape} and truth {truth.shape}: one of each per image")
    place = bin_of(values, bins)
    n = np.bincount(place, minlength=bins)
    edges = np.linspace(0, 1, bins + 1)
    return Reliability(
        low=edges[:-1],
        high=edges[1:],
        n=n.astype(np.int64),
        probability=ratio(np.bincount(place, weights=values, minlength=bins), n),
        share=ratio(np.bincount(place, weights=truth, minlength=bins), n),
    )
