"""Tables of one run beside its results: what was run, epochs, subgroups, environment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from lungseg.report.blocks import Block, Cell, Column, Facts, Table, Text
from lungseg.report.convention import convention_fact
from lungseg.report.paper import Paper, epoch_columns
from lungseg.report.reader import Run
from lungseg.report.results import interval_cell
from lungseg.report.wording import (
    DASH,
    capital,
    count,
    decimal,
    duration,
    listed,
    metric_name,
    part_name,
    some,
    source_name,
    structure_name,
    to_count,
    to_float,
)
from lungseg.stats.bootstrap import mean_interval

TOO_FEW = 30
AGE_BANDS = ((0, 18, "under 18"), (18, 40, "18 to 39"), (40, 65, "40 to 64"), (65, 150, "65 and over"))


def epochs_table(epochs: pd.DataFrame, paper: Paper | None) -> Table:
    """One row per epoch; where the paper prints the same table, its row comes first and ours beside it.

    Args:
        epochs: the run's epochs.
        paper: the paper with printed epochs, or None.

    Returns:
        Running training values first, then validation; the loss also times the paper's factor. Beside a paper only the
        metrics that it prints are shown.
    """
    printed = paper.epochs if paper is not None else None
    factor = paper.loss_factor if paper is not None else 1.0
    columns = [Column("Epoch")]
    sources: list[tuple[str, str, float]] = []
    if printed is not None:
        for name in printed.columns.drop("epoch"):
            columns.append(Column(capital(metric_name(str(name))), group="Paper"))
            sources.append(("paper", str(name), 1.0))
    for prefix, group in (("train/", "Ours, running training"), ("val/", "Ours, validation")):
        for name in epoch_columns(epochs, prefix):
            if printed is not None and name not in printed:
                continue
            if name == "loss" and factor != 1:
                columns.append(Column(f"Loss\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}{factor:g}", group=group))
                sources.append((prefix, name, factor))
            columns.append(Column(capital(metric_name(name)), group=group))
            sources.append((prefix, name, 1.0))
    for name, title in (("lr", "Learning rate"), ("seconds", "Seconds")):
        if name in epochs:
            columns.append(Column(title, group="Run"))
            sources.append(("", name, 1.0))
    ours = {int(row["epoch"]): row for row in epochs.to_dict("records")}
    theirs = {} if printed is None else {int(row["epoch"]): row for row in printed.to_dict("records")}
    rows = []
    for epoch in sorted(ours.keys() | theirs.keys()):
        cells = [Cell(str(epoch))]
        for prefix, name, times in sources:
            row: Mapping[Any, Any] = (theirs if prefix == "paper" else ours).get(epoch, {})
            value = times * to_float(row.get(name if prefix in ("paper", "") else f"{prefix}{name}"))
            cells.append(Cell(_epoch_value(name, value), tone="muted" if prefix == "paper" else ""))
        rows.append(tuple(cells))
    return Table(tuple(columns), tuple(rows), tall=len(rows) > 25)


def subgroup_table(
    samples: pd.DataFrame, part: str, structure: str, *, n_boot: int = 2000, seed: int = 0
) -> Table | None:
    """Dice by sex, age band and view, with n; groups of fewer than 30 images are named and not scored.

    Args:
        samples: per-image scores of the run.
        part: part of the split.
        structure: the structure that is scored.
        n_boot: number of resamples.
        seed: of the bootstrap.

    Returns:
        The table; None when none of the three is known for any image.
    """
    frame = samples[(samples["part"] == part) & (samples["structure"] == structure)]
    rows = []
    for title, labels, order in subgroups_of(frame):
        for label in order:
            group = frame[labels == label]
            if group.empty:
                continue
            found = mean_interval(group["dice"], group["subject_id"].to_list(), n_boot=n_boot, seed=seed)
            few = len(group) < TOO_FEW
            cell = Cell("too few", sub=f"under {TOO_FEW}", tone="muted") if few else interval_cell(found)
            rows.append((Cell(title), Cell(label), Cell(count(len(group))), cell))
        unknown = int(labels.isna().sum())
        if unknown:
            rows.append((Cell(title), Cell("not known", tone="muted"), Cell(count(unknown)), Cell(DASH, tone="muted")))
    if not rows:
        return None
    columns = (Column("By", numeric=False), Column("Group", numeric=False), Column("Images"), Column("Dice"))
    return Table(columns, tuple(rows), caption=f"{capital(structure_name(structure))}, {part_name(part)} part")


def subgroups_of(frame: pd.DataFrame) -> list[tuple[str, pd.Series[Any], list[str]]]:
    """Title, label of each image (missing = not known) and labels in order, for the groupings that are known."""
    found: list[tuple[str, pd.Series[Any], list[str]]] = []
    if "sex" in frame and frame["sex"].notna().any():
        found.append(("Sex", frame["sex"].map({"F": "female", "M": "male"}).astype(object), ["female", "male"]))
    if "age" in frame and frame["age"].notna().any():
        names = [name for _, _, name in AGE_BANDS]
        edges = [low for low, _, _ in AGE_BANDS] + [AGE_BANDS[-1][1]]
        ages = pd.to_numeric(frame["age"], errors="coerce")
        found.append(("Age", pd.cut(ages, edges, right=False, labels=names).astype(object), names))
    if "view" in frame and frame["view"].notna().any():
        views = frame["view"].astype(object)
        found.append(("View", views, sorted(str(view) for view in views.dropna().unique())))
    return found


def run_facts(run: Run) -> Facts:
    """What was run, on what, with which split, in pairs of name and value."""
    split, checkpoint = _map(run.data.get("split")), _map(run.metrics.get("checkpoint"))
    counts = {str(part): n for part, value in _map(split.get("counts")).items() if (n := to_count(value)) is not None}
    hashed = str(split.get("hash") or "")
    items = [
        ("Verb", run.verb),
        ("Net", _net(run)),
        ("Classes", listed(list(run.classes))),
        ("Structures", listed([structure_name(str(name)) for name in _list(run.data.get("structures"))])),
        ("Data", "; ".join(_source(name, _map(found)) for name, found in _map(run.data.get("sources")).items())),
        ("Split", _split(split)),
        ("Images", ", ".join(f"{n:,} {part_name(part)}" for part, n in counts.items())),
        ("Split hash", hashed[:16]),
        ("Seed", str(run.get("seed", ""))),
        ("Preprocessing", str(run.data.get("preprocess") or "")),
        ("Loss", _target(run.get("loss"))),
        ("Optimiser", _optimiser(run)),
        ("Schedule", _target(run.get("scheduler"))),
        ("Epochs", _epochs(run)),
        ("Batch", str(run.get("data.batch_size", ""))),
        ("Precision", str(run.get("trainer.precision", ""))),
        ("Checkpoint", _checkpoint(checkpoint)),
        ("Scored on", _grid(run)),
        ("Trained on", listed([source_name(name) for name in run.trained_on()]) if run.verb != "train" else ""),
        ("Convention", convention_fact(run)),
        ("Time", duration(to_float(run.status.get("seconds")))),
        ("Folder", run.folder.resolve().name),
    ]
    return Facts(tuple((name, text) for name, text in items if text and text != DASH))


def environment_blocks(run: Run) -> list[Block]:
    """Hardware, software and the command line's overrides."""
    env, hardware = run.env, _map(run.env.get("hardware"))
    memory = to_float(hardware.get("ram_gib"))
    packages = _map(env.get("packages"))
    commit = str(env.get("commit") or "")
    items = [
        ("lungseg", " ".join(filter(None, [str(env.get("lungseg") or ""), commit[:12] and f"at {commit[:12]}"]))),
        ("Source", "changed since that commit" if env.get("dirty") else ""),
        ("Python", str(env.get("python") or "")),
        ("System", str(env.get("platform") or "")),
        ("Processor", str(hardware.get("cpu") or "")),
        ("Cores", count(to_count(hardware.get("cores")))),
        ("Memory", f"{memory:.1f} GiB" if math.isfinite(memory) else ""),
        ("GPU", listed([str(name) for name in _list(hardware.get("gpu"))]) or "none"),
        ("Packages", ", ".join(f"{name} {version}" for name, version in packages.items())),
        ("Started", str(run.status.get("started") or "")),
        ("Ended", str(run.status.get("ended") or "")),
        ("Seconds", decimal(to_float(run.status.get("seconds")), 1)),
        ("Overrides", " ".join(run.overrides) or "none"),
        ("Resumed", listed([str(when) for when in _list(run.status.get("resumed"))])),
    ]
    blocks: list[Block] = [Facts(tuple((name, text) for name, text in items if text and text != DASH))]
    if not env:
        blocks.insert(0, Text("The run folder does not say where this was run.", tone="muted"))
    return blocks


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _epoch_value(name: str, value: float) -> str:
    if name == "lr":
        return f"{value:.2g}" if math.isfinite(value) else DASH
    return decimal(value, 1 if name == "seconds" else 4)


