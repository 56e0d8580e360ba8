"""Each paper's table with our runs in it: printed figures, ours, and the difference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lungseg.report.blocks import Block, Cell, Column, Points, Table
from lungseg.report.paper import (
    Paper,
    compared,
    elsewhere,
    explained,
    held,
    load_paper,
    measured,
    paper_of,
    printed_name,
    reported,
)
from lungseg.report.reader import Run, Scores
from lungseg.report.recipe import departures
from lungseg.report.wording import count, decimal, listed, metric_name, part_name


def paper_blocks(
    labelled: Mapping[str, Run], table: Callable[[Paper, Mapping[str, Run]], Table] | None = None
) -> tuple[Block, ...]:
    """One table per paper, with the runs that it has figures for.

    What is known of a row, and in what a run is not the recipe, follows in words.

    Args:
        labelled: runs by their label.
        table: what sets a paper's figures beside those of its runs; None = a line for each printed metric.

    Returns:
        The blocks; empty when no run belongs to a paper with figures.
    """
    groups: dict[str, dict[str, Run]] = {}
    for label, run in labelled.items():
        paper = paper_of(run)
        if paper is not None and not elsewhere(run):
            groups.setdefault(paper.key, {})[label] = run
    blocks: list[Block] = []
    for key, runs in groups.items():
        paper = load_paper(key)
        if paper is None:
            continue
        blocks.append((table or _table)(paper, runs))
        for title, items in (
            ("Not the recipe in full", _departed(paper, runs)),
            ("What to know about these rows", _noted(paper, runs)),
            ("What to know about the printed figures", list(paper.notes)),
        ):
            if items:
                blocks.append(Points(tuple(items), title=title))
    return tuple(blocks)


def _table(paper: Paper, runs: Mapping[str, Run]) -> Table:
    """A line for each printed metric of each run; the run is named on its first line, its images on the second."""
    columns = (
        Column("Run", numeric=False),
        Column("Metric", numeric=False),
        Column("Paper"),
        Column("Ours"),
        Column("Difference"),
        Column("Beside it"),
    )
    rows: list[tuple[Cell, ...]] = []
    for label, run in runs.items():
        row = str(run.get("paper.row") or "")
        departs = "departs from the recipe" if departures(run, paper.row(row).recipe) else ""
        second = ", ".join(filter(None, [_images(run), departs]))
        lines = [_figures(run, name, paper) for name in reported(run)]
        heads = [Cell(label, sub=row), Cell("", sub=second)]
        if len(lines) == 1:
            heads = [Cell(label, sub=", ".join(filter(None, [row, second])))]
        heads += [Cell("")] * (len(lines) - len(heads))
        rows += [(head, *line) for head, line in zip(heads, lines, strict=True)]
    parts = {main.part for run in runs.values() if (main := run.main()) is not None}
    note = [
        explained("val" if "val" in parts else "", paper),
        "Inside, outside: where the paper’s figure lies as to our interval, as rounded.",
        _measures(runs),
        missing_rows(paper, runs),
    ]
    return Table(columns, tuple(rows), caption=f"{paper.title}, {paper.table}", note=" ".join(filter(None, note)))


def _images(run: Run) -> str:
    main = run.main()
    return f"{count(main.n)} {part_name(main.part)} images" if main else "not evaluated"


def _figures(run: Run, name: str, paper: Paper) -> tuple[Cell, ...]:
    found, main = measured(run, name), run.main()
    printed = reported(run)[name]
    ours, difference, said = held(printed, found, name, paper)
    where = said.text.partition(",")[0].removesuffix(" our interval") if said.tone != "muted" else ""
    return (
        Cell(printed_name(name)),
        Cell(decimal(printed, paper.digits)),
        ours,
        Cell(difference.text, sub=where, tone=said.tone),
        _beside(main, compared(run, name)[1:]),
    )


def _beside(main: Scores | None, metrics: Sequence[str]) -> Cell:
    """Our other measures: the value of the first, then its name and the rest."""
    if main is None or not metrics:
        return Cell("")
    first, *rest = metrics
    said = [metric_name(first), *(f"{metric_name(name)} {decimal(main.metric(name).mean)}" for name in rest)]
    return Cell(decimal(main.metric(first).mean), sub="; ".join(said))


def missing_rows(paper: Paper, runs: Mapping[str, Run]) -> str:
    """Name the printed rows that no run belongs to."""
    ours = {run.get("paper.row") for run in runs.values()}
    missing = [row.name for row in paper.rows if row.name not in ours]
    return f"Not among these runs: {listed(missing)}." if missing else ""


def _measures(runs: Mapping[str, Run]) -> str:
    """Say which of our metrics stand for the printed ones, where their names differ."""
    stand: dict[str, dict[str, None]] = {}
    for run in runs.values():
        for name in reported(run):
            ours = compared(run, name)[0]
            if ours != name:
                stand.setdefault(metric_name(ours), {})[printed_name(name)] = None
    said = [f"{ours} for {listed(list(printed))}" for ours, printed in stand.items()]
    return f"Ours is {'; '.join(said)}." if said else ""


def _departed(paper: Paper, runs: Mapping[str, Run]) -> list[str]:
    found = {label: departures(run, paper.row(run.get("paper.row")).recipe) for label, run in runs.items()}
    return [f"{label}: {' '.join(said)}" for label, said in found.items() if said]


def _noted(paper: Paper, runs: Mapping[str, Run]) -> list[str]:
    """Notes on the rows, each once, and what the experiments say of how ours are measured."""
    named: dict[str, dict[str, None]] = {}
    for run in runs.values():
        row = paper.row(run.get("paper.row"))
        if row.note and row.name:
            named.setdefault(row.note, {})[row.name] = None
    notes = [f"{listed(list(names))}: {note}" for note, names in named.items()]
    said: dict[str, list[str]] = {}
    for label, run in runs.items():
        if run.get("paper.note") and paper.rows:
            said.setdefault(str(run.get("paper.note")), []).append(label)
    whose = {note: "" if len(labels) == len(runs) else f"{listed(labels)}: " for note, labels in said.items()}
    return [*notes, *(f"{whose[note]}{note}" for note in said)]
