"""The report of one run."""

from __future__ import annotations

from lungseg.report.blocks import Block, Figure, Figures, Folded, Page, Points, Section, Text, Tile
from lungseg.report.convention import crossed, mixed
from lungseg.report.figures import curve_figures, distribution_figure
from lungseg.report.paper import paper_of, paper_section
from lungseg.report.pictures import overlay_blocks
from lungseg.report.reader import Run, Scores
from lungseg.report.results import boundary_table, pixels_table, results_table
from lungseg.report.tables import (
    environment_blocks,
    epochs_table,
    net_name,
    run_facts,
    subgroup_table,
)
from lungseg.report.wording import (
    count,
    decimal,
    duration,
    listed,
    metric_name,
    part_name,
    some,
    source_name,
    span,
    structure_name,
    to_count,
    to_float,
)

HOW_TO_READ = (
    "Dice = 2TP/(2TP+FP+FN) and IoU = TP/(TP+FP+FN), for each image and then averaged; “pooled” sums the pixels of all "
    "images first, so that large lungs weigh more.",
    "Brackets are 95 % percentile bootstrap intervals: patients are drawn with replacement, all images of a patient "
    "together.",
    "An image whose reference and prediction are both empty has no Dice: it is counted under “empty” and left out of "
    "the mean. Missed: the reference has the structure, the prediction nothing; false: the reverse. Both count as 0.",
    "Research software. Not a medical device.",
)
STATES = {
    "failed": ("This run failed{after}.", "bad"),
    "interrupted": ("This run was interrupted{after}.", "warn"),
    "diverged": ("This run diverged{after}: a value was no longer finite.", "bad"),
    "running": ("This run is still going, or was killed before it could say how it ended.", "warn"),
    "unknown": ("How this run ended is not known: its status.json cannot be read.", "warn"),
}


def single_page(run: Run, *, title: str | None = None) -> Page:
    """Put together the report of one run from whatever its folder holds.

    Args:
        run: the run as read.
        title: instead of the experiment's name.

    Returns:
        The page; sections without any content are left out.
    """
    cases, notes = overlay_blocks(run)
    sections = [
        Section("Results", "results", _results(run)),
        paper_section(run),
        Section("Cases", "cases", tuple(cases)),
        Section("What was run", "setup", (run_facts(run),)),
        Section("Training", "training", _training(run)),
        Section("Subgroups", "subgroups", _subgroups(run)),
        Section("Environment", "environment", tuple(environment_blocks(run)) + config_blocks(run)),
        Section("Gaps in the run folder", "gaps", gap_blocks([*run.notes, *notes])),
    ]
    return Page(
        eyebrow=f"lungseg {run.verb} report",
        title=title or run_title(run),
        summary=summary(run),
        banners=banners(run),
        tiles=_tiles(run),
        sections=tuple(section for section in sections if section and section.blocks),
        footer=HOW_TO_READ,
    )


def run_title(run: Run) -> str:
    """The experiment's name, and of an evaluation on what."""
    found = run.main()
    if run.verb != "evaluate" or found is None:
        return run.name
    return f"{run.name} on {listed([source_name(name) for name in run.tested_on(found.part)])}"


def summary(run: Run) -> str:
    """Say in one or two plain sentences what was done and how good it is."""
    net = net_name(run)
    trained = listed([source_name(name) for name in run.trained_on()]) or "an unknown set"
    if run.verb == "train":
        done = f" for {some(int(run.epochs['epoch'].max()), 'epoch')}" if run.epochs is not None else ""
        counts = run.data.get("split", {}).get("counts", {}) if isinstance(run.data.get("split"), dict) else {}
        n = to_count(counts.get("train")) if isinstance(counts, dict) else None
        images = f" ({n:,} training radiographs)" if n is not None else ""
        first = f"{net} was trained{done} on {trained}{images}."
    elif run.verb == "predict":
        return f"{net} drew masks; a predict run has no reference masks to be scored against."
    else:
        first = f"{net}, trained on {trained}, was evaluated."
    found = run.main()
    if found is None:
        return f"{first} It has not been evaluated."
    same = {scores.structure: scores for scores in run.scores() if (scores.part, scores.source) == (found.part, "all")}
    what = f"the {structure_name(found.structure)}"
    if "mean" in same:
        found, what = same["mean"], f"{len(same) - 1} structures"
    dice = found.metric("dice")
    patients = f" of {some(found.n_subjects, 'patient')}" if found.n_subjects is not None else ""
    sure = f" (95 % interval {decimal(dice.low)} to {decimal(dice.high)})" if span(dice.low, dice.high) else ""
    tested = run.tested_on(found.part)
    sets = f" ({listed([source_name(name) for name in tested])})" if tested and tested != run.trained_on() else ""
    return (
        f"{first} On {count(found.n)} {part_name(found.part)} radiographs{patients}{sets} it outlines {what} "
        f"with a mean Dice of {decimal(dice.mean)}{sure}."
    )


