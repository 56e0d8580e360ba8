"""Tables over several runs: side by side, paired against the first, repeated runs together."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lungseg.errors import DataError
from lungseg.report.blocks import Cell, Column, Table
from lungseg.report.reader import PART_ORDER, Run, Scores
from lungseg.report.tables import interval_cell, net_name, part_caption
from lungseg.report.training import seconds_per_epoch
from lungseg.report.wording import (
    capital,
    count,
    decimal,
    duration,
    listed,
    metric_name,
    part_name,
    signed,
    some,
    source_name,
    span,
    structure_name,
    to_count,
    to_float,
)
from lungseg.stats.bootstrap import Interval, mean_interval
from lungseg.stats.paired import Difference, paired_difference

# Keys that say where a run lies or how it is logged, not what it is.
_PLACES = ("paths", "logger", "run_dir", "resume", "hydra", "name", "checkpoint")
COMPARED = ("dice", "dice_pooled", "iou", "accuracy", "precision", "recall", "hd95_mm", "nsd")
_NAMED_APART = ("split.fold", "seed")


@dataclass(frozen=True)
class Pair:
    """The difference of one run against the first, on one structure of one part."""

    label: str
    part: str
    structure: str
    difference: Difference | None


@dataclass(frozen=True)
class Repeats:
    """Runs that differ only in their seed or in the fold of their split."""

    name: str
    varied: tuple[str, ...]
    runs: tuple[Run, ...]
    labels: tuple[str, ...]


def label_runs(runs: Sequence[Run]) -> dict[str, Run]:
    """Give each run a letter and its name, and where runs of one name differ in their seed, fold or overrides, these.

    Example:
        >>> from pathlib import Path
        >>> list(label_runs([Run(Path("x"), config={"name": "base"}), Run(Path("y"), config={"name": "base"})]))
        ['A base', 'B base']
    """
    found = {}
    for place, run in enumerate(runs):
        same = [other for other in runs if other.name == run.name]
        more = [
            f", {key.rpartition('.')[2]} {run.get(key)}"
            for key in _NAMED_APART
            if run.get(key) is not None and len({other.get(key) for other in same}) > 1
        ]
        more += [f", {swept}" for swept in _swept(run, same)]
        # where a sweep varies one experiment, its name would be the same in every label
        name = run.name if len(same) < len(runs) or not _swept(run, same) else ""
        found[f"{_letters(place)} " + f"{name}{''.join(more)}".removeprefix(", ")] = run
    return found


def _swept(run: Run, same: Sequence[Run]) -> list[str]:
    """What a sweep varied among runs of one name, as its overrides say it, without seed and fold."""
    lines = [line.lstrip("+") for line in run.overrides]
    others = [{line.lstrip("+") for line in other.overrides} for other in same]
    apart = [line.partition("=") for line in lines if not all(line in given for given in others)]
    return [
        f"{key.rpartition('.')[2]} {value}"
        for key, _, value in apart
        if key not in _NAMED_APART and key.partition(".")[0] not in _PLACES
    ]


def _letters(place: int) -> str:
    return (_letters(place // 26 - 1) if place >= 26 else "") + chr(ord("A") + place % 26)


def flat_config(run: Run) -> dict[str, str]:
    """The config as dotted keys and JSON values, without the keys that only say where things lie."""
    found: dict[str, str] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping) and value:
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), inner)
        elif prefix and prefix.split(".")[0] not in _PLACES:
            found[prefix] = json.dumps(value, default=str)

    walk("", run.config)
    return found


def config_difference(run: Run, first: Run) -> list[str]:
    """What a run sets otherwise than the first, as overrides would say it."""
    mine, base = flat_config(run), flat_config(first)
    keys = sorted(key for key in mine.keys() | base.keys() if mine.get(key) != base.get(key))
    return [f"{key}={mine.get(key, '(not set)').strip(chr(34))}" for key in keys]


def runs_table(labelled: Mapping[str, Run]) -> Table:
    """What each run is, and in what it differs from the first."""
    first = next(iter(labelled.values()))
    columns = (
        Column("Run", numeric=False),
        Column("State", numeric=False),
        Column("Net", numeric=False),
        Column("Trained on", numeric=False),
        Column("Seed"),
        Column("Epochs"),
        Column("Time"),
        Column("Differs from the first by", numeric=False),
        Column("Folder", numeric=False),
    )
    rows = []
    for label, run in labelled.items():
        differs = config_difference(run, first)
        more = f" and {len(differs) - 4} more" if len(differs) > 4 else ""
        size = to_count(run.model.get("parameters"))
        rows.append(
            (
                Cell(label),
                Cell(f"{run.verb}, {run.state}", tone="" if run.state == "done" else "warn"),
                Cell(net_name(run), sub=f"{size:,} parameters" if size is not None else ""),
                Cell(listed([source_name(name) for name in run.trained_on()]) or "–"),
                Cell(str(run.get("seed", "–"))),
                Cell(count(int(run.epochs["epoch"].max()) if run.epochs is not None else None)),
                Cell(duration(to_float(run.status.get("seconds")))),
                Cell((", ".join(differs[:4]) + more) or "–"),
                Cell(run.folder.resolve().name),
            )
        )
    return Table(columns, tuple(rows), sortable=True)


def comparison_table(labelled: Mapping[str, Run], part: str) -> Table | None:
    """All runs on one part of the split, over all their sources."""
    found = [
        (label, run, scores)
        for label, run in labelled.items()
        for scores in run.scores()
        if scores.part == part and scores.source == "all"
    ]
    if not found:
        return None
    structures = {scores.structure for _, _, scores in found}
    shown = [name for name in COMPARED if any(name in scores.metrics for _, _, scores in found)]
    columns = (
        Column("Run", numeric=False),
        Column("Tested on", numeric=False),
        *([Column("Structure", numeric=False)] if len(structures) > 1 else []),
        Column("Images"),
        *(Column(capital(metric_name(name))) for name in shown),
        Column("sd of Dice"),
        Column("Empty"),
        Column("Missed"),
    )
    rows = tuple(
        (
            Cell(label),
            Cell(listed([source_name(name) for name in run.tested_on(part)])),
            *([Cell(structure_name(scores.structure))] if len(structures) > 1 else []),
            Cell(count(scores.n), sub="" if scores.n_subjects is None else some(scores.n_subjects, "patient")),
            *(interval_cell(scores.metric(name), digits=2 if name.endswith("_mm") else 4) for name in shown),
            Cell(decimal(scores.metric("dice").sd)),
            Cell(count(scores.n_empty)),
            Cell(count(scores.n_missed), tone="warn" if scores.n_missed else ""),
        )
        for label, run, scores in found
    )
    return Table(columns, rows, caption=part_caption(part, structures), sortable=True)


def cost_table(labelled: Mapping[str, Run], metric: str = "dice") -> Table | None:
    """What each network costs beside what it reaches: parameters, multiply-accumulates, seconds.

    Args:
        labelled: runs by their label.
        metric: what it reaches.

    Returns:
        The table; None when of no training run the multiply-accumulates or the seconds are known.
    """
    found = {label: run for label, run in labelled.items() if run.verb == "train"}
    if not any(to_count(run.model.get("macs")) or seconds_per_epoch(run) for run in found.values()):
        return None
    columns = (
        Column("Run", numeric=False),
        Column(capital(metric_name(metric))),
        Column("Parameters"),
        Column("GMAC"),
        Column("Seconds per epoch"),
        Column("Device", numeric=False),
    )
    rows = tuple(
        (
            Cell(label, sub=net_name(run)),
            _main_cell(run, metric),
            Cell(count(to_count(run.model.get("parameters")))),
            Cell(decimal(to_float(run.model.get("macs")) / 1e9, 2), sub=_sides(run.model.get("input_size"))),
            Cell(decimal(seconds_per_epoch(run) or math.nan, 1), sub=_batches(run)),
            Cell(_device(run)),
        )
        for label, run in found.items()
    )
    note = (
        "GMAC = 10⁹ multiply-accumulates of one forward pass of one image at the input size. Seconds per epoch: the "
        "median over the run’s epochs, training and validation; comparable on one device at one batch size only."
    )
    return Table(columns, rows, note=note, sortable=True)


def _main_cell(run: Run, metric: str) -> Cell:
    main = run.main()
    if main is None:
        return Cell("–", tone="muted")
    return interval_cell(main.metric(metric))


def _batches(run: Run) -> str:
    size = to_count(run.get("data.batch_size"))
    return "" if size is None else f"batches of {size}"


def _sides(size: object) -> str:
    if not isinstance(size, list) or not size:
        return ""
    return "at " + " x ".join(count(to_count(side)) for side in size)


def _device(run: Run) -> str:
    hardware = run.env.get("hardware")
    known = hardware if isinstance(hardware, Mapping) else {}
    gpus = known.get("gpu")
    on_cpu = run.get("trainer.accelerator") == "cpu"
    names = list(dict.fromkeys(str(name) for name in gpus)) if isinstance(gpus, list) and not on_cpu else []
    return listed(names) or str(known.get("cpu") or "–")


def parts_of(runs: Sequence[Run]) -> list[str]:
    """Parts that any run was scored on, test first."""
    found = {scores.part for run in runs for scores in run.scores()}
    return [part for part in PART_ORDER if part in found] + sorted(found - set(PART_ORDER))


def pairs(labelled: Mapping[str, Run]) -> list[Pair]:
    """Each run against the first, on every part and structure that both were scored on image by image."""
    (_, first), *others = labelled.items()
    if first.samples is None:
        return []
    found = []
    for label, run in others:
        if run.samples is None:
            continue
        for part in parts_of([first, run]):
            for structure in dict.fromkeys(first.samples["structure"]):
                a, b = (_values(frame, part, structure) for frame in (first.samples, run.samples))
                if a.empty or b.empty:
                    continue
                found.append(Pair(label, part, structure, _difference(a, b)))
    return found


def paired_table(found: Sequence[Pair], first: str) -> Table:
    """The paired differences of Dice against the first run."""
    columns = (
        Column("Run", numeric=False),
        Column("Part", numeric=False),
        Column("Structure", numeric=False),
        Column("Its Dice"),
        Column(f"Dice of {first}"),
        Column("Difference"),
        Column("Common images"),
        Column("Not common"),
    )
    rows: list[tuple[Cell, ...]] = []
    for pair in found:
        head = (Cell(pair.label), Cell(part_name(pair.part)), Cell(structure_name(pair.structure)))
        difference = pair.difference
        if difference is None:
            rows.append((*head, Cell("no common image", tone="muted", colspan=5)))
            continue
        inner = difference.interval
        rows.append(
            (
                *head,
                Cell(decimal(difference.mean_b)),
                Cell(decimal(difference.mean_a)),
                Cell(signed(inner.mean), sub=span(inner.low, inner.high, plus=True)),
                Cell(count(inner.n), sub=some(inner.n_subjects, "patient")),
                Cell(count(difference.only_a + difference.only_b)),
            )
        )
    return Table(columns, tuple(rows), note="Difference = the run minus the first, image by image.")


def learned_from(labelled: Mapping[str, Run]) -> list[str]:
    """Warn where a run was trained on images that another is tested on: such a comparison is not fair."""
    notes = []
    for label, run in labelled.items():
        if run.split is None:
            continue
        learned = set(run.split.loc[run.split["part"] == "train", "sample_id"])
        for other, tested in labelled.items():
            if other == label or tested.samples is None:
                continue
            shared = learned & set(tested.samples.loc[tested.samples["part"] == "test", "sample_id"])
            if shared:
                notes.append(f"{label} was trained on {some(len(shared), 'image')} that {other} is tested on.")
    return notes


def repeats(labelled: Mapping[str, Run]) -> list[Repeats]:
    """Groups of two or more training runs whose configs differ only in the seed or the fold."""

    def repeated(key: str) -> bool:
        return key == "split.fold" or key.rpartition(".")[2] == "seed"

    groups: dict[str, list[tuple[str, Run]]] = {}
    for label, run in labelled.items():
        if run.verb == "train" and run.config:
            same = {key: value for key, value in flat_config(run).items() if not repeated(key)}
            groups.setdefault(json.dumps([run.name, sorted(same.items())]), []).append((label, run))
    found = []
    for members in groups.values():
        configs = [flat_config(run) for _, run in members]
        keys = sorted({key for config in configs for key in config if repeated(key)})
        varied = tuple(key for key in keys if len({config.get(key) for config in configs}) > 1)
        if len(members) > 1 and varied:
            labels, runs = zip(*members, strict=True)
            found.append(Repeats(members[0][1].name, varied, runs, labels))
    return found


def repeats_table(groups: Sequence[Repeats], *, n_boot: int = 2000, seed: int = 0) -> Table:
    """Mean and sd over repeated runs, and all folds' images taken together."""
    columns = (
        Column("Experiment", numeric=False),
        Column("Part", numeric=False),
        Column("Structure", numeric=False),
        Column("Runs"),
        *(Column(capital(metric_name(name)), group="Mean and sd over runs") for name in COMPARED[:4]),
        Column("Dice", group="All folds’ images together"),
        Column("Images", group="All folds’ images together"),
    )
    rows = []
    for group in groups:
        for part in parts_of(group.runs):
            mains = [[s for s in run.scores() if s.part == part and s.source == "all"] for run in group.runs]
            for structure in dict.fromkeys(scores.structure for found in mains for scores in found):
                scores = [s for found in mains for s in found if s.structure == structure]
                together = together_interval(group.runs, part, structure, n_boot=n_boot, seed=seed)
                rows.append(
                    (
                        Cell(group.name, sub=f"differs in {listed(group.varied)}"),
                        Cell(part_name(part)),
                        Cell(structure_name(structure)),
                        Cell(count(len(scores))),
                        *(_over_runs(scores, name) for name in COMPARED[:4]),
                        *(
                            (interval_cell(together), Cell(count(together.n), sub=some(together.n_subjects, "patient")))
                            if together
                            else (Cell("–", sub="same images", tone="muted"), Cell("–", tone="muted"))
                        ),
                    )
                )
    note = "sd = spread of the runs’ means (n − 1). Images are put together only where each image belongs to one run."
    return Table(columns, tuple(rows), note=note)