def _target(node: object) -> str:
    return str(_map(node).get("_target_", "")).rpartition(".")[2]


_INSIDE = {"TorchvisionClassifier": "model.architecture", "TimmClassifier": "model.backbone"}
"""Classes that stand for any number of networks, and the key that says which."""


def net_name(run: Run) -> str:
    """The published network that a classifier is made of, else the class of the network, else `the net`."""
    name = str(run.model.get("class") or "") or _target(run.get("model")) or "the net"
    return str(run.get(_INSIDE[name], name)) if name in _INSIDE else name


def _net(run: Run) -> str:
    size, trainable = (to_count(run.model.get(key)) for key in ("parameters", "trainable"))
    channels = to_count(run.model.get("in_channels"))
    parts = [net_name(run)]
    if size is not None:
        parts.append(f"{size:,} parameters" + (f" ({trainable:,} trained)" if trainable not in (None, size) else ""))
    if channels is not None:
        parts.append(some(channels, "input channel"))
    return ", ".join(parts)


def _source(name: str, found: Mapping[str, Any]) -> str:
    n, patients = to_count(found.get("n")), to_count(found.get("n_subjects"))
    parts = [f"{source_name(str(name))}: {count(n)} radiographs"]
    if patients is not None:
        parts.append(f"{patients:,} patients")
    for key, word in (("aside", "kept aside"), ("dropped", "dropped")):
        if to_count(found.get(key)):
            parts.append(f"{to_count(found.get(key)):,} {word}")
    return ", ".join(parts)


