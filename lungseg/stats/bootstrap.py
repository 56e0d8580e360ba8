"""Percentile bootstrap intervals over patients, for means and for pooled ratios; numpy only.

Images of one patient are alike, so patients are drawn with replacement and all images of a drawn patient go along
(the one-stage cluster bootstrap: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8,
strategy 1). The interval runs from the alpha/2 to the 1 - alpha/2 quantile of the resampled statistic (percentile
interval: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3).

Every statistic here is a ratio of two sums over patients, so only two numbers per patient are ever resampled: 2,000
resamples of 10,000 patients take well under a second, in blocks of bounded memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungseg.errors import ConfigError, DataError

# Draws held at once: 2**21 int64 indices and two gathered float64 arrays are some 50 MiB, for any number of patients.
DRAWS_PER_BLOCK = 2**21

_Floats = NDArray[np.float64]
_Keys = Sequence[object] | NDArray[Any]


@dataclass(frozen=True)
class Interval:
    """A statistic with its bootstrap interval; NaN stands for undefined.

    Attributes:
        mean: the mean over images, or the pooled ratio.
        sd: standard deviation over images (n - 1 in the denominator); NaN for a pooled ratio or below two images.
        low: lower end of the interval; NaN below two patients.
        high: upper end of the interval; NaN below two patients.
        n: images that entered the statistic.
        n_subjects: patients that these images come from.
    """

    mean: float
    sd: float
    low: float
    high: float
    n: int
    n_subjects: int


def mean_interval(
    values: ArrayLike, subjects: _Keys, *, n_boot: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Mean over images with a percentile interval over patients.

    mean = sum_i v_i / n over the images i whose value is defined; a resample draws as many patients as there are,
    with replacement, and takes the sum of their values over the number of their images. Patients without any
    defined value are left out before drawing.

    Args:
        values: (n,) float; NaN = undefined, left out.
        subjects: (n,) patient of each image, any hashable or sortable kind.
        n_boot: number of resamples.
        seed: seed of the resampling; 0 is a seed.
        level: coverage of the interval, in (0, 1).

    Returns:
        The interval; all NaN with n = 0 when no value is defined, low and high NaN for a single patient.

    Raises:
        DataError: values and subjects differ in length.
        ConfigError: n_boot or level is out of range.

    Example:
        >>> found = mean_interval([0.9, 0.9, 0.9], ["a", "b", "b"])
        >>> f"{found.mean:.1f} [{found.low:.1f}, {found.high:.1f}], n = {found.n} of {found.n_subjects} patients"
        '0.9 [0.9, 0.9], n = 3 of 2 patients'
    """
    numbers = _column(values, "values")
    ids = number_patients(subjects, len(numbers))
    keep = ~np.isnan(numbers)
    numbers, ids = numbers[keep], ids[keep]
    n = len(numbers)
    if n == 0:
        check_settings(n_boot, level)
        return Interval(math.nan, math.nan, math.nan, math.nan, 0, 0)
    sums, counts = _per_patient(ids, numbers, np.ones(n))
    low, high = _ends(sums, counts, n_boot=n_boot, seed=seed, level=level)
    sd = float(numbers.std(ddof=1)) if n > 1 else math.nan
    return Interval(float(numbers.mean()), sd, low, high, n, len(sums))


def pooled_interval(
    numerators: ArrayLike,
    denominators: ArrayLike,
    subjects: _Keys,
    *,
    n_boot: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Ratio of summed counts with a percentile interval over patients.

    ratio = sum_i a_i / sum_i b_i, e.g. pooled Dice with a = 2 TP and b = 2 TP + FP + FN. Images of patients whose
    summed denominator is 0 are resampled with the others: they say that there was nothing to count.

    Args:
        numerators: (n,) counts; an image with NaN here or below is left out.
        denominators: (n,) counts, not negative.
        subjects: (n,) patient of each image.
        n_boot: number of resamples.
        seed: seed of the resampling; 0 is a seed.
        level: coverage of the interval, in (0, 1).

    Returns:
        The interval, `mean` being the pooled ratio and `sd` NaN; NaN where the denominators sum to 0.

    Raises:
        DataError: the lengths differ, or a denominator is negative.
        ConfigError: n_boot or level is out of range.

    Example:
        >>> pooled_interval([8, 0], [10, 10], ["a", "b"]).mean
        0.4
    """
    above = _column(numerators, "numerators")
    below = _column(denominators, "denominators")
    if len(above) != len(below):
        raise DataError(f"{len(above)} numerators but {len(below)} denominators: there must be one of each per image")
    ids = number_patients(subjects, len(above))
    keep = ~(np.isnan(above) | np.isnan(below))
    above, below, ids = above[keep], below[keep], ids[keep]
    if (below < 0).any():
        raise DataError(
            f"{int((below < 0).sum())} denominators are negative, the least is {below.min():g}: give counts"
        )
    if len(above) == 0:
        check_settings(n_boot, level)
        return Interval(math.nan, math.nan, math.nan, math.nan, 0, 0)
    sums, counts = _per_patient(ids, above, below)
    low, high = _ends(sums, counts, n_boot=n_boot, seed=seed, level=level)
    total = float(below.sum())
    ratio = float(above.sum()) / total if total > 0 else math.nan
    return Interval(ratio, math.nan, low, high, len(above), len(sums))


def check_settings(n_boot: int, level: float) -> None:
    """Refuse a bootstrap without resamples or with a coverage that is none.

    Raises:
        ConfigError: n_boot or level is out of range.
    """
    if n_boot < 1:
        raise ConfigError(f"n_boot={n_boot}: the bootstrap needs at least one resample; 2000 is usual")
    if not 0 < level < 1:
        raise ConfigError(f"level={level}: the coverage of an interval lies between 0 and 1; 0.95 is usual")


def _column(values: ArrayLike, name: str) -> _Floats:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1:
        raise DataError(f"{name} have the shape {column.shape}: give one number per image")
    return column


def number_patients(subjects: _Keys, n: int) -> NDArray[np.intp]:
    """Number the patients 0..m-1 in sorted order, so that the order of the images does not matter."""
    if len(subjects) != n:
        raise DataError(f"{n} values but {len(subjects)} subjects: give the patient of each image")
    if n == 0:
        return np.zeros(0, dtype=np.intp)
    return np.unique(np.asarray(subjects), return_inverse=True)[1].astype(np.intp).reshape(-1)


def _per_patient(ids: NDArray[np.intp], above: _Floats, below: _Floats) -> tuple[_Floats, _Floats]:
    """Sum both columns over the images of each patient that is left."""
    _, ids = np.unique(ids, return_inverse=True)
    return np.bincount(ids, weights=above).astype(np.float64), np.bincount(ids, weights=below).astype(np.float64)


def _ends(above: _Floats, below: _Floats, *, n_boot: int, seed: int, level: float) -> tuple[float, float]:
    """Quantiles of sum(above)/sum(below) over resamples of patients; both are (patients,) float64."""
    check_settings(n_boot, level)
    patients = len(above)
    if patients < 2:
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    block = max(1, DRAWS_PER_BLOCK // patients)
    ratios = np.empty(n_boot)
    for start in range(0, n_boot, block):
        stop = min(start + block, n_boot)
        drawn = generator.integers(0, patients, size=(stop - start, patients))
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios[start:stop] = above[drawn].sum(axis=1) / below[drawn].sum(axis=1)
    ratios = ratios[np.isfinite(ratios)]  # a resample without anything to count has no ratio
    if len(ratios) == 0:
        return math.nan, math.nan
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
