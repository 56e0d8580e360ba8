"""What metrics.json says of each class of a classification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungseg.report.reader import Run, to_interval
from lungseg.report.wording import to_count, to_float
from lungseg.stats.bootstrap import Interval


@dataclass(frozen=True)
class ClassScores:
    """One class of one part, all its sources together.

    Attributes:
        name: of the class.
        metrics: measure -> interval, the class against the rest.
        n_positive: images of the class.
        n_known: images of which it is known whether they are.
        skipped: whether all known images are of one kind.
    """

    name: str
    metrics: Mapping[str, Interval]
    n_positive: int | None
    n_known: int | None
    skipped: bool

    def metric(self, name: str) -> Interval:
        """The measure with its interval; all NaN when it was not taken."""
        return self.metrics.get(name, to_interval(None, {}))


def class_scores(run: Run, part: str) -> list[ClassScores]:
    """Read the classes of one part.

    Args:
        run: a classification run.
        part: `test`, `val`...

    Returns:
        One entry for each class that metrics.json has figures for, in the order of the classes.
    """
    block = _block(run, part)
    found, skipped = _map(block.get("classes")), block.get("skipped")
    left_out = [str(name) for name in skipped] if isinstance(skipped, list) else []
    return [
        ClassScores(
            name=name,
            metrics={str(key): to_interval(value, block) for key, value in _map(entry.get("metric")).items()},
            n_positive=to_count(entry.get("n_positive")),
            n_known=to_count(entry.get("n_known")),
            skipped=name in left_out,
        )
        for name in run.classes or tuple(str(name) for name in found)
        if isinstance(entry := found.get(name), Mapping)
    ]


def confusion_of(run: Run, part: str) -> NDArray[np.int64] | None:
    """Counts by true and predicted class, (C, C), or [[TN, FP], [FN, TP]] of each label, (L, 2, 2).

    Returns:
        The counts; None where they are missing or do not fit the classes.
    """
    c = len(run.classes)
    expected = (c, c) if run.kind == "multiclass" else (c, 2, 2)
    try:
        cells = np.asarray(_block(run, part).get("confusion"), dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if cells.shape != expected or c == 0 or not np.isfinite(cells).all() or (cells < 0).any():
        return None
    return cells.astype(np.int64)


def thresholds_of(run: Run) -> dict[str, float]:
    """The probability from which each label is predicted; empty for a multiclass."""
    return {str(name): to_float(value) for name, value in _map(run.metrics.get("thresholds")).items()}


def _block(run: Run, part: str) -> Mapping[str, Any]:
    return _map(_map(_map(run.metrics.get("parts")).get(part)).get("all"))


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
