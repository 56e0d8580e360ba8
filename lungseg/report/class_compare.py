"""Tables over several classification runs: side by side, class by class, repeated runs together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping

from lungseg.report.blocks import Cell, Column, Table
from lungseg.report.class_scores import class_scores
from lungseg.report.class_tables import OVERALL
from lungseg.report.compare import Repeats, parts_of
from lungseg.report.reader import Run
from lungseg.report.results import interval_cell
from lungseg.report.wording import (
    DASH,
    capital,
    count,
    decimal,
    listed,
    metric_name,
    part_name,
    some,
    source_name,
)

REPEATED = ("macro_f1", "accuracy", "balanced_accuracy", "auroc")


def class_comparison_table(labelled: Mapping[str, Run], part: str) -> Table | None:
    """All runs on one part of the split, over all their sources and classes."""
    found = [
        (label, run, scores)
        for label, run in labelled.items()
        for scores in run.scores()
        if scores.part == part and scores.source == "all"
    ]
    if not found:
        return None
    shown = [name for name in OVERALL if any(name in scores.metrics for _, _, scores in found)]
    columns = (
        Column("Run", numeric=False),
        Column("Tested on", numeric=False),
        Column("Images"),
        *(Column(capital(metric_name(name))) for name in shown),
    )
    rows = tuple(
        (
            Cell(label),
            Cell(
                listed([source_name(name) for name in run.tested_on(part)]),
                sub=some(len(run.classes), "class", "classes"),
            ),
            Cell(count(scores.n), sub="" if scores.n_subjects is None else some(scores.n_subjects, "patient")),
            *(interval_cell(scores.metric(name)) for name in shown),
        )
        for label, run, scores in found
    )
    return Table(columns, rows, caption=f"{capital(part_name(part))} part, all classes", sortable=True)


def class_by_class_table(labelled: Mapping[str, Run], part: str, metric: str = "f1") -> Table | None:
    """One measure of each class of all runs, a column for each class.

    Returns:
        The table; None where no run has figures for the classes, or all have more than twelve.
    """
    found = {label: class_scores(run, part) for label, run in labelled.items()}
    names = list(dict.fromkeys(each.name for scores in found.values() for each in scores))
    if not names or len(names) > 12:
        return None
    columns = (Column("Run", numeric=False), *(Column(name) for name in names))
    rows = []
    for label, scores in found.items():
        by_name = {each.name: each.metric(metric) for each in scores}
        if by_name:
            cells = (interval_cell(by_name[name]) if name in by_name else Cell(DASH, tone="muted") for name in names)
            rows.append((Cell(label), *cells))
    return Table(columns, tuple(rows), caption=f"{capital(metric_name(metric))} of each class, {part_name(part)} part")


def class_repeats_table(groups: list[Repeats]) -> Table:
    """Mean and sd over runs that differ in the seed or the fold alone."""
    columns = (
        Column("Experiment", numeric=False),
        Column("Part", numeric=False),
        Column("Runs"),
        *(Column(capital(metric_name(name)), group="Mean and sd over runs") for name in REPEATED),
    )
    rows = []
    for group in groups:
        for part in parts_of(group.runs):
            scores = [s for run in group.runs for s in run.scores() if s.part == part and s.source == "all"]
            cells = []
            for name in REPEATED:
                means = [mean for s in scores if math.isfinite(mean := s.metric(name).mean)]
                sd = f"± {statistics.stdev(means):.4f}" if len(means) > 1 else ""
                cells.append(Cell(decimal(statistics.fmean(means)), sub=sd) if means else Cell(DASH, tone="muted"))
            head = Cell(group.name, sub=f"differs in {listed(group.varied)}")
            rows.append((head, Cell(part_name(part)), Cell(count(len(scores))), *cells))
    return Table(columns, tuple(rows), note="sd = spread of the runs’ values (n − 1).")