def _over_runs(scores: Sequence[Scores], name: str) -> Cell:
    means = [mean for s in scores if (mean := s.metric(name).mean) == mean]
    if not means:
        return Cell("–", tone="muted")
    sd = f"± {statistics.stdev(means):.4f}" if len(means) > 1 else ""
    return Cell(decimal(statistics.fmean(means)), sub=sd)


def together_interval(
    runs: Sequence[Run], part: str, structure: str, *, n_boot: int = 2000, seed: int = 0
) -> Interval | None:
    """Mean Dice over the images of all runs together; None where an image belongs to more than one run."""
    frames = [_values(run.samples, part, structure) for run in runs if run.samples is not None]
    if len(frames) < 2:
        return None
    joined = pd.concat(frames)
    if joined.empty or joined["sample_id"].duplicated().any():
        return None
    return mean_interval(joined["dice"], joined["subject_id"].to_list(), n_boot=n_boot, seed=seed)


def _values(frame: pd.DataFrame, part: str, structure: str) -> pd.DataFrame:
    return frame[(frame["part"] == part) & (frame["structure"] == structure)]


def _difference(a: pd.DataFrame, b: pd.DataFrame) -> Difference | None:
    try:
        return paired_difference(
            a["sample_id"].to_list(), a["dice"], b["sample_id"].to_list(), b["dice"], a["subject_id"].to_list()
        )
    except DataError:  # no sample in common, or one twice: there is nothing to pair
        return None


def tested_images(run: Run, part: str) -> frozenset[str]:
    """The images that a run was scored on in a part; its sources where it has no per-image scores."""
    if run.samples is None:
        return frozenset(run.tested_on(part))
    return frozenset(run.samples.loc[run.samples["part"] == part, "sample_id"])