def _split(split: Mapping[str, Any]) -> str:
    parts = [str(split.get("strategy") or "")]
    parts += [f"by {split['by']}"] if split.get("by") else []
    parts += [f"seed {split['seed']}"] if split.get("seed") is not None else []
    return ", ".join(filter(None, parts))


def _optimiser(run: Run) -> str:
    rate = to_float(run.get("optimizer.lr"))
    return ", ".join(filter(None, [_target(run.get("optimizer")), f"lr {rate:g}" if math.isfinite(rate) else ""]))


def _epochs(run: Run) -> str:
    planned = to_count(run.get("trainer.max_epochs"))
    if run.epochs is None:
        return ""
    done = int(run.epochs["epoch"].max())
    return f"{done} of {planned}" if planned and planned != done else str(done)


def _checkpoint(found: Mapping[str, Any]) -> str:
    epoch = to_count(found.get("epoch"))
    said = str(found.get("which") or found.get("file") or "")
    return f"{said}, epoch {epoch}" if said and epoch is not None else said


def _grid(run: Run) -> str:
    grid = str(run.metrics.get("grid") or "")
    threshold = to_float(run.metrics.get("threshold"))
    said = {"published": "the masks as published", "network": "masks at network size"}.get(grid, grid)
    return said + (f", threshold {threshold:g}" if said and math.isfinite(threshold) else "")
