"""The results of a classifier: each measure of each part, source and class, with its interval over patients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lungseg.errors import first_five
from lungseg.stats.bootstrap import Interval
from lungseg.stats.class_bootstrap import ClassIntervals, Kind, class_intervals

PROBABILITY, TRUTH = "p_", "t_"
"""What the columns of a class begin with."""
_NEEDED = ("part", "source", "sample_id", "subject_id")
_ALL = "all"


def summarise_classes(
    frame: pd.DataFrame,
    *,
    kind: Kind,
    classes: Sequence[str],
    thresholds: Mapping[str, float] | None = None,
    n_boot: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Summarise the probabilities of every image, as the `parts` of metrics.json.

    For each part, `all` sources together and each source:

        n, n_subjects     images with at least one known label, and their patients
        n_skipped         classes of which all known images are of one kind: without AUROC and average precision, and
                          of a multilabel left out of the means over labels
        skipped           their names
        metrics.<name>    macro_f1, accuracy, balanced_accuracy, kappa, auroc, average_precision, precision, recall,
                          specificity, ece, brier: mean (the value), low, high (percentile bootstrap interval over
                          patients), n
        classes.<class>   metric.<name> of the class against the rest (f1, precision, recall, specificity, auroc,
                          average_precision, ece, brier; of a label also accuracy, balanced_accuracy, kappa),
                          n_positive, n_known
        confusion         images by true and predicted class, C x C; multilabel [[TN, FP], [FN, TP]] for each label

    What each measure is stands in `lungseg.stats.class_bootstrap.class_intervals`.

    Args:
        frame: one row for each image, with the columns part, source, sample_id, subject_id and, for each class,
            `p_<class>` (probability) and `t_<class>` (1, 0 or NaN = unknown).
        kind: multiclass or multilabel.
        classes: their names, in order.
        thresholds: probability from which a label is predicted, by class; 0.5 where it is not given. Multiclass takes
            the highest probability instead.
        n_boot: bootstrap resamples.
        seed: of the resampling.
        level: of the intervals.

    Returns:
        {part: {"all" or source: {...}}} of plain numbers; None where a value is undefined, as JSON has no NaN. Parts
        and sources keep the order of the frame.

    Raises:
        ValueError: no class is named, a column is missing, a source is called "all", a sample comes twice in one part,
            or a threshold is of no class.
        DataError: a probability is not in [0, 1], or the truth is none.
    """
    limits = dict(thresholds or {})
    _check(frame, classes, limits)
    parts: dict[str, dict[str, dict[str, Any]]] = {}
    for part in frame["part"].unique():
        of_part = frame[frame["part"] == part]
        groups = {_ALL: of_part}
        groups |= {str(source): of_part[of_part["source"] == source] for source in of_part["source"].unique()}
        parts[str(part)] = {
            name: _block(
                class_intervals(
                    group[[PROBABILITY + c for c in classes]].to_numpy(dtype=np.float64),
                    group[[TRUTH + c for c in classes]].to_numpy(dtype=np.float64),
                    group["subject_id"].to_numpy(dtype=object),
                    kind=kind,
                    thresholds=[limits.get(c, 0.5) for c in classes],
                    n_boot=n_boot,
                    seed=seed,
                    level=level,
                ),
                classes,
            )
            for name, group in groups.items()
        }
    return parts


def _block(found: ClassIntervals, classes: Sequence[str]) -> dict[str, Any]:
    skipped = [name for name, left in zip(classes, found.skipped, strict=True) if left]
    return {
        "n": found.n,
        "n_subjects": found.n_subjects,
        "n_skipped": len(skipped),
        "skipped": skipped,
        "metrics": {name: _entry(each) for name, each in found.overall.items()},
        "classes": {
            name: {
                "metric": {metric: _entry(each) for metric, each in found.classes[place].items()},
                "n_positive": int(found.n_positive[place]),
                "n_known": int(found.n_known[place]),
            }
            for place, name in enumerate(classes)
        },
        "confusion": found.confusion.tolist(),
    }


def _entry(found: Interval) -> dict[str, float | int | None]:
    return {"mean": _json(found.mean), "low": _json(found.low), "high": _json(found.high), "n": found.n}


def _json(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _check(frame: pd.DataFrame, classes: Sequence[str], thresholds: Mapping[str, float]) -> None:
    if not classes:
        msg = "data.classes is empty: name the classes in order, as in data.classes=[normal,bacterial,viral]"
        raise ValueError(msg)
    needed = [*_NEEDED, *(start + name for name in classes for start in (PROBABILITY, TRUTH))]
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        msg = f"per-sample table has no column {first_five(missing)}; it needs {', '.join(needed)}"
        raise ValueError(msg)
    unknown = [name for name in thresholds if name not in classes]
    if unknown:
        msg = f"thresholds are given for {first_five(unknown)}, but the classes are {', '.join(classes)}"
        raise ValueError(msg)
    if (frame["source"] == _ALL).any():
        msg = f"a source is called {_ALL!r}, which is the key of all sources together; rename it under data.sources"
        raise ValueError(msg)
    twice = frame[frame.duplicated(["part", "sample_id"])]
    if len(twice):
        msg = f"{len(twice)} rows repeat a sample of the same part: {first_five(twice['sample_id'])}. Give each once"
        raise ValueError(msg)
