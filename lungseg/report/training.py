"""What the epochs of a run say of its cost: seconds of an epoch, and the epoch that was best."""

from __future__ import annotations

import numpy as np

from lungseg.report.reader import Run


def seconds_per_epoch(run: Run) -> float | None:
    """Median seconds of an epoch, training and validation; None where they were not measured."""
    if run.epochs is None or "seconds" not in run.epochs:
        return None
    median = float(run.epochs["seconds"].median())
    return median if median > 0 else None


def best_epoch(run: Run) -> int | None:
    """The first epoch of the lowest validation loss, counted from 1; None where it was not measured."""
    if run.epochs is None or "val/loss" not in run.epochs or run.epochs["val/loss"].isna().all():
        return None
    best = run.epochs["val/loss"].to_numpy(dtype=float)
    return int(run.epochs["epoch"].to_numpy()[np.nanargmin(best)])
