"""The table of a classification paper: its columns (F1, seconds per epoch, best epoch), ours beside each."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lungseg.report.blocks import Block, Cell, Column, Table, Text
from lungseg.report.paper import Paper, explained, held, load_paper, measured, printed_name, reported
from lungseg.report.paper_tables import missing_rows, paper_blocks
from lungseg.report.reader import Run
from lungseg.report.recipe import departures
from lungseg.report.training import best_epoch, seconds_per_epoch
from lungseg.report.wording import DASH, capital, count, decimal, metric_name, part_name, to_count

OF_TRAINING = ("seconds", "best_epoch")
"""Printed figures that are no score: they stand beside ours without a verdict."""


def class_paper_blocks(labelled: Mapping[str, Run]) -> tuple[Block, ...]:
    """A table for each paper with the runs that it has figures for, and what is to be known of both.

    Args:
        labelled: runs by their label.

    Returns:
        The blocks; a sentence where the runs belong to a paper without figures for them; empty without a paper.
    """
    blocks = paper_blocks(labelled, _table)
    keys = list(dict.fromkeys(str(run.get("paper.key")) for run in labelled.values() if run.get("paper.key")))
    if blocks or not keys:
        return blocks
    titles = [f"“{paper.title}”" if (paper := load_paper(key)) else f"The paper “{key}”" for key in keys]
    runs = "this experiment" if len(labelled) == 1 else "these experiments"
    return tuple(Text(f"{title} has no figures for {runs}: there is nothing to compare with.") for title in titles)


def _table(paper: Paper, runs: Mapping[str, Run]) -> Table:
    printed = list(dict.fromkeys(name for run in runs.values() for name in reported(run)))
    scores = [name for name in printed if name not in OF_TRAINING]
    training = [name for name in OF_TRAINING if name in printed]
    columns = [Column("Run", numeric=False)]
    for name in scores:
        group = printed_name(name)
        columns += [Column("Paper", group=group), Column("Ours", group=group), Column("Difference", group=group)]
    for name in training:
        group = capital(metric_name(name))
        columns += [Column("Paper", group=group), Column("Ours", group=group)]
    columns.append(Column("Ours is of", numeric=False))
    rows = []
    for label, run in runs.items():
        row, figures = str(run.get("paper.row") or ""), reported(run)
        cells = [Cell(label, sub=row if row != label else "")]
        for name in scores:
            cells += _score(run, name, figures.get(name, math.nan), paper)
        for name in training:
            cells += _of_training(run, name, figures.get(name, math.nan))
        departs = "departs from the recipe" if departures(run, paper.row(row).recipe) else ""
        cells.append(Cell(_images(run), sub=departs))
        rows.append(tuple(cells))
    parts = {main.part for run in runs.values() if (main := run.main()) is not None}
    note = [
        explained("val" if "val" in parts else "", paper),
        "Inside, outside: where the paper’s figure lies as to our interval, as rounded." if scores else "",
        _training_note(training),
        missing_rows(paper, runs) if len(runs) > 1 else "",
    ]
    return Table(
        tuple(columns), tuple(rows), caption=f"{paper.title}, {paper.table}", note=" ".join(filter(None, note))
    )


def _score(run: Run, name: str, value: float, paper: Paper) -> tuple[Cell, Cell, Cell]:
    if not math.isfinite(value):
        return Cell(DASH, tone="muted"), Cell(DASH, tone="muted"), Cell("")
    ours, difference, said = held(value, measured(run, name), name, paper)
    where = said.text.partition(",")[0].removesuffix(" our interval") if said.tone != "muted" else ""
    return Cell(decimal(value, paper.digits)), ours, Cell(difference.text, sub=where, tone=said.tone)


def _of_training(run: Run, name: str, value: float) -> tuple[Cell, Cell]:
    printed = Cell(count(to_count(value)) if math.isfinite(value) else DASH)
    if name == "best_epoch":
        done = "" if run.epochs is None else f"of {int(run.epochs['epoch'].max())}"
        return printed, Cell(count(best_epoch(run)), sub=done)
    return printed, Cell(decimal(seconds_per_epoch(run) or math.nan, 1))


def _images(run: Run) -> str:
    main = run.main()
    return f"{count(main.n)} {part_name(main.part)} images" if main else "not evaluated"


def _training_note(training: list[str]) -> str:
    said = []
    if "seconds" in training:
        said.append(
            "Seconds per epoch: ours is the median, training and validation, on our hardware, theirs on theirs."
        )
    if "best_epoch" in training:
        said.append("Best epoch: that of the lowest validation loss.")
    return " ".join(said)
