"""The report of one classification run."""

from __future__ import annotations

import pandas as pd

from lungseg.report.blocks import Block, Figure, Figures, Page, Section, Text, Tile
from lungseg.report.class_figures import confusion_figure, precision_recall_figure, reliability_figure, roc_figure
from lungseg.report.class_paper import class_paper_blocks
from lungseg.report.class_pictures import example_blocks, worst_pictures
from lungseg.report.class_scores import confusion_of
from lungseg.report.class_tables import (
    class_results_table,
    class_samples,
    class_subgroups_table,
    classes_table,
    label_counts_table,
    worst_table,
)
from lungseg.report.embedding import embedding_figure, embedding_table
from lungseg.report.figures import curve_figures
from lungseg.report.reader import Run
from lungseg.report.shortcut import MODES, lungs_mode
from lungseg.report.single import banners, boot_of, config_blocks, gap_blocks, run_title
from lungseg.report.tables import environment_blocks, epochs_table, net_name, run_facts
from lungseg.report.wording import (
    count,
    decimal,
    listed,
    metric_name,
    part_name,
    some,
    source_name,
    span,
    to_count,
)

CURVES = (("loss", "Loss"), ("macro_f1", "Macro F1"))
TILES = ("macro_f1", "auroc", "accuracy", "ece")
HOW_TO_READ = (
    "F1 = 2TP/(2TP+FP+FN) of each class against the rest; macro F1 is the mean over classes, so that a rare class "
    "weighs as much as a common one. Balanced accuracy is the mean recall; kappa leaves out agreement by chance.",
    "AUROC is the chance that an image of the class is ranked before another (0.5 = none), average precision the area "
    "below the steps of the precision-recall curve; each class against the rest, then the mean over classes.",
    "ECE: mean difference of probability and share that was right, in 15 bins of equal width. Brier score: squared "
    "error of the probabilities (summed over the classes of a multiclass). Both are 0 for a perfect net.",
    "Brackets are 95 % percentile bootstrap intervals: patients are drawn with replacement, all images of a patient "
    "together. An unknown label is left out of its label; a label of which all images are of one kind is left out of "
    "the means and counted.",
    "Research software. Not a medical device.",
)


def class_page(run: Run, *, title: str | None = None) -> Page:
    """Put together the report of one classification run from whatever its folder holds.

    Args:
        run: the run as read.
        title: instead of the experiment's name.

    Returns:
        The page; sections without any content are left out.
    """
    worst, worst_notes = _worst(run)
    examples, example_notes = example_blocks(run)
    sections = [
        Section("Results", "results", _results(run)),
        Section("Paper and ours", "paper", class_paper_blocks({run.name: run})),
        Section("Highest losses", "worst", tuple(worst)),
        Section("Preprocessing", "images", tuple(examples)),
        Section("What was run", "setup", (run_facts(run),)),
        Section("Training", "training", _training(run)),
        Section("Subgroups", "subgroups", _subgroups(run)),
        Section("Environment", "environment", tuple(environment_blocks(run)) + config_blocks(run)),
        Section("Gaps in the run folder", "gaps", gap_blocks([*run.notes, *worst_notes, *example_notes])),
    ]
    return Page(
        eyebrow=f"lungseg {run.verb} report",
        title=title or run_title(run),
        summary=class_summary(run),
        banners=banners(run),
        tiles=_tiles(run),
        sections=tuple(section for section in sections if section.blocks),
        footer=HOW_TO_READ,
    )


def class_summary(run: Run) -> str:
    """Say in one or two plain sentences what was done and how good it is."""
    net = net_name(run)
    trained = listed([source_name(name) for name in run.trained_on()]) or "an unknown set"
    if run.verb == "train":
        done = f" for {some(int(run.epochs['epoch'].max()), 'epoch')}" if run.epochs is not None else ""
        split = run.data.get("split")
        counts = split.get("counts") if isinstance(split, dict) else None
        n = to_count(counts.get("train")) if isinstance(counts, dict) else None
        images = f" ({n:,} training radiographs)" if n is not None else ""
        first = f"{net} was trained{done} on {trained}{images}."
    elif run.verb == "predict":
        return f"{net} predicted {listed(list(run.classes)) or 'classes'}; a predict run is not scored."
    else:
        first = f"{net}, trained on {trained}, was evaluated."
    mode = lungs_mode(run)
    first += f" It sees {MODES[mode]}." if mode != "full" else ""
    found = run.main()
    if found is None:
        return f"{first} It has not been evaluated."
    f1, auroc = found.metric("macro_f1"), found.metric("auroc")
    patients = f" of {some(found.n_subjects, 'patient')}" if found.n_subjects is not None else ""
    sure = f" (95 % interval {decimal(f1.low)} to {decimal(f1.high)})" if span(f1.low, f1.high) else ""
    tested = run.tested_on(found.part)
    sets = f" ({listed([source_name(name) for name in tested])})" if tested and tested != run.trained_on() else ""
    what = "tells apart" if run.kind == "multiclass" else "finds"
    return (
        f"{first} On {count(found.n)} {part_name(found.part)} radiographs{patients}{sets} it {what} "
        f"{listed(list(run.classes)) or 'the classes'} with a macro F1 of {decimal(f1.mean)}{sure} and a mean AUROC of "
        f"{decimal(auroc.mean)}."
    )


