"""The table of results: means and pooled values of each part, source and structure, with their intervals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lungseg.metrics.overlap import OVERLAP
from lungseg.stats.bootstrap import Interval, mean_interval, pooled_interval

COUNTS = ["tp", "fp", "fn", "tn"]
_NEEDED = ["part", "source", "sample_id", "subject_id", "structure", *COUNTS]
_ALL = "all"


def summarise(
    frame: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0, level: float = 0.95
) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Summarise the counts of every image, as the `parts` of metrics.json.

    Every value is computed from the counts; columns such as `dice` are not read. For each part, `all` sources together
    and each source, and each structure:

        n, n_subjects       images and patients
        n_empty             reference and prediction both empty: Dice undefined, left out of its mean
        n_missed            reference not empty, nothing predicted: Dice 0
        n_false             reference empty, something predicted: Dice 0
        metrics.<name>      dice, iou, accuracy, precision, recall: mean, sd (n - 1) over the images where it is
                            defined, n of them, and low, high = percentile bootstrap interval over patients
        metrics.<name>_pooled   dice, iou of the summed counts: mean, low, high

    Args:
        frame: one row for each image and structure, with the columns part, source, sample_id, subject_id, structure,
            tp, fp, fn, tn (pixels).
        n_boot: bootstrap resamples.
        seed: of the resampling.
        level: of the interval.

    Returns:
        {part: {"all" or source: {structure: {...}}}} of plain numbers; None where a value is undefined, as JSON has
        no NaN. Parts, sources and structures keep the order of the frame.

    Raises:
        ValueError: a column is missing, a source is called "all", or a sample comes twice for one structure.
    """
    _check(frame)
    parts: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    for part in frame["part"].unique():
        of_part = frame[frame["part"] == part]
        groups = {_ALL: of_part}
        groups |= {str(source): of_part[of_part["source"] == source] for source in of_part["source"].unique()}
        parts[str(part)] = {
            name: {
                str(structure): _summarise_group(group[group["structure"] == structure], n_boot, seed, level)
                for structure in group["structure"].unique()
            }
            for name, group in groups.items()
        }
    return parts


def _summarise_group(group: pd.DataFrame, n_boot: int, seed: int, level: float) -> dict[str, Any]:
    """Summarise the images of one part, source and structure."""
    counts: npt.NDArray[np.int64] = group[COUNTS].to_numpy(dtype=np.int64)
    subjects = group["subject_id"].to_numpy(dtype=object)
    tp, fp, fn, _ = counts.T
    no_reference, no_prediction = tp + fn == 0, tp + fp == 0

    metrics: dict[str, dict[str, float | int | None]] = {}
    for name, measure in OVERLAP.items():
        found = mean_interval(measure(counts), subjects, n_boot=n_boot, seed=seed, level=level)
        metrics[name] = {
            "mean": _json(found.mean),
            "sd": _json(found.sd),
            "low": _json(found.low),
            "high": _json(found.high),
            "n": found.n,
        }
    for name, above, below in (("dice", 2 * tp, 2 * tp + fp + fn), ("iou", tp, tp + fp + fn)):
        pooled: Interval = pooled_interval(above, below, subjects, n_boot=n_boot, seed=seed, level=level)
        metrics[f"{name}_pooled"] = {
            "mean": _json(pooled.mean),
            "low": _json(pooled.low),
            "high": _json(pooled.high),
        }
    return {
        "n": len(group),
        "n_subjects": int(group["subject_id"].nunique()),
        "n_empty": int((no_reference & no_prediction).sum()),
        "n_missed": int((~no_reference & no_prediction).sum()),
        "n_false": int((no_reference & ~no_prediction).sum()),
        "metrics": metrics,
    }


def _check(frame: pd.DataFrame) -> None:
    missing = [name for name in _NEEDED if name not in frame.columns]
    if missing:
        msg = f"per-sample table has no column {', '.join(missing)}; it needs {', '.join(_NEEDED)}"
        raise ValueError(msg)
    if (frame["source"] == _ALL).any():
        msg = f"a source is called {_ALL!r}, which is the key of all sources together; rename it under data.sources"
        raise ValueError(msg)
    twice = frame[frame.duplicated(["part", "sample_id", "structure"])]
    if len(twice):
        names = ", ".join(twice["sample_id"].astype(str).head(5))
        msg = f"{len(twice)} rows repeat a sample of the same part and structure: {names}. Count each image once"
        raise ValueError(msg)


def _json(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
