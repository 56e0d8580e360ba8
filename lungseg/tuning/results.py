"""What a trial reached, read from its run folder."""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lungseg.errors import DataError
from lungseg.tuning.search import Objective

Row = dict[str, float]


@dataclass(frozen=True)
class Reached:
    """What a finished trial reached.

    Args:
        values: of the objectives.
        epoch: that they are of: the best by the run's monitor, whose weights are kept.
        epochs: that were trained.
    """

    values: tuple[float, ...]
    epoch: int
    epochs: int


def read_epochs(folder: Path) -> list[Row]:
    """Return the rows of `epochs.csv`, NaN for empty cells; [] while there is none.

    The file is replaced in one move, so that a reader never meets half of it.
    """
    try:
        with (folder / "epochs.csv").open(newline="", encoding="utf-8") as file:
            return [{str(k): _number(v) for k, v in row.items()} for row in csv.DictReader(file)]
    except OSError:
        return []


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def read_result(folder: Path, objectives: Sequence[Objective], monitor: Objective) -> Reached:
    """Read the objectives of a finished trial.

    All values are of one network: that of the epoch which the run's monitor chose.

    Args:
        folder: its run folder.
        objectives: what is sought.
        monitor: of the run.

    Raises:
        DataError: one is not there, or is no number.
    """
    rows = read_epochs(folder)
    known = [row for row in rows if math.isfinite(row.get(monitor.name, math.nan))]
    if not known:
        has = ", ".join(name for name in (rows[0] if rows else {}) if name.startswith("val/")) or "none"
        msg = f"{folder / 'epochs.csv'} has no number of {monitor.name} (values of the validation part: {has})"
        raise DataError(msg)
    best = known[0]
    for row in known[1:]:  # of equal epochs the first, as the checkpoints have it
        best = row if monitor.better(row[monitor.name], best[monitor.name]) else best
    values = []
    for objective in objectives:
        value = best.get(objective.name, math.nan) if objective.measured else _cost(folder, objective.name, rows)
        if not math.isfinite(value):
            names = ", ".join(name for name in best if name.startswith("val/"))
            msg = f"{folder} has no number of {objective.name} at epoch {best['epoch']:.0f}; it has: {names}"
            raise DataError(msg)
        values.append(value)
    return Reached(tuple(values), int(best["epoch"]), int(rows[-1]["epoch"]))


def _cost(folder: Path, name: str, rows: Sequence[Row]) -> float:
    """Return what a network costs, NaN where it is not known."""
    if name == "seconds_per_epoch":
        return statistics.median(row.get("seconds", math.nan) for row in rows)
    try:
        found = json.loads((folder / "model.json").read_text(encoding="utf-8")).get(name)
    except (OSError, ValueError, AttributeError):
        return math.nan
    return float(found) if isinstance(found, int | float) else math.nan
