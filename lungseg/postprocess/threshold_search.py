"""The threshold with the best mean Dice on the validation images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

_STEPS = 100
Sums = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


class ThresholdSearch:
    """Finds the threshold among 0, 0.01, ..., 1 with the highest mean Dice; for validation images only.

    Each image is read once and reduced to two histograms (probabilities of the pixels inside and outside the
    reference, cut at the thresholds), from which its Dice at every threshold follows exactly. Kept are the sums over
    images, so the memory does not grow with their number.

    Dice and its undefined case are those of `lungseg.metrics.overlap.dice`; the mean over images is taken for each
    structure, then over structures.

    Args:
        num_classes: K, the number of structures.

    Raises:
        ValueError: `num_classes` is below 1.

    Example:
        >>> search = ThresholdSearch(num_classes=1)
        >>> search.update(np.array([[[0.2, 0.35, 0.9]]], dtype=np.float32), np.array([[[0, 1, 1]]]) > 0)
        >>> search.best()  # 0.20 to 0.34 all give Dice 1; the nearest to 0.5 is taken
        (0.34, 1.0)
    """

    thresholds = np.arange(_STEPS + 1, dtype=np.float64) / _STEPS
    """The candidates, (101,)."""

    def __init__(self, *, num_classes: int) -> None:
        if num_classes < 1:
            msg = f"num_classes={num_classes} must be at least 1"
            raise ValueError(msg)
        self._sums = np.zeros((num_classes, _STEPS + 1))
        self._defined = np.zeros((num_classes, _STEPS + 1), dtype=np.int64)

    def update(
        self, probability: npt.NDArray[Any], mask: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None = None
    ) -> None:
        """Add one image.

        Args:
            probability: (K, h, w) float in [0, 1].
            mask: reference, (K, h, w) bool.
            valid: (h, w) bool, False = pixel left out; None = all count.

        Raises:
            ValueError: a shape does not fit, or a probability is outside [0, 1].
        """
        if probability.shape != mask.shape or probability.ndim != 3 or len(probability) != len(self._sums):
            msg = (
                f"probabilities have shape {probability.shape} and the mask {mask.shape}: "
                f"both must be ({len(self._sums)}, h, w)"
            )
            raise ValueError(msg)
        if valid is not None and valid.shape != mask.shape[1:]:
            msg = f"valid has shape {valid.shape}, but the mask {mask.shape}"
            raise ValueError(msg)
        for k, (p, t) in enumerate(zip(probability, mask, strict=True)):
            inside, outside = self._histograms(p, t) if valid is None else self._histograms(p[valid], t[valid])
            # pixels above threshold j are those in the bins after j
            tp = inside.sum() - inside.cumsum()[:-1]
            fp = outside.sum() - outside.cumsum()[:-1]
            size = tp + fp + inside.sum()
            defined = size > 0
            self._sums[k] += np.divide(2 * tp, size, out=np.zeros(_STEPS + 1), where=defined)
            self._defined[k] += defined

    def sums(self) -> Sums:
        """Return what was added up so far: sums and counts of the Dice, (K, 101) each."""
        return self._sums, self._defined

    def merge(self, others: Iterable[Sums]) -> None:
        """Add the images of searches of other processes, given by their `sums`."""
        for sums, defined in others:
            self._sums = self._sums + sums
            self._defined = self._defined + defined

    def dice(self) -> npt.NDArray[np.float64]:
        """Return the mean Dice at each threshold, (101,) float64; NaN where no image defines one."""
        undefined = np.full(self._sums.shape, np.nan)
        means = np.divide(self._sums, self._defined, out=undefined, where=self._defined > 0)
        known = ~np.isnan(means)
        count = known.sum(axis=0)
        mean = np.full(len(count), np.nan)
        np.divide(np.where(known, means, 0).sum(axis=0), count, out=mean, where=count > 0)
        return mean

    def best(self) -> tuple[float, float]:
        """Return the threshold with the highest mean Dice, and that Dice; among equals the nearest to 0.5.

        Raises:
            ValueError: no image with a structure in it was added.
        """
        dice = self.dice()
        if np.isnan(dice).all():
            msg = "no threshold can be chosen: no validation image holds a structure or a prediction"
            raise ValueError(msg)
        highest = float(np.nanmax(dice))
        # sums of the same Dice values can differ in the last bits from threshold to threshold
        equals = self.thresholds[dice >= highest - 1e-12]
        return float(equals[np.abs(equals - 0.5).argmin()]), highest

    def _histograms(
        self, probability: npt.NDArray[Any], mask: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Count the pixels inside and outside the mask by the number of thresholds they are above: 2 x (102,)."""
        p = probability.astype(np.float32, copy=False).ravel()
        if p.size and not (p.min() >= 0 and p.max() <= 1):
            msg = f"probabilities run from {p.min()} to {p.max()}, but must be in [0, 1]: apply the sigmoid first"
            raise ValueError(msg)
        # the nearest threshold is never off by a rounding error, so one comparison with it settles the bin
        nearest = np.rint(p * np.float32(_STEPS)).astype(np.intp)
        above = nearest + (p > self.thresholds.astype(np.float32)[nearest])
        bins = np.bincount(above + (_STEPS + 2) * mask.astype(bool, copy=False).ravel(), minlength=2 * (_STEPS + 2))
        return bins[_STEPS + 2 :], bins[: _STEPS + 2]
