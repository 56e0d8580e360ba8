"""The report of several runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lungseg.report.blocks import Block, Figures, Page, Points, Section, Text
from lungseg.report.compare import (
    Pair,
    comparison_table,
    label_runs,
    learned_from,
    paired_table,
    pairs,
    parts_of,
    repeats,
    repeats_table,
    runs_table,
    tested_images,
    together_interval,
)
from lungseg.report.convention import crossed
from lungseg.report.cost import cost_table
from lungseg.report.cross import cross_table
from lungseg.report.figures import forest_figure, multiple_figures, validation_figure
from lungseg.report.paper_tables import paper_blocks
from lungseg.report.reader import Run
from lungseg.report.single import HOW_TO_READ, banners
from lungseg.report.wording import capital, count, decimal, listed, part_name, span, structure_name


def several_page(runs: Sequence[Run], *, title: str | None = None) -> Page:
    """Put together the report of several runs; the first is the one that the others are compared with.

    Args:
        runs: two or more runs as read.
        title: instead of a title made from the runs' number.

    Returns:
        The page; sections without any content are left out.
    """
    labelled = label_runs(runs)
    sections = [
        Section("Side by side", "results", _side_by_side(labelled)),
        Section("Paper and ours", "paper", paper_blocks(labelled)),
        Section("Cost", "cost", _cost(labelled)),
        Section("Paired differences", "paired", _paired(labelled)),
        Section("Across data sets", "cross", _cross(runs)),
        Section("Repeated runs", "repeats", _repeated(labelled)),
        Section("Training", "training", _training(labelled)),
        Section("The runs", "runs", (runs_table(labelled),)),
        Section("Gaps in the run folders", "gaps", _gaps(labelled)),
    ]
    return Page(
        eyebrow="lungseg comparison",
        title=title or _title(runs),
        summary=_summary(labelled),
        banners=tuple(
            Text(f"{label}: {found.text}", tone=found.tone) for label, run in labelled.items() for found in banners(run)
        ),
        sections=tuple(section for section in sections if section.blocks),
        footer=HOW_TO_READ,
    )


def _title(runs: Sequence[Run]) -> str:
    names = list(dict.fromkeys(run.name for run in runs))
    return f"{len(runs)} runs of {names[0]}" if len(names) == 1 else f"{len(runs)} runs compared"


def _summary(labelled: Mapping[str, Run]) -> str:
    names = list(dict.fromkeys(run.name for run in labelled.values()))
    first = f"{len(labelled)} runs of {listed(names[:5])}{' and others' if len(names) > 5 else ''}."
    found = [(run, main) for run in labelled.values() if (main := run.main()) is not None]
    found = [(run, main) for run, main in found if math.isfinite(main.metric("dice").mean)]
    if not found:
        return f"{first} None has been evaluated."
    main = found[0][1]
    part, structure = part_name(main.part), structure_name(main.structure)
    groups = repeats(labelled)
    if len(groups) == 1 and len(groups[0].runs) == len(labelled):
        together = together_interval(groups[0].runs, main.part, main.structure)
        if together is not None:
            return (
                f"{first} Each {part} radiograph belongs to one of them; over all {count(together.n)} the mean Dice of "
                f"the {structure} is {decimal(together.mean)} {span(together.low, together.high)}."
            )
    if len({(main.part, main.structure, tested_images(run, main.part)) for run, main in found}) > 1:
        return f"{first} They were tested on different images: only the paired differences compare like with like."
    label = {id(run): label for label, run in labelled.items()}
    low, high = (pick(found, key=lambda item: item[1].metric("dice").mean) for pick in (min, max))
    ends = [f"{decimal(main.metric('dice').mean)} ({label[id(run)]})" for run, main in (low, high)]
    said = f"{first} On {count(main.n)} {part} radiographs the mean Dice of the {structure}"
    if len(found) == 1:
        return f"{said} is {ends[0]}; the others were not evaluated."
    return f"{said} goes from {' to '.join(ends)}."


def _side_by_side(labelled: Mapping[str, Run]) -> tuple[Block, ...]:
    runs = list(labelled.values())
    blocks: list[Block] = []
    for part in parts_of(runs):
        table = comparison_table(labelled, part)
        if table is None:
            continue
        blocks.append(table)
        several = len({scores.structure for run in runs for scores in run.scores() if scores.part == part}) > 1
        rows = [
            (f"{label}, {structure_name(scores.structure)}" if several else label, scores.metric("dice"))
            for label, run in labelled.items()
            for scores in run.scores()
            if scores.part == part and scores.source == "all"
        ]
        figure = forest_figure(rows, f"Dice, {part_name(part)}", f"forest_{part}") if len(rows) <= 24 else None
        if figure is not None:
            blocks.append(Figures((figure,)))
    grids = {str(run.metrics.get("grid")) for run in runs if run.metrics.get("grid")}
    if len(grids) > 1:
        blocks.insert(0, Text(f"These runs were scored on different grids ({listed(sorted(grids))}).", tone="warn"))
    said = [f"{label}: {text}" for label, run in labelled.items() if (text := crossed(run))]
    if said:
        blocks.append(Text(" ".join(said), tone="warn"))
    return tuple(blocks)


def _cost(labelled: Mapping[str, Run]) -> tuple[Block, ...]:
    table = cost_table(labelled)
    return (table,) if table is not None else ()


def _paired(labelled: Mapping[str, Run]) -> tuple[Block, ...]:
    found = pairs(labelled)
    first = next(iter(labelled))
    leaks = learned_from(labelled)
    blocks: list[Block] = [Text(" ".join(leaks), tone="warn")] if leaks else []
    if not any(pair.difference for pair in found):
        if found:
            blocks.append(Text(f"No run shares an image with {first}: there is nothing to pair.", tone="muted"))
        return tuple(blocks)
    said = [_sentence(pair, first) for pair in found if pair.difference is not None]
    if len(said) <= 12:
        blocks.append(Points(tuple(said)))
    blocks.append(paired_table(found, first))
    several = len({(pair.part, pair.structure) for pair in found}) > 1
    rows = [
        (f"{pair.label}, {structure_name(pair.structure)}, {part_name(pair.part)}", pair.difference.interval)
        if several
        else (pair.label, pair.difference.interval)
        for pair in found
        if pair.difference is not None
    ]
    figure = forest_figure(rows[:24], f"Difference of Dice from {first}", "paired", zero=True)
    if figure is not None:
        blocks.append(Figures((figure,)))
    return tuple(blocks)


def _sentence(pair: Pair, first: str) -> str:
    if pair.difference is None:
        return ""
    where = f"{capital(structure_name(pair.structure))}, {part_name(pair.part)}"
    return f"{where}: {pair.difference.sentence(first, pair.label)}"


def _cross(runs: Sequence[Run]) -> tuple[Block, ...]:
    structures = list(dict.fromkeys(scores.structure for run in runs for scores in run.scores()))
    tables = [cross_table(runs, structure) for structure in structures]
    return tuple(table for table in tables if table is not None)


def _repeated(labelled: Mapping[str, Run]) -> tuple[Block, ...]:
    groups = repeats(labelled)
    if not groups:
        return ()
    members = [f"{group.name}: {listed(group.labels)}." for group in groups]
    return (Points(tuple(members)), repeats_table(groups))


def _training(labelled: Mapping[str, Run]) -> tuple[Block, ...]:
    figure = validation_figure(labelled)
    singles = multiple_figures(labelled)
    return tuple(Figures(found) for found in ((figure,) if figure is not None else (), singles) if found)


def _gaps(labelled: Mapping[str, Run]) -> tuple[Block, ...]:
    notes = tuple(f"{label}: {note}" for label, run in labelled.items() for note in run.notes)
    return (Points(notes),) if notes else ()
