"""The difference of two runs on the samples they share, with a bootstrap interval over patients; numpy only.

Two runs tested on the same radiographs are compared image by image, since a hard radiograph is hard for both: the
interval of the mean difference is far narrower than the two intervals suggest (Efron and Tibshirani, An Introduction
to the Bootstrap, 1993, section 13.3, applied to the differences; patients are drawn as in `bootstrap`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lungseg.errors import DataError, first_five
from lungseg.stats.bootstrap import Interval, mean_interval


@dataclass(frozen=True)
class Difference:
    """The mean of b - a over common samples.

    Attributes:
        interval: mean difference, its sd over samples, its bootstrap ends, n and patients.
        mean_a: mean of the first run over the same samples.
        mean_b: mean of the second run over the same samples.
        n_common: samples that both runs have, the undefined ones included.
        n_undefined: common samples left out because one of the two values is undefined.
        only_a: samples of the first run alone.
        only_b: samples of the second run alone.
    """

    interval: Interval
    mean_a: float
    mean_b: float
    n_common: int
    n_undefined: int
    only_a: int
    only_b: int

    def sentence(self, name_a: str, name_b: str, *, digits: int = 4) -> str:
        """Say in one sentence which run is better, and whether the interval leaves out zero.

        Args:
            name_a: what the first run is called.
            name_b: what the second run is called.
            digits: decimals that are printed.

        Returns:
            A sentence without a p-value, for a metric of which more is better.
        """
        found = self.interval
        on = f"on n = {found.n}"
        if found.n == 0:
            return f"{name_b} and {name_a} share no sample on which both are defined."
        if np.isnan(found.low):
            return f"{name_b} minus {name_a} is {found.mean:+.{digits}f} {on}: one patient gives no interval."
        if found.low > 0:
            return f"{name_b} is better than {name_a} by {_span(found, 1, digits)} {on}."
        if found.high < 0:
            return f"{name_b} is worse than {name_a} by {_span(found, -1, digits)} {on}."
        return f"No difference is shown: {name_b} minus {name_a} is {_span(found, 1, digits, signed=True)} {on}."


def _span(found: Interval, sign: int, digits: int, *, signed: bool = False) -> str:
    low, high = sorted((sign * found.low, sign * found.high))
    mark = "+" if signed else ""
    return f"{sign * found.mean:{mark}.{digits}f} [{low:{mark}.{digits}f}, {high:{mark}.{digits}f}]"


def paired_difference(
    keys_a: Sequence[str],
    values_a: ArrayLike,
    keys_b: Sequence[str],
    values_b: ArrayLike,
    subjects_a: Sequence[str],
    *,
    n_boot: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """Mean of b - a over the samples that both runs have, with a percentile interval over patients.

    Args:
        keys_a: (n,) sample of each value of the first run: its sample_id, joined with the structure where several
            structures are compared at once.
        values_a: (n,) float metric of the first run; NaN = undefined.
        keys_b: (m,) the same of the second run.
        values_b: (m,) float metric of the second run.
        subjects_a: (n,) patient of each sample of the first run.
        n_boot: number of resamples.
        seed: seed of the resampling.
        level: coverage of the interval.

    Returns:
        The difference, its interval, and how many samples it rests on.

    Raises:
        DataError: the runs share no sample, a sample appears twice in one run, or lengths differ.

    Example:
        >>> found = paired_difference(["x", "y"], [0.5, 0.5], ["y", "x"], [0.75, 0.75], ["p", "q"])
        >>> found.sentence("A", "B", digits=2)
        'B is better than A by 0.25 [0.25, 0.25] on n = 2.'
    """
    place_a, place_b = places(keys_a, "first"), places(keys_b, "second")
    numbers_a, numbers_b = np.asarray(values_a, dtype=np.float64), np.asarray(values_b, dtype=np.float64)
    for keys, numbers in ((keys_a, numbers_a), (keys_b, numbers_b)):
        if numbers.shape != (len(keys),):
            raise DataError(f"{len(keys)} samples but values of shape {numbers.shape}: give one value per sample")
    if len(subjects_a) != len(keys_a):
        raise DataError(f"{len(keys_a)} samples but {len(subjects_a)} subjects: give the patient of each sample")
    common = sorted(place_a.keys() & place_b.keys())
    if not common:
        raise DataError(
            f"the two runs share no sample: the first has {first_five(sorted(place_a)) or 'none'}, the second "
            f"{first_five(sorted(place_b)) or 'none'}. Compare runs that were evaluated on the same radiographs"
        )
    from_a = np.array([place_a[key] for key in common])
    from_b = np.array([place_b[key] for key in common])
    a, b = numbers_a[from_a], numbers_b[from_b]
    defined = ~(np.isnan(a) | np.isnan(b))
    subjects = [subjects_a[i] for i in from_a]
    n_defined = int(defined.sum())
    return Difference(
        interval=mean_interval(b - a, subjects, n_boot=n_boot, seed=seed, level=level),
        mean_a=float(a[defined].mean()) if n_defined else float("nan"),
        mean_b=float(b[defined].mean()) if n_defined else float("nan"),
        n_common=len(common),
        n_undefined=len(common) - n_defined,
        only_a=len(place_a) - len(common),
        only_b=len(place_b) - len(common),
    )


def places(keys: Sequence[str], which: str) -> dict[str, int]:
    """Number the samples of one run in their order.

    Args:
        keys: the samples.
        which: `first` or `second`, to name the run by.

    Raises:
        DataError: a sample appears twice.
    """
    found = {key: place for place, key in enumerate(keys)}
    if len(found) < len(keys):
        twice = sorted(key for key, count in Counter(keys).items() if count > 1)
        raise DataError(f"{len(twice)} samples appear twice in the {which} run: {first_five(twice)}. One value each")
    return found
