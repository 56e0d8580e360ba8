"""Differences of two classifiers on the images that both were tested on, with intervals over patients; numpy only.

Macro F1 and AUROC are no means over images, so there is no difference of a single image to average: patients are drawn
once for both runs, both are measured on the same resample, and the interval is that of the differences (the bootstrap
of a paired statistic: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 8.3; patients are drawn as
in `bootstrap`). What makes an image hard is common to both runs and drops out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungseg.errors import DataError, first_five
from lungseg.stats.bootstrap import check_settings
from lungseg.stats.class_bootstrap import Kind, Measures, multiplicities, percentiles
from lungseg.stats.paired import Difference, places

COMPARED = ("macro_f1", "auroc")
"""Measures whose differences are taken; of each more is better."""


@dataclass(frozen=True)
class Predictions:
    """What one run says of its tested images.

    Attributes:
        keys: (n,) sample_id of each image.
        probabilities: (n, C) in [0, 1].
        truth: (n, C) 0, 1 or NaN = unknown; multiclass: one 1 in each row.
        subjects: (n,) patient of each image.
        thresholds: multilabel: of each label, (C,) or one for all.
    """

    keys: Sequence[str]
    probabilities: ArrayLike
    truth: ArrayLike
    subjects: Sequence[str]
    thresholds: ArrayLike = 0.5


def paired_class_differences(
    a: Predictions, b: Predictions, *, kind: Kind, n_boot: int = 2000, seed: int = 0, level: float = 0.95
) -> Mapping[str, Difference]:
    """Measure b - a on the images that both runs have, each measure with a percentile interval over patients.

    Each measure is taken as in `class_bootstrap.class_intervals`; a resample in which it is undefined for either run
    is left out.

    Args:
        a: the first run.
        b: the second run; its classes stand in the same order.
        kind: multiclass or multilabel, of both.
        n_boot: resamples.
        seed: of the resampling.
        level: coverage of the intervals.

    Returns:
        For each of COMPARED its difference. `n_undefined` counts the common images of which no label is known; there
        is no sd, as no single image has a difference.

    Raises:
        DataError: the runs share no image, an image appears twice in one run, the runs contradict each other in what
            is true of an image, or an array is not as described.
        ConfigError: n_boot or level is out of range.
    """
    check_settings(n_boot, level)
    place_a, place_b = places(a.keys, "first"), places(b.keys, "second")
    common = sorted(place_a.keys() & place_b.keys())
    if not common:
        msg = (
            f"the two runs share no image: the first has {first_five(sorted(place_a)) or 'none'}, the second "
            f"{first_five(sorted(place_b)) or 'none'}. Compare runs that were tested on the same radiographs"
        )
        raise DataError(msg)
    from_a, from_b = (np.array([place[key] for key in common]) for place in (place_a, place_b))
    truth = np.asarray(a.truth, dtype=np.float64)[from_a]
    subjects = [str(a.subjects[i]) for i in from_a]
    _refuse_contradictions(common, truth, np.asarray(b.truth, dtype=np.float64)[from_b])
    first, second = (
        Measures(
            np.asarray(run.probabilities, dtype=np.float64)[rows],
            truth,
            subjects,
            kind=kind,
            thresholds=run.thresholds,
        )
        for run, rows in ((a, from_a), (b, from_b))
    )
    value_a, value_b = first.whole(), second.whole()
    resampled = [
        {f"mean {name}": of_b[f"mean {name}"] - of_a[f"mean {name}"] for name in COMPARED}
        for drawn in multiplicities(first.n_subjects, first.n, n_boot, seed)
        for of_a, of_b in [(first(drawn), second(drawn))]
    ]

    def difference(name: str) -> Difference:
        mean_a, mean_b = value_a[name][0], value_b[name][0]
        return Difference(
            interval=percentiles(mean_b - mean_a, [each[name] for each in resampled], level, first.n, first.n_subjects),
            mean_a=float(mean_a),
            mean_b=float(mean_b),
            n_common=len(common),
            n_undefined=len(common) - first.n,
            only_a=len(place_a) - len(common),
            only_b=len(place_b) - len(common),
        )

    return {name: difference(f"mean {name}") for name in COMPARED}


def _refuse_contradictions(common: Sequence[str], a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    """Refuse runs that were tested against different labels: their difference would be that of the labels."""
    if a.shape != b.shape:
        msg = f"the first run has {a.shape[-1]} classes and the second {b.shape[-1]}: they cannot be compared"
        raise DataError(msg)
    other = ~np.all((a == b) | (np.isnan(a) & np.isnan(b)), axis=1)
    if other.any():
        names = first_five([key for key, differs in zip(common, other, strict=True) if differs])
        msg = f"the two runs were tested against different labels of {int(other.sum())} common images: {names}"
        raise DataError(msg)
