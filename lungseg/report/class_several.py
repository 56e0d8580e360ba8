"""The report of several classification runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lungseg.report.blocks import Block, Figure, Figures, Page, Points, Section, Text
from lungseg.report.class_compare import (
    ClassPair,
    class_by_class_table,
    class_comparison_table,
    class_paired_table,
    class_pairs,
    class_repeats_table,
)
from lungseg.report.class_figures import confusion_figure
from lungseg.report.class_paper import class_paper_blocks
from lungseg.report.class_pictures import example_blocks
from lungseg.report.class_scores import confusion_of
from lungseg.report.class_single import HOW_TO_READ, feature_map
from lungseg.report.compare import label_runs, learned_from, parts_of, repeats, runs_table, tested_images
from lungseg.report.cost import cost_table
from lungseg.report.figures import forest_figure, multiple_figures
from lungseg.report.rates import rate_figures
from lungseg.report.reader import Run
from lungseg.report.shortcut import shortcut_blocks
from lungseg.report.single import banners
from lungseg.report.wording import capital, count, decimal, listed, metric_name, part_name, source_name

MOST = 12
GRIDS = 6


def several_classes_page(runs: Sequence[Run], *, title: str | None = None) -> Page:
    """Put together the report of several classification runs.

    Args:
        runs: two or more runs as read.
        title: instead of a title made from the runs' number.

    Returns:
        The page; sections without any content are left out.
    """
    labelled = label_runs(runs)
    examples, notes = _examples(labelled)
    sections = [
        Section("Side by side", "results", _side_by_side(labelled)),
        Section("Paired differences", "paired", _paired(labelled)),
        Section("Without lungs", "shortcut", shortcut_blocks(labelled)),
        Section("Paper and ours", "paper", class_paper_blocks(labelled)),
        Section("Learning rate", "rates", _figures(rate_figures(labelled))),
        Section("Cost", "cost", tuple(filter(None, [cost_table(labelled, "macro_f1")]))),
        Section("Confusion and features", "confusion", _confusion(labelled)),
        Section("Repeated runs", "repeats", _repeated(labelled)),
        Section("Preprocessing", "images", examples),
        Section("Training", "training", _training(labelled)),
        Section("The runs", "runs", (runs_table(labelled),)),
        Section("Gaps in the run folders", "gaps", _gaps(labelled, notes)),
    ]
    names = list(dict.fromkeys(run.name for run in runs))
    said = f"{len(runs)} runs of {names[0]}" if len(names) == 1 else f"{len(runs)} runs compared"
    return Page(
        eyebrow="lungseg comparison",
        title=title or said,
        summary=_summary(labelled),
        banners=tuple(
            Text(f"{label}: {found.text}", tone=found.tone) for label, run in labelled.items() for found in banners(run)
        ),
        sections=tuple(section for section in sections if section.blocks),
        footer=HOW_TO_READ,
    )


def _summary(labelled: Mapping[str, Run]) -> str:
    names = list(dict.fromkeys(run.name for run in labelled.values()))
    first = f"{len(labelled)} runs of {listed(names[:5])}{' and others' if len(names) > 5 else ''}."
    found = [(label, run, main) for label, run in labelled.items() if (main := run.main()) is not None]
    found = [each for each in found if math.isfinite(each[2].metric("macro_f1").mean)]
    if not found:
        return f"{first} None has been evaluated."
    main = found[0][2]
    if len({(each.part, tested_images(run, each.part)) for _, run, each in found}) > 1:
        return f"{first} They were tested on different images: only the paired differences compare like with like."
    low, high = (pick(found, key=lambda item: item[2].metric("macro_f1").mean) for pick in (min, max))
    ends = [f"{decimal(each.metric('macro_f1').mean)} ({label})" for label, _, each in (low, high)]
    said = f"{first} On {count(main.n)} {part_name(main.part)} radiographs the macro F1"
    if len(found) == 1:
        return f"{said} is {ends[0]}; the others were not evaluated."
    return f"{said} goes from {' to '.join(ends)}."


def _side_by_side(labelled: Mapping[str, Run]) -> tuple[Block, ...]:
    blocks: list[Block] = []
    leaks = learned_from(labelled)
    if leaks:
        blocks.append(Text(" ".join(leaks), tone="warn"))
    parts = parts_of(list(labelled.values()))
    for part in parts:
        table = class_comparison_table(labelled, part)
        if table is None:
            continue
        blocks.append(table)
        if part != parts[0]:
            continue
        classes = class_by_class_table(labelled, part)
        if classes is not None:
            blocks.append(classes)
        blocks += _figures([_forest(labelled, part, metric) for metric in ("macro_f1", "auroc")])
    return tuple(blocks)


def _forest(labelled: Mapping[str, Run], part: str, metric: str) -> Figure | None:
    rows = [
        (label, scores.metric(metric))
        for label, run in labelled.items()
        for scores in run.scores()
        if scores.part == part and scores.source == "all"
    ]
    title = f"{capital(metric_name(metric))}, {part_name(part)}"
    return forest_figure(rows, title, f"forest_{metric}_{part}") if len(rows) <= 24 else None


def _paired(labelled: Mapping[str, Run]) -> tuple[Block, ...]:
    found = class_pairs(labelled)
    first = next(iter(labelled))
    if not found:
        return ()
    pairs = [(pair, name, one) for pair in found for name, one in pair.differences.items()]
    if not pairs:
        return (Text(f"No run can be paired with {first}: {listed(_reasons(found))}.", tone="muted"),)
    several = len({pair.part for pair in found}) > 1
    said = [
        f"{capital(metric_name(name))}, {part_name(pair.part)}: {one.sentence(first, pair.label)}"
        for pair, name, one in pairs
    ]
    blocks: list[Block] = [Points(tuple(said))] if len(said) <= 12 else []
    blocks.append(class_paired_table(found, first))
    figures = []
    for metric in dict.fromkeys(name for _, name, _ in pairs):
        rows = [
            (f"{pair.label}, {part_name(pair.part)}" if several else pair.label, one.interval)
            for pair, name, one in pairs
            if name == metric
        ]
        title = f"{capital(metric_name(metric))} minus that of {first.partition(' ')[0]}"
        figures.append(forest_figure(rows[:24], title, f"paired_{metric}", zero=True))
    return (*blocks, *_figures(figures))


def _reasons(found: Sequence[ClassPair]) -> list[str]:
    return list(dict.fromkeys(pair.why for pair in found if pair.why))


def _examples(labelled: Mapping[str, Run]) -> tuple[tuple[Block, ...], list[str]]:
    """Images before and after preprocessing, once for all runs that show the same to their nets."""
    grids: list[tuple[str, list[Block]]] = []
    notes: list[str] = []
    seen: list[tuple[object, ...]] = []
    for label, run in labelled.items():
        key = (run.trained_on(), run.classes, run.get("preprocess.steps"), run.get("augment"))
        if not run.examples or key in seen or len(seen) == GRIDS:
            continue
        seen.append(key)
        found, lacking = example_blocks(run)
        notes += [f"{label}: {note}" for note in lacking]
        if found:
            sets = listed([source_name(name) for name in run.trained_on()])
            grids.append((f"{label}{f' ({sets})' if sets else ''}:", found))
    if len(grids) == 1:
        return tuple(grids[0][1]), notes
    return tuple(block for said, found in grids for block in (Text(said), *found)), notes


def _confusion(labelled: Mapping[str, Run]) -> tuple[Block, ...]:
    """Each run's confusion matrix with its map of features beside it, a row for each run."""
    blocks: list[Block] = []
    for place, (label, run) in enumerate(list(labelled.items())[:MOST], 1):
        found: list[Figure | None] = []
        main = run.main()
        cells = confusion_of(run, main.part) if main is not None else None
        if cells is not None and cells.ndim == 2:
            found.append(confusion_figure(cells, run.classes, title=label, name=f"confusion_{place}"))
        found.append(feature_map(run, title=f"{label}: t-SNE", name=f"embedding_{place}"))
        blocks += _figures(found)
    return tuple(blocks)


def _training(labelled: Mapping[str, Run]) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for metric, said in (("macro_f1", "Macro F1 by epoch, all on one scale."), ("loss", "Loss, all on one scale.")):
        figures = multiple_figures(labelled, metric)
        if figures:
            blocks += [Text(said), Figures(figures)]
    return tuple(blocks)


def _repeated(labelled: Mapping[str, Run]) -> tuple[Block, ...]:
    groups = repeats(labelled)
    if not groups:
        return ()
    members = [f"{group.name}: {listed(group.labels)}." for group in groups]
    return (Points(tuple(members)), class_repeats_table(groups))


def _figures(found: Sequence[Figure | None]) -> tuple[Block, ...]:
    drawn = tuple(figure for figure in found if figure is not None)
    return (Figures(drawn),) if drawn else ()


def _gaps(labelled: Mapping[str, Run], more: Sequence[str]) -> tuple[Block, ...]:
    notes = (*(f"{label}: {note}" for label, run in labelled.items() for note in run.notes), *more)
    return (Points(notes),) if notes else ()
