"""The difference of two runs' AUROC on the same images, with a bootstrap interval over patients; numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungseg.errors import DataError
from lungseg.stats.bootstrap import DRAWS_PER_BLOCK, Interval, check_settings, number_patients
from lungseg.stats.confusion import Values, mean_over
from lungseg.stats.ranking import Ranking


def auroc_difference(
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    truth: ArrayLike,
    subjects: Sequence[object] | NDArray[Any],
    *,
    n_boot: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Macro AUROC of b minus that of a, with a percentile interval over patients.

    Both AUROCs, each the mean over the classes where it is defined, are taken on the same drawn patients: a patient who
    is hard for both runs does not widen the interval (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
    section 13.3).

    Args:
        scores_a: (n, C) float of the first run, higher = more likely of the class.
        scores_b: (n, C) of the second, of the same images in the same order.
        truth: (n, C) 1 or 0; NaN = unknown.
        subjects: (n,) patient of each image.
        n_boot: resamples.
        seed: of the resampling; 0 is a seed.
        level: coverage of the interval, in (0, 1).

    Returns:
        The difference; without ends for fewer than two patients, and NaN where no class can be ranked.

    Raises:
        DataError: shapes differ, or a score is NaN.
        ConfigError: n_boot or level is out of range.

    Example:
        >>> auroc_difference([[0.1], [0.9]], [[0.9], [0.1]], [[1], [0]], ["p", "q"], n_boot=10).mean
        1.0
    """
    check_settings(n_boot, level)
    a, b, t = (np.asarray(each, dtype=np.float64) for each in (scores_a, scores_b, truth))
    if a.ndim != 2 or not a.shape == b.shape == t.shape:
        raise DataError(f"scores have the shapes {a.shape} and {b.shape} and truth {t.shape}: all (images, classes)")
    known: NDArray[np.bool_] = ~np.isnan(t)
    keep = known.any(axis=1)
    ids = number_patients(subjects, len(t))[keep]
    a, b, t, known = a[keep], b[keep], t[keep], known[keep]
    ids = np.unique(ids, return_inverse=True)[1].reshape(-1)
    n, n_subjects = len(t), int(ids.max()) + 1 if len(ids) else 0
    of_a, of_b = ([Ranking(run[k, c], t[k, c]) for c, k in enumerate(known.T)] for run in (a, b))

    def macro(rankings: Sequence[Ranking], weights: Values) -> Values:
        each = [ranking.auroc(weights[:, k]) for ranking, k in zip(rankings, known.T, strict=True)]
        return mean_over(np.stack(each, axis=-1))

    def difference(weights: Values) -> Values:
        return np.asarray(macro(of_b, weights) - macro(of_a, weights))

    value = float(difference(np.ones((1, n)))[0]) if n else float("nan")
    if n_subjects < 2 or not np.isfinite(value):
        return Interval(value, float("nan"), float("nan"), float("nan"), n, n_subjects)
    generator = np.random.default_rng(seed)
    block = max(1, DRAWS_PER_BLOCK // n)
    drawn = []
    for start in range(0, n_boot, block):
        rows = min(block, n_boot - start)
        picks = generator.integers(0, n_subjects, size=(rows, n_subjects)) + n_subjects * np.arange(rows)[:, None]
        times = np.bincount(picks.reshape(-1), minlength=rows * n_subjects).reshape(rows, n_subjects)
        drawn.append(difference(times[:, ids].astype(np.float64)))
    values = np.concatenate(drawn)
    values = values[np.isfinite(values)]
    if not len(values):
        return Interval(value, float("nan"), float("nan"), float("nan"), n, n_subjects)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float("nan"), float(low), float(high), n, n_subjects)