def banners(run: Run) -> tuple[Text, ...]:
    """Say how a run ended that did not end well, and that a net was trained on labels that contradict each other."""
    said = mixed(run)
    return (*_ending(run), *([Text(said, tone="warn")] if said else []))


def _ending(run: Run) -> tuple[Text, ...]:
    if run.state == "done":
        return ()
    said, tone = STATES.get(run.state, (f"This run is {run.state}.", "warn"))
    seconds = to_float(run.status.get("seconds"))
    error = " ".join(str(run.status.get("error") or "").split())
    code = to_count(run.status.get("exit_code"))
    parts = [said.format(after=f" after {duration(seconds)}" if seconds > 0 else "")]
    parts += [error if error.endswith((".", "!", "?")) else f"{error}."] if error else []
    parts += [f"Exit code {code}."] if code else []
    parts += ["Below is what it left."]
    return (Text(" ".join(parts), tone="bad" if tone == "bad" else "warn"),)


def _tiles(run: Run) -> tuple[Tile, ...]:
    found = run.main()
    if found is None:
        return ()
    same = [scores for scores in run.scores() if scores.part == found.part and scores.source == "all"]
    part = part_name(found.part)
    if len(same) > 1:
        return tuple(_tile(scores, "dice", f"Dice, {structure_name(scores.structure)}") for scores in same[:6])
    tiles = [_tile(found, name, metric_name(name)) for name in ("dice", "iou", "accuracy") if name in found.metrics]
    missed = found.n_missed or 0
    tiles.append(Tile("missed", count(found.n_missed), f"of {count(found.n)} {part} images", "warn" if missed else ""))
    return tuple(tiles)


def _tile(scores: Scores, name: str, label: str) -> Tile:
    found = scores.metric(name)
    return Tile(f"{label} · {part_name(scores.part)}", decimal(found.mean), span(found.low, found.high))


def _results(run: Run) -> tuple[Block, ...]:
    if not run.scores():
        if run.verb == "predict":
            return ()
        return (Text("There are no results: the run folder has no metrics that can be read.", tone="muted"),)
    blocks: list[Block] = []
    parts = list(dict.fromkeys(found.part for found in run.scores()))
    if "test" not in parts and "val" in parts:
        blocks.append(Text("These are validation figures: this run has no test part.", tone="warn"))
    if said := crossed(run):
        blocks.append(Text(said, tone="warn"))
    tables = [made(run, part) for part in parts for made in (results_table, pixels_table, boundary_table)]
    blocks += [table for table in tables if table is not None]
    figures = _distributions(run, parts)
    if figures:
        blocks.append(Figures(tuple(figures)))
    return tuple(blocks)


def _distributions(run: Run, parts: list[str]) -> list[Figure]:
    if run.samples is None:
        return []
    structures = list(dict.fromkeys(run.samples["structure"]))
    drawn = [distribution_figure(run.samples, part, name, **boot_of(run)) for part in parts for name in structures]
    return [figure for figure in drawn if figure is not None]


def boot_of(run: Run) -> dict[str, int]:
    """The bootstrap as the run's own metrics were made, so that figures and tables agree."""
    n_boot, seed = to_count(run.metrics.get("n_boot")), to_count(run.metrics.get("bootstrap_seed"))
    return {"n_boot": n_boot if n_boot and n_boot > 0 else 2000, "seed": max(seed or 0, 0)}


def _training(run: Run) -> tuple[Block, ...]:
    if run.epochs is None:
        return ()
    paper = paper_of(run)
    blocks: list[Block] = []
    figures = curve_figures(run.epochs, paper)
    if figures:
        blocks.append(Figures(tuple(figures)))
    if paper is not None and paper.epochs is not None:
        said = "Running training values are taken while the net still learns; validation follows at the epoch’s end."
        blocks.append(Text(f"The first columns are “{paper.title}”, {paper.table}. {said}"))
    blocks.append(epochs_table(run.epochs, paper))
    return tuple(blocks)


def _subgroups(run: Run) -> tuple[Block, ...]:
    found = run.main()
    if run.samples is None or found is None:
        return ()
    structures = [s.structure for s in run.scores() if s.part == found.part and s.source == "all"]
    tables = [subgroup_table(run.samples, found.part, name, **boot_of(run)) for name in structures]
    blocks: list[Block] = [table for table in tables if table is not None]
    if blocks:
        blocks.insert(0, Text("Dice by what is known of the patients. Groups are small: read the intervals."))
    return tuple(blocks)


def config_blocks(run: Run) -> tuple[Block, ...]:
    """The whole configuration behind a line that opens it; nothing where it cannot be read."""
    path = run.folder / "config.yaml"
    if not run.config:
        return ()
    return (Folded("The whole configuration (config.yaml)", path.read_text(encoding="utf-8").strip()),)


def gap_blocks(notes: list[str]) -> tuple[Block, ...]:
    """What is missing or damaged, one point each."""
    return (Points(tuple(notes)),) if notes else ()