def feature_map(run: Run, *, title: str = "t-SNE of the features", name: str = "embedding") -> Figure | None:
    """The map of the features where the run folder holds one: of the test part, else of all its images."""
    return (
        None if run.embedding is None else embedding_figure(_mapped(run.embedding), run.classes, title=title, name=name)
    )


def _mapped(embedding: pd.DataFrame) -> pd.DataFrame:
    of_test = embedding["part"] == "test"
    return embedding[of_test] if of_test.any() else embedding


def evaluation_figures(run: Run, part: str) -> list[Figure]:
    """Confusion matrix, map of the features and curves of one part, as far as the run folder holds what they need."""
    cells, samples = confusion_of(run, part), class_samples(run, part)
    figures = []
    if cells is not None and cells.ndim == 2:
        figures.append(confusion_figure(cells, run.classes, name=f"confusion_{part}"))
    figures.append(feature_map(run))
    if samples is not None:
        figures += [
            roc_figure(samples, run.classes, part),
            precision_recall_figure(samples, run.classes, part),
            reliability_figure(samples, run.kind, run.classes, part),
        ]
    return [figure for figure in figures if figure is not None]


def _tiles(run: Run) -> tuple[Tile, ...]:
    found = run.main()
    if found is None:
        return ()
    return tuple(
        Tile(f"{metric_name(name)} · {part_name(found.part)}", decimal(value.mean), span(value.low, value.high))
        for name in TILES
        if name in found.metrics
        for value in (found.metric(name),)
    )


def _results(run: Run) -> tuple[Block, ...]:
    if not run.scores():
        if run.verb == "predict":
            return ()
        drawn = feature_map(run)
        said = Text("There are no results: the run folder has no metrics that can be read.", tone="muted")
        return (said, *([Figures((drawn,))] if drawn is not None else []))
    parts = list(dict.fromkeys(found.part for found in run.scores()))
    blocks: list[Block] = []
    if "test" not in parts and "val" in parts:
        blocks.append(Text("These are validation figures: this run has no test part.", tone="warn"))
    for part in parts:
        tables = (made(run, part) for made in (class_results_table, classes_table, label_counts_table))
        blocks += [table for table in tables if table is not None]
        figures = evaluation_figures(run, part) if part == parts[0] else []
        if figures:
            blocks.append(Figures(tuple(figures)))
    neighbours = None if run.embedding is None else embedding_table(_mapped(run.embedding), run.classes)
    return (*blocks, *([neighbours] if neighbours is not None else []))


def _worst(run: Run) -> tuple[list[Block], list[str]]:
    found = run.main()
    if found is None:
        return [], []
    blocks, notes = worst_pictures(run, found.part)
    # the pictures say what the table says
    table = None if blocks else worst_table(run, found.part)
    return [*blocks, *([table] if table is not None else [])], notes


def _training(run: Run) -> tuple[Block, ...]:
    if run.epochs is None:
        return ()
    figures = curve_figures(run.epochs, None, CURVES)
    # the F1 of each class, `val/f1/<class>`, would make the table wider than any page
    columns = [column for column in run.epochs if str(column).count("/") < 2]
    blocks: tuple[Block, ...] = (Figures(tuple(figures)),) if figures else ()
    return (*blocks, epochs_table(run.epochs[columns], None))


def _subgroups(run: Run) -> tuple[Block, ...]:
    found = run.main()
    table = class_subgroups_table(run, found.part, **boot_of(run)) if found is not None else None
    if table is None:
        return ()
    said = "By what is known of the patients. Groups are small: read the intervals."
    return (Text(said), table)
