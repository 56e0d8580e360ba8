"""All measures of a classifier with percentile intervals over patients; numpy only.

Patients are drawn once for all measures, with the draws of `bootstrap`. Whatever is a function of sums over images
(confusion matrix, calibration bins, squared errors) is summed for each patient first, so that a resample is one row of
a matrix product; what is a function of ranks goes through `ranking.Ranking`, which sorts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungseg.errors import ConfigError, DataError
from lungseg.stats import confusion as measures
from lungseg.stats.bootstrap import DRAWS_PER_BLOCK, Interval, check_settings, number_patients
from lungseg.stats.confusion import Values, mean_over, ratio
from lungseg.stats.ranking import Ranking
from lungseg.stats.reliability import BINS, bin_of

Kind = Literal["multiclass", "multilabel"]
OVERALL = (
    "macro_f1", "accuracy", "balanced_accuracy", "kappa", "auroc", "average_precision", "precision", "recall",
    "specificity", "ece", "brier",
)  # fmt: skip
"""Measures of all classes together."""
OF_CLASS = ("f1", "precision", "recall", "specificity", "auroc", "average_precision", "ece", "brier")
"""Measures of one class against the rest; a multilabel has `accuracy`, `balanced_accuracy` and `kappa` as well."""
OF_LABEL = ("accuracy", "balanced_accuracy", "kappa")

Found = dict[str, Values]
"""Measure -> its values."""
_Weights = NDArray[np.float64]


@dataclass(frozen=True)
class ClassIntervals:
    """What is known of a classifier's predictions.

    Attributes:
        overall: measure -> interval, all classes together.
        classes: for each class in order, measure -> interval.
        confusion: (C, C) int64 images by true and predicted class; multilabel (L, 2, 2), [[TN, FP], [FN, TP]] of each.
        n: images that entered.
        n_subjects: their patients.
        n_known: (C,) images for which the class is known.
        n_positive: (C,) images of the class.
        skipped: (C,) bool, classes of which all known images are of one kind: nothing to rank or to tell apart.
    """

    overall: Mapping[str, Interval]
    classes: tuple[Mapping[str, Interval], ...]
    confusion: NDArray[np.int64]
    n: int
    n_subjects: int
    n_known: NDArray[np.int64]
    n_positive: NDArray[np.int64]
    skipped: NDArray[np.bool_]


def class_intervals(
    probabilities: ArrayLike,
    truth: ArrayLike,
    subjects: Sequence[object] | NDArray[Any],
    *,
    kind: Kind,
    thresholds: ArrayLike = 0.5,
    n_boot: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> ClassIntervals:
    """Measure a classifier, each value with its percentile interval over patients.

    One class against the rest: f1, precision, recall, specificity, auroc, average_precision, ece (of the class's own
    probability, 15 bins of equal width) and brier, mean (p - t)^2.

    All together, with `kind=multiclass` (the highest probability is the prediction):

        macro_f1, precision, recall, specificity, auroc, average_precision    mean over the classes where defined
        accuracy, kappa                 of the confusion matrix
        balanced_accuracy               mean recall of the classes that have images
        ece                             of the predicted class's probability, right or wrong
        brier                           mean over images of the squared error summed over the classes, 0 to 2

    and with `kind=multilabel` (predicted from the label's threshold on) the mean over labels of each; accuracy is the
    share of known labels that are right. Unknown labels are left out label by label, and a label of which only one
    kind is there is left out of every mean but that of ece, brier and accuracy.

    Args:
        probabilities: (n, C) in [0, 1].
        truth: (n, C) 0 or 1; NaN = unknown (multilabel only). Multiclass: one 1 in each row.
        subjects: (n,) patient of each image.
        kind: multiclass or multilabel.
        thresholds: of each label, (C,) or one for all; multiclass does not use them.
        n_boot: resamples.
        seed: of the resampling; 0 is a seed.
        level: coverage of the intervals, in (0, 1).

    Returns:
        The measures; `mean` of an interval is the value on all images, NaN where undefined. A resample in which a
        measure is undefined is left out of its interval; with fewer than two patients there is none.

    Raises:
        DataError: shapes differ, a probability is not in [0, 1], or truth is not as described.
        ConfigError: n_boot or level is out of range.
    """
    check_settings(n_boot, level)
    measured = Measures(probabilities, truth, subjects, kind=kind, thresholds=thresholds)
    n, n_subjects, n_known, n_positive = measured.n, measured.n_subjects, measured.n_known, measured.n_positive
    value = measured.whole()
    resampled = [measured(drawn) for drawn in multiplicities(n_subjects, n, n_boot, seed)]

    def interval(name: str, place: int | None) -> Interval:
        whole, *drawn = (found[name] if place is None else found[name][:, place] for found in (value, *resampled))
        return percentiles(whole[0], drawn, level, n if place is None else int(n_known[place]), n_subjects)

    of_class = (*OF_CLASS, *(OF_LABEL if kind == "multilabel" else ()))
    return ClassIntervals(
        overall={name: interval(f"mean {name}", None) for name in OVERALL},
        classes=tuple({name: interval(name, place) for name in of_class} for place in range(len(n_known))),
        confusion=measured.confusion(),
        n=n,
        n_subjects=n_subjects,
        n_known=n_known,
        n_positive=n_positive,
        skipped=(n_positive == 0) | (n_positive == n_known),
    )


class Measures:
    """All measures of one classifier's predictions, for any number of times that each patient is drawn.

    Images of which nothing is known are left out first, and patients who have no other.

    Args:
        probabilities: as for `class_intervals`, like all arguments.
        truth: of the images.
        subjects: patient of each image; they are numbered in sorted order, so that the images' order does not matter.
        kind: multiclass or multilabel.
        thresholds: of each label.

    Raises:
        DataError: shapes differ, a probability is not in [0, 1], or truth is not as described.

    Attributes:
        n: images.
        n_subjects: their patients.
        n_known: (C,) images for which the class is known.
        n_positive: (C,) images of the class.
    """

    def __init__(
        self,
        probabilities: ArrayLike,
        truth: ArrayLike,
        subjects: Sequence[object] | NDArray[Any],
        *,
        kind: Kind,
        thresholds: ArrayLike = 0.5,
    ) -> None:
        p, t = np.asarray(probabilities, dtype=np.float64), np.asarray(truth, dtype=np.float64)
        _check(p, t, kind)
        ids = number_patients(subjects, len(p))
        known = ~np.isnan(t)
        keep = known.any(axis=1)
        p, known, positive = p[keep], known[keep], (t == 1)[keep]
        self._ids = np.unique(ids[keep], return_inverse=True)[1].reshape(-1)
        self.n = len(p)
        self.n_subjects = int(self._ids.max()) + 1 if self.n else 0
        self.n_known, self.n_positive = known.sum(axis=0), positive.sum(axis=0)
        self._sums = (_Confusion if kind == "multiclass" else _Labels)(p, positive, known, thresholds)
        self._ranks = _Ranks(p, positive, known)
        self._total = self._sums.columns.sum(axis=0, keepdims=True)
        self._of_patient = _per_patient(self._sums.columns, self._ids, self.n_subjects)

    def whole(self) -> Found:
        """Measure all images, each once: arrays of one row, as `__call__` gives them."""
        return self._sums(self._total) | self._ranks(np.ones((1, self.n)))

    def __call__(self, drawn: NDArray[np.float64]) -> Found:
        """Measure resamples.

        Args:
            drawn: (R, patients) how often each patient is drawn.

        Returns:
            For each of OVERALL, `mean <measure>` -> (R,); for each of one class, measure -> (R, C). NaN = undefined.
        """
        return self._sums(drawn @ self._of_patient) | self._ranks(drawn[:, self._ids])

    def confusion(self) -> NDArray[np.int64]:
        """Return the images by true and predicted class, as in `ClassIntervals`."""
        counts: NDArray[np.int64] = self._sums.confusion(self._total)[0].astype(np.int64)
        return counts


class _Confusion:
    """Measures of a multiclass from sums over images: cells of the confusion matrix, calibration bins, errors."""

    def __init__(self, p: Values, positive: NDArray[np.bool_], known: NDArray[np.bool_], thresholds: ArrayLike) -> None:
        self.num_classes = c = p.shape[1]
        rows = np.arange(len(p))
        label, predicted = positive.argmax(axis=1), p.argmax(axis=1)
        cells = np.zeros((len(p), c * c))
        cells[rows, label * c + predicted] = 1
        confidence = _in_bins(p[rows, predicted], label == predicted, np.ones(len(p), dtype=bool))
        self.columns = np.concatenate((cells, confidence, _class_columns(p, positive, known)), axis=1)

    def confusion(self, sums: Values) -> Values:
        """Cells (R, C, C) of sums (R, M)."""
        return sums[:, : self.num_classes**2].reshape(-1, self.num_classes, self.num_classes)

    def __call__(self, sums: Values) -> Found:
        c = self.num_classes
        cells = self.confusion(sums)
        n = cells.sum(axis=(-2, -1))
        found = _of_counts(measures.one_vs_rest(cells)) | _of_bins(sums[:, c * c + BINS :], n[:, None], c)
        return found | {
            "mean accuracy": ratio(np.trace(cells, axis1=-2, axis2=-1), n),
            "mean balanced_accuracy": mean_over(found["recall"]),
            "mean kappa": measures.cohen_kappa(cells),
            "mean ece": ratio(np.abs(sums[:, c * c : c * c + BINS]).sum(axis=-1), n),
            "mean brier": found["brier"].sum(axis=-1),
            **{f"mean {name}": mean_over(found[name]) for name in ("precision", "recall", "specificity")},
            "mean macro_f1": mean_over(found["f1"]),
        }


class _Labels:
    """Measures of a multilabel from sums over images: counts, calibration bins and errors of each label."""

    def __init__(self, p: Values, positive: NDArray[np.bool_], known: NDArray[np.bool_], thresholds: ArrayLike) -> None:
        self.num_classes = p.shape[1]
        predicted = p >= np.broadcast_to(np.asarray(thresholds, dtype=np.float64), p.shape)
        cells = (predicted & positive, predicted & ~positive, ~predicted & positive, ~predicted & ~positive)
        counts = np.stack([each & known for each in cells], axis=-1).reshape(len(p), 4 * self.num_classes)
        self.columns = np.concatenate((counts.astype(np.float64), _class_columns(p, positive, known)), axis=1)

    def _counts(self, sums: Values) -> Values:
        return sums[:, : 4 * self.num_classes].reshape(-1, self.num_classes, 4)

    def confusion(self, sums: Values) -> Values:
        """Cells (R, L, 2, 2), [[TN, FP], [FN, TP]], of sums (R, M)."""
        tp, fp, fn, tn = np.moveaxis(self._counts(sums), -1, 0)
        return np.stack((np.stack((tn, fp), axis=-1), np.stack((fn, tp), axis=-1)), axis=-2)

    def __call__(self, sums: Values) -> Found:
        counts = self._counts(sums)
        n = counts.sum(axis=-1)
        found = _of_counts(counts) | _of_bins(sums[:, 4 * self.num_classes :], n, self.num_classes)
        found["accuracy"] = measures.accuracy(counts)
        found["balanced_accuracy"] = (found["recall"] + found["specificity"]) / 2
        found["kappa"] = measures.cohen_kappa(self.confusion(sums))
        there = counts[..., 0] + counts[..., 2]
        both = (there > 0) & (there < n)
        told = ("f1", "balanced_accuracy", "kappa", "precision", "recall", "specificity")
        means = {name: mean_over(np.where(both, found[name], np.nan)) for name in told}
        means |= {name: mean_over(found[name]) for name in ("ece", "brier")}
        means["accuracy"] = ratio((counts[..., 0] + counts[..., 3]).sum(axis=-1), n.sum(axis=-1))
        return found | {f"mean {'macro_f1' if name == 'f1' else name}": each for name, each in means.items()}


class _Ranks:
    """Measures of the order of the images, for weights (R, n)."""

    def __init__(self, p: Values, positive: NDArray[np.bool_], known: NDArray[np.bool_]) -> None:
        self.known = known.T
        self.rankings = [Ranking(p[k, c], positive[k, c]) for c, k in enumerate(self.known)]

    def __call__(self, weights: _Weights) -> Found:
        each = [(ranking, weights[:, k]) for ranking, k in zip(self.rankings, self.known, strict=True)]
        auroc = np.stack([ranking.auroc(w) for ranking, w in each], axis=-1)
        precise = np.stack([ranking.average_precision(w) for ranking, w in each], axis=-1)
        precise = np.where(np.isnan(auroc), np.nan, precise)  # with positives only it would be 1, whatever the net says
        return {
            "auroc": auroc,
            "average_precision": precise,
            "mean auroc": mean_over(auroc),
            "mean average_precision": mean_over(precise),
        }


def _of_counts(counts: Values) -> Found:
    of: dict[str, Callable[[Values], Values]] = {
        "f1": measures.f1,
        "precision": measures.precision,
        "recall": measures.recall,
        "specificity": measures.specificity,
    }
    return {name: measure(counts) for name, measure in of.items()}


def _class_columns(p: Values, positive: NDArray[np.bool_], known: NDArray[np.bool_]) -> Values:
    """For each class its calibration bins, then the squared errors: (n, C * bins + C)."""
    bins = [_in_bins(p[:, c], positive[:, c], known[:, c]) for c in range(p.shape[1])]
    return np.concatenate((*bins, np.where(known, (p - positive) ** 2, 0.0)), axis=1)


def _in_bins(p: Values, right: NDArray[np.bool_], known: NDArray[np.bool_]) -> Values:
    """Difference of truth and p in the column of the image's bin, (n, bins): a bin's sum is its n times its error."""
    found = np.zeros((len(p), BINS))
    found[np.arange(len(p)), bin_of(p)] = np.where(known, right - p, 0.0)
    return found


def _of_bins(sums: Values, n: Values, num_classes: int) -> Found:
    bins = sums[:, : num_classes * BINS].reshape(-1, num_classes, BINS)
    wide = np.broadcast_to(n, bins.shape[:2])
    return {"ece": ratio(np.abs(bins).sum(axis=-1), wide), "brier": ratio(sums[:, num_classes * BINS :], wide)}


def _per_patient(columns: Values, ids: NDArray[np.intp], n_subjects: int) -> Values:
    """Sums of (n, M) over the images of each patient, (patients, M)."""
    order = np.argsort(ids, kind="stable")
    starts = np.searchsorted(ids[order], np.arange(n_subjects))
    return np.add.reduceat(columns[order], starts, axis=0)


def multiplicities(n_subjects: int, n: int, n_boot: int, seed: int) -> Iterator[_Weights]:
    """How often each patient is drawn, (resamples, patients), in blocks of bounded memory.

    Args:
        n_subjects: patients; of fewer than two there is no resample.
        n: their images.
        n_boot: resamples in all.
        seed: of the resampling.
    """
    if n_subjects < 2:
        return
    generator = np.random.default_rng(seed)
    block = max(1, DRAWS_PER_BLOCK // max(n_subjects, n))
    for start in range(0, n_boot, block):
        size = min(block, n_boot - start)
        drawn = generator.integers(0, n_subjects, size=(size, n_subjects))
        drawn += n_subjects * np.arange(size)[:, None]
        yield np.bincount(drawn.reshape(-1), minlength=size * n_subjects).reshape(size, n_subjects).astype(np.float64)


def percentiles(value: np.float64, resampled: Sequence[Values], level: float, n: int, n_subjects: int) -> Interval:
    """Put a value and its resampled ones together to an interval; resamples in which it is undefined are left out.

    Args:
        value: on all images.
        resampled: (R,) each.
        level: coverage.
        n: images behind the value.
        n_subjects: their patients.
    """
    values = np.concatenate(resampled) if resampled else np.zeros(0)
    values = values[np.isfinite(values)]
    if len(values) == 0 or not np.isfinite(value):
        return Interval(float(value), float("nan"), float("nan"), float("nan"), n, n_subjects)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float("nan"), float(low), float(high), n, n_subjects)


def _check(p: Values, t: Values, kind: str) -> None:
    if kind not in ("multiclass", "multilabel"):
        raise ConfigError(f"kind={kind} must be multiclass or multilabel")
    if p.ndim != 2 or p.shape != t.shape:
        raise DataError(f"probabilities have the shape {p.shape} and truth {t.shape}: both must be (images, classes)")
    if not np.isin(t[~np.isnan(t)], (0, 1)).all():
        raise DataError("truth holds other values than 0, 1 and NaN (unknown)")
    wrong = int(((t == 1).sum(axis=1) != 1).sum())
    if kind == "multiclass" and wrong:
        raise DataError(f"{wrong} of {len(t)} images have no class, or more than one: a multiclass image has just one")
