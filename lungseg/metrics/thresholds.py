"""The probability from which a label is predicted, chosen for each label on validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungseg.errors import ConfigError, DataError
from lungseg.metrics.classification import truth_matrix
from lungseg.stats.confusion import Values, f1, recall, specificity
from lungseg.stats.ranking import Ranking

Rule = Literal["f1", "youden", "sensitivity"]


@dataclass(frozen=True)
class LabelThreshold:
    """What the validation images say of one label.

    Attributes:
        threshold: probability from which the label is predicted.
        f1, sensitivity, specificity: of the known validation images at it; NaN where undefined.
        n_positive: validation images of the label.
        n_known: validation images of which the label is known.
        chosen: False where the known images are all of one kind, so that the default stands.
    """

    threshold: float
    f1: float
    sensitivity: float
    specificity: float
    n_positive: int
    n_known: int
    chosen: bool


class LabelThresholds:
    """Chooses a threshold for each label of a multilabel; for validation images only.

    A label is predicted where its probability is at least the threshold. Candidates lie half-way between neighbouring
    distinct probabilities, so that a last digit lost in storing them changes nothing, and half-way below the lowest and
    above the highest. Of several equally good ones the nearest to the default is taken.

        f1            the highest F1
        youden        the highest J = sensitivity + specificity - 1 (Youden 1950)
        sensitivity   the highest specificity with at least the sensitivity that is asked for

    Args:
        rule: one of these.
        sensitivity: that is asked for, in (0, 1]; for `rule=sensitivity` alone.
        default: threshold of a label whose known images are all of one kind, in (0, 1).

    Raises:
        ConfigError: a setting is out of its range.

    Example:
        >>> choose = LabelThresholds(rule="f1")
        >>> found = choose([[0.1], [0.3], [0.4], [0.9]], [[0], [0], [1], [1]], classes=["mass"])
        >>> round(found["mass"].threshold, 2), found["mass"].f1
        (0.35, 1.0)
    """

    def __init__(self, *, rule: Rule = "f1", sensitivity: float = 0.9, default: float = 0.5) -> None:
        if rule not in get_args(Rule):
            msg = f"rule={rule} of the label thresholds must be one of {', '.join(get_args(Rule))}"
            raise ConfigError(msg)
        if not 0 < sensitivity <= 1:
            msg = f"sensitivity={sensitivity} of the label thresholds must lie above 0 and not above 1, as 0.9"
            raise ConfigError(msg)
        if not 0 < default < 1:
            msg = f"default={default} of the label thresholds must lie between 0 and 1, as 0.5"
            raise ConfigError(msg)
        self.rule = rule
        self.sensitivity = sensitivity
        self.default = default

    def __call__(
        self, probabilities: ArrayLike, labels: ArrayLike, *, classes: Sequence[str]
    ) -> dict[str, LabelThreshold]:
        """Choose.

        Args:
            probabilities: (N, L) in [0, 1] of the validation images.
            labels: (N, L) 0, 1 or NaN = unknown, left out.
            classes: the L names.

        Returns:
            For each name its threshold and what it reaches.

        Raises:
            DataError: shapes do not fit, or the labels are no 0, 1 or NaN.
        """
        p = np.asarray(probabilities, dtype=np.float64)
        if p.ndim != 2 or p.shape[1] != len(classes) or np.shape(labels) != p.shape:
            raise DataError(
                f"probabilities have the shape {p.shape} and labels {np.shape(labels)}: both must be (images, "
                f"{len(classes)}), one column for each of {', '.join(classes)}"
            )
        truth = truth_matrix(labels, len(classes))
        return {name: self._label(p[:, place], truth[:, place]) for place, name in enumerate(classes)}

    def _label(self, p: Values, truth: Values) -> LabelThreshold:
        known = ~np.isnan(truth)
        scores, there = p[known], truth[known] == 1
        n, positives = len(scores), int(there.sum())
        if positives in (0, n):
            counts = _counts_at(scores, there, self.default)
            return _told(self.default, counts, positives, n, chosen=False)
        candidates, counts = _candidates(scores, there)
        value = self._value(counts)
        best = np.flatnonzero(value >= value.max() - 1e-12)
        place = best[np.abs(candidates[best] - self.default).argmin()]
        return _told(float(candidates[place]), counts[place], positives, n, chosen=True)

    def _value(self, counts: NDArray[np.float64]) -> Values:
        if self.rule == "f1":
            return f1(counts)
        if self.rule == "youden":
            return recall(counts) + specificity(counts) - 1
        return np.where(recall(counts) >= self.sensitivity - 1e-12, specificity(counts), -1.0)


def _candidates(scores: Values, there: NDArray[np.bool_]) -> tuple[Values, NDArray[np.float64]]:
    """Thresholds from high to low, (g + 1,), and the counts TP, FP, FN, TN that each gives, (g + 1, 4)."""
    ranking = Ranking(scores, there)
    positives, negatives = ranking.groups()
    steps = np.concatenate(([1.0], ranking.thresholds, [0.0]))
    tp, fp = (np.concatenate(([0.0], np.cumsum(each))) for each in (positives, negatives))
    counts = np.stack((tp, fp, positives.sum() - tp, negatives.sum() - fp), axis=-1)
    candidates = (steps[:-1] + steps[1:]) / 2
    # above a score of exactly 1 nothing is half-way: such a threshold would not part what its counts say
    keep = np.concatenate((candidates[:-1] > ranking.thresholds, [True]))
    return candidates[keep], counts[keep]


def _counts_at(scores: Values, there: NDArray[np.bool_], threshold: float) -> NDArray[np.float64]:
    predicted = scores >= threshold
    cells = (predicted & there, predicted & ~there, ~predicted & there, ~predicted & ~there)
    return np.array([each.sum() for each in cells], dtype=np.float64)


def _told(threshold: float, counts: Values, n_positive: int, n_known: int, *, chosen: bool) -> LabelThreshold:
    found, sensitivity, specific = (float(measure(counts)) for measure in (f1, recall, specificity))
    return LabelThreshold(
        threshold=threshold,
        f1=found,
        sensitivity=sensitivity,
        specificity=specific,
        n_positive=n_positive,
        n_known=n_known,
        chosen=chosen,
    )
