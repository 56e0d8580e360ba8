"""Tables over several classification runs: side by side, class by class, paired, repeated runs together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from lungseg.errors import DataError
from lungseg.report.blocks import Cell, Column, Table
from lungseg.report.class_scores import class_scores, thresholds_of
from lungseg.report.class_tables import OVERALL, class_samples
from lungseg.report.compare import Repeats, parts_of
from lungseg.report.reader import Run
from lungseg.report.results import interval_cell
from lungseg.report.single import boot_of
from lungseg.report.wording import (
    DASH,
    capital,
    count,
    decimal,
    listed,
    metric_name,
    part_name,
    signed,
    some,
    source_name,
    span,
)
from lungseg.stats.class_bootstrap import Kind
from lungseg.stats.class_paired import COMPARED, Predictions, paired_class_differences
from lungseg.stats.paired import Difference

REPEATED = ("macro_f1", "accuracy", "balanced_accuracy", "auroc")
USUAL, FEWEST = 2000, 200
MOST_WORK = 20_000_000
"""Images times classes times resamples of one comparison, some ten seconds; of more, fewer resamples are taken."""


@dataclass(frozen=True)
class ClassPair:
    """The differences of one run against the first on one part.

    Attributes:
        label: of the run.
        part: of the split.
        differences: measure -> difference; empty where the two cannot be paired.
        why: why they cannot.
        n_boot: resamples taken.
    """

    label: str
    part: str
    differences: Mapping[str, Difference]
    why: str = ""
    n_boot: int = 0


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


def class_pairs(labelled: Mapping[str, Run]) -> list[ClassPair]:
    """Each run against the first, on every part that both were scored on image by image.

    Args:
        labelled: runs by their label.

    Returns:
        One entry for each run and part; without differences where the two cannot be paired.
    """
    (_, first), *others = labelled.items()
    boot = boot_of(first)
    found = []
    for label, run in others:
        for part in parts_of([first, run]):
            a, b = class_samples(first, part), class_samples(run, part)
            if a is None or b is None:
                continue
            if first.kind != run.kind or set(first.classes) != set(run.classes):
                found.append(ClassPair(label, part, {}, "other classes"))
                continue
            if not set(a["sample_id"]) & set(b["sample_id"]):
                found.append(ClassPair(label, part, {}, "no common image"))
                continue
            kind: Kind = "multiclass" if first.kind == "multiclass" else "multilabel"
            work = min(len(a), len(b)) * len(first.classes)
            n_boot = min(boot["n_boot"], max(FEWEST, MOST_WORK // work))
            try:
                differences = paired_class_differences(
                    _predictions(first, a, first.classes),
                    _predictions(run, b, first.classes),
                    kind=kind,
                    n_boot=n_boot,
                    seed=boot["seed"],
                )
            except DataError as error:  # other labels, or a damaged table
                found.append(ClassPair(label, part, {}, str(error)))
                continue
            found.append(ClassPair(label, part, differences, n_boot=n_boot))
    return found


def class_paired_table(found: Sequence[ClassPair], first: str) -> Table:
    """The paired differences against the first run.

    Args:
        found: from `class_pairs`.
        first: what the first run is called; its letter comes first.
    """
    columns = (
        Column("Run", numeric=False),
        Column("Part", numeric=False),
        *(
            Column(title, group=capital(metric_name(name)))
            for name in COMPARED
            for title in ("Its own", f"Of {first.partition(' ')[0]}", "Difference")
        ),
        Column("Common images"),
        Column("Not common"),
    )
    rows: list[tuple[Cell, ...]] = []
    for pair in found:
        head = (Cell(pair.label), Cell(part_name(pair.part)))
        if not pair.differences:
            rows.append((*head, Cell(pair.why, tone="muted", colspan=3 * len(COMPARED) + 2)))
            continue
        cells: list[Cell] = []
        for name in COMPARED:
            one = pair.differences[name]
            inner = one.interval
            cells += [
                Cell(decimal(one.mean_b)),
                Cell(decimal(one.mean_a)),
                Cell(signed(inner.mean), sub=span(inner.low, inner.high, plus=True)),
            ]
        common = Cell(count(one.interval.n), sub=some(one.interval.n_subjects, "patient"))
        rows.append((*head, *cells, common, Cell(count(one.only_a + one.only_b))))
    notes = [f"Difference = the run minus {first}, on common images; in each resample both have the same patients."]
    if fewer := sorted({pair.n_boot for pair in found if 0 < pair.n_boot < USUAL}):
        notes.append(f"Large parts: {listed([count(n) for n in fewer])} resamples.")
    n = sum(len(pair.differences) for pair in found)
    if n > 1:
        notes.append(
            f"Of {n} such 95 % intervals about one in twenty leaves out 0 although there is no difference: they are "
            "not corrected for their number."
        )
    return Table(columns, tuple(rows), note=" ".join(notes))


def _predictions(run: Run, samples: pd.DataFrame, classes: Sequence[str]) -> Predictions:
    limits = thresholds_of(run)
    return Predictions(
        keys=samples["sample_id"].to_list(),
        probabilities=samples[[f"p_{name}" for name in classes]].to_numpy(dtype=float),
        truth=samples[[f"t_{name}" for name in classes]].to_numpy(dtype=float),
        subjects=samples["subject_id"].to_list(),
        thresholds=[limits.get(name, 0.5) for name in classes],
    )
