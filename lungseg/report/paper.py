"""What a paper printed, and our figures beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from lungseg.report.blocks import Block, Cell, Column, Points, Section, Table, Text, Tone
from lungseg.report.reader import SEGMENTATION, Run, Scores
from lungseg.report.recipe import Recipe, departures
from lungseg.report.wording import (
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
    structure_name,
    to_count,
    to_float,
)
from lungseg.stats.bootstrap import Interval

ORDER = (
    "dice", "mdice", "iou", "miou", "tanimoto", "accuracy", "precision", "recall", "f1", "mse", "loss",
    "seconds", "best_epoch",
)  # fmt: skip
FOLDER = Path(__file__).parent / "papers"
PRINTED_NAMES = {"mdice": "mDice", "miou": "mIoU", "mse": "MSE", "f1": "F1", "tanimoto": "Tanimoto"}
"""Metrics that a paper has a name of its own for."""
LOWER_IS_BETTER = ("loss", "mse")
NOTHING = Interval(math.nan, math.nan, math.nan, math.nan, 0, 0)


@dataclass(frozen=True)
class Row:
    """One row of a printed table of results.

    Attributes:
        name: as `paper.row` of an experiment gives it.
        figures: printed metric -> value.
        note: what has to be known of this row, such as figures that contradict each other; may be empty.
        recipe: how it was reached.
    """

    name: str
    figures: Mapping[str, float]
    note: str
    recipe: Recipe


@dataclass(frozen=True)
class Paper:
    """The printed figures of one paper.

    Attributes:
        key: the name of its file.
        title: of the paper.
        table: which of its tables the figures come from.
        epochs: one row per printed epoch, or None when it prints none.
        rows: one per printed row of results; empty when it prints epochs only.
        recipe: what all its rows have in common.
        loss_factor: what our mean loss is multiplied by to be held against the printed one; 1 = nothing.
        running: whether its figures are compared with our running training values first.
        tested: whether its figures are of a test part.
        digits: decimals that it prints.
        notes: what a reader of the comparison has to know.
    """

    key: str
    title: str
    table: str
    epochs: pd.DataFrame | None
    rows: tuple[Row, ...]
    recipe: Recipe
    loss_factor: float
    running: bool
    tested: bool
    digits: int
    notes: tuple[str, ...]

    def row(self, name: object) -> Row:
        """The printed row of a name; a row without figures and with the common recipe when there is none.

        Example:
            >>> load_paper("dual_encoder").row("Proposed network").figures["dice"]
            0.984
        """
        nothing = Row(str(name or ""), {}, "", self.recipe)
        return next((row for row in self.rows if row.name == name), nothing)


def load_paper(key: str) -> Paper | None:
    """Read the printed figures of a paper.

    Args:
        key: e.g. `resunet`.

    Returns:
        The paper, or None when lungseg holds no figures under this key.

    Example:
        >>> load_paper("resunet").epochs["dice"].iloc[-1].item()
        0.9622
    """
    path = FOLDER / f"{key}.yaml"
    if not key.isidentifier() or not path.is_file():
        return None
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    epochs = found.get("rows")
    common = found.get("recipe", {})
    return Paper(
        key=key,
        title=found["title"],
        table=found.get("table", ""),
        epochs=pd.DataFrame(epochs, columns=found["columns"]) if epochs else None,
        rows=tuple(
            Row(row["row"], row["figures"], row.get("note", ""), _recipe(common, row.get("recipe", {})))
            for row in found.get("printed", ())
        ),
        recipe=_recipe(common, {}),
        loss_factor=float(found.get("loss_factor", 1)),
        running=found.get("compare_with") == "train",
        tested=found.get("part") == "test",
        digits=found.get("digits", 4),
        notes=tuple(found.get("notes", ())),
    )


def _recipe(common: Mapping[str, Any], own: Mapping[str, Any]) -> Recipe:
    """Lay what a row says over what the paper says of all rows."""
    stated, chosen, images = ({**common.get(key, {}), **own.get(key, {})} for key in ("stated", "chosen", "images"))
    return Recipe(stated, chosen, tuple(own.get("parameters") or common.get("parameters") or ()), images)


def paper_of(run: Run) -> Paper | None:
    """The paper whose figures belong beside this run: only where the experiment reports any."""
    return load_paper(str(run.get("paper.key", ""))) if reported(run) else None


def reported(run: Run) -> dict[str, float]:
    """The figures that the experiment says the paper printed for it, in the order of a table."""
    found = run.get("paper.reported")
    values = {str(name): to_float(value) for name, value in found.items()} if isinstance(found, Mapping) else {}
    known = sorted(values, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
    return {name: values[name] for name in known if math.isfinite(values[name])}


def compared(run: Run, name: str) -> tuple[str, ...]:
    """Our metrics for a printed one: first the nearest to it, then those that are set beside it."""
    found = run.get("paper.compare")
    ours = found.get(name) if isinstance(found, Mapping) else None
    if isinstance(ours, list):
        return tuple(str(metric) for metric in ours) or (name,)
    if not ours and name == "f1" and run.kind != SEGMENTATION:
        return ("macro_f1",)  # a classification has no F1 of its own: that of each class is averaged
    return (str(ours or name),)


def printed_name(metric: str) -> str:
    """Say a metric as the papers do.

    Example:
        >>> printed_name("mdice"), printed_name("precision")
        ('mDice', 'Precision')
    """
    return PRINTED_NAMES.get(metric) or capital(metric_name(metric))


def elsewhere(run: Run) -> list[str]:
    """The sets that a run was tested on and its net was not trained on: no paper has figures for them."""
    main = run.main()
    if main is None or run.verb == "train":
        return []
    return sorted(set(run.tested_on(main.part)) - set(run.trained_on()))


def verdict(value: float, ours: Interval, *, rounding: float = 0.0, lower: bool = False) -> tuple[str, Tone]:
    """Say where a printed figure lies relative to our interval.

    Args:
        value: as printed.
        ours: our figure.
        rounding: half a unit of the last printed decimal: what the value may lie beside the paper's own.
        lower: whether less is better.

    Example:
        >>> verdict(0.9622, Interval(0.9500, 0.01, 0.9470, 0.9530, 105, 105))
        ('outside, ours is lower', 'warn')
        >>> verdict(0.95, Interval(0.9532, 0.01, 0.9520, 0.9543, 105, 105), rounding=0.005)
        ('inside our interval, as rounded', 'good')
    """
    if not math.isfinite(ours.mean):
        return "not measured", "muted"
    if not (math.isfinite(ours.low) and math.isfinite(ours.high)):
        return "no interval", "muted"
    if ours.low <= value <= ours.high:
        return "inside our interval", "good"
    if ours.low - rounding <= value <= ours.high + rounding:
        return "inside our interval, as rounded", "good"
    higher = ours.low > value
    return f"outside, ours is {'higher' if higher else 'lower'}", "good" if higher != lower else "warn"


def paper_section(run: Run) -> Section | None:
    """Paper against ours, or a sentence when the paper has no figures for this experiment.

    Args:
        run: the run to compare; its config's `paper` says with what.

    Returns:
        The section; None when the experiment belongs to no paper.
    """
    key = run.get("paper.key")
    if not key:
        return None
    paper = load_paper(str(key))
    title = f"“{paper.title}”" if paper else f"The paper “{key}”"
    figures = reported(run)
    blocks: list[Block] = []
    if figures and elsewhere(run):
        names = listed([source_name(name) for name in elsewhere(run)])
        said = f"{title} has no figures for {names}, on which this run was tested: there is nothing to compare with."
        return Section("Paper and ours", "paper", (Text(said),))
    if not figures:
        blocks.append(
            Text(f"{title} has no figures for this experiment ({run.name}): there is nothing to compare with.")
        )
    else:
        blocks += _comparison(run, figures, title, paper)
    known = _known(run, paper) if figures and paper else ()
    if run.get("paper.note") and (not known or (paper and paper.rows)):
        blocks.append(Text(str(run.get("paper.note"))))
    found = departures(run, paper.row(run.get("paper.row")).recipe) if figures and paper else []
    if found:
        blocks.append(Points(tuple(found), title="This run is not the paper's recipe in full"))
    if known:
        blocks.append(Points(known, title="What to know about the printed figures"))
    return Section("Paper and ours", "paper", tuple(blocks))


def _known(run: Run, paper: Paper) -> tuple[str, ...]:
    """What to know about the printed figures, the row's own note first."""
    note = paper.row(run.get("paper.row")).note
    return (f"This row: {note}", *paper.notes) if note else paper.notes


def _comparison(run: Run, figures: Mapping[str, float], title: str, paper: Paper | None) -> list[Block]:
    ours = run.main()
    last: dict[Any, Any] | None = run.epochs.to_dict("records")[-1] if run.epochs is not None else None
    running = last if last is not None and (paper is None or paper.running) else None
    row = run.get("paper.row")
    blocks: list[Block] = [Text(f"{title} prints these figures{f' ({row})' if row else ''}. {_beside(ours)}")]
    if ours is None and last is None:
        blocks.append(Text("This run has no figures yet to hold against them.", tone="muted"))
    columns = [Column("Metric", numeric=False), Column("Paper")]
    if running is not None:
        columns.append(Column(f"Ours, running training (epoch {int(running['epoch'])})"))
    columns.append(Column(f"Ours, {part_name(ours.part) if ours else 'evaluated'}"))
    columns += [Column("Difference"), Column("Paper’s figure is", numeric=False)]
    rows = []
    for name, printed in figures.items():
        factor = paper.loss_factor if paper and name == "loss" else 1.0
        head = [Cell(printed_name(name), sub=_as(run, name)), Cell(decimal(printed, paper.digits if paper else 4))]
        if running is not None:
            value = factor * to_float(running.get(f"train/{name}"))
            head.append(Cell(decimal(value), sub=_times(factor)))
        found = measured(run, name)
        rows.append((*head, *held(printed, found, name, paper)))
        for metric in compared(run, name)[1:]:
            beside = ours.metric(metric) if ours is not None else NOTHING
            values = (decimal(beside.mean), span(beside.low, beside.high))
            empty = [Cell("")] * (len(head) - 1)
            said = Cell("another measure, set beside it", tone="muted")
            rows.append((Cell("", sub=capital(metric_name(metric))), *empty, Cell(*values), Cell(""), said))
    blocks.append(Table(tuple(columns), tuple(rows), note=explained(ours.part if ours else "", paper)))
    return blocks


def held(printed: float, found: Interval, name: str, paper: Paper | None) -> tuple[Cell, Cell, Cell]:
    """Our figure, its difference from the printed one, and where that lies.

    Args:
        printed: the paper's figure.
        found: ours.
        name: the paper's metric.
        paper: whose digits and loss factor count, or None.
    """
    factor = paper.loss_factor if paper and name == "loss" else 1.0
    said: tuple[str, Tone] = ("not compared: see the note on the loss", "muted")
    if name != "loss":
        rounding = 0.5 * 10.0**-paper.digits if paper else 0.0
        said = verdict(printed, found, rounding=rounding, lower=name in LOWER_IS_BETTER)
    return (
        Cell(decimal(factor * found.mean), sub=span(found.low, found.high) or _times(factor)),
        Cell(signed(factor * found.mean - printed)),
        Cell(said[0], tone=said[1]),
    )


def _as(run: Run, name: str) -> str:
    """Say by which of our metrics a printed one is measured, where their names differ."""
    ours = compared(run, name)[0]
    return "" if ours == name else f"ours: {metric_name(ours)}"


def measured(run: Run, name: str) -> Interval:
    """Our figure for a printed metric on the part that the run is judged by.

    The loss is only known from validation: it is that of the epoch whose checkpoint was tested.
    """
    ours, metric = run.main(), compared(run, name)[0]
    if ours is not None and metric in ours.metrics:
        return ours.metric(metric)
    if metric != "loss" or run.epochs is None or "val/loss" not in run.epochs:
        return NOTHING
    checkpoint = run.metrics.get("checkpoint")
    epoch = to_count(checkpoint.get("epoch")) if isinstance(checkpoint, Mapping) else None
    tested = run.epochs[run.epochs["epoch"] == epoch]
    value = float((run.epochs if tested.empty else tested)["val/loss"].iloc[-1])
    return Interval(value, math.nan, math.nan, math.nan, 0, 0)


def _times(factor: float) -> str:
    return f"mean × {factor:g}" if factor != 1 else ""


def _beside(ours: Scores | None) -> str:
    if ours is None:
        return "Ours was not evaluated."
    patients = f" of {some(ours.n_subjects, 'patient')}" if ours.n_subjects is not None else ""
    return (
        f"Ours is measured on {count(ours.n)} {part_name(ours.part)} radiographs{patients} "
        f"({structure_name(ours.structure)}): mean over images unless said otherwise, 95 % interval in brackets."
    )


def explained(part: str, paper: Paper | None) -> str:
    """Say what difference and interval mean, and that a validation figure is no test result."""
    text = (
        "Difference = ours minus paper. The interval covers the choice of patients, not that of the seed or the split."
    )
    if part == "val":
        why = "" if paper and paper.tested else "the paper has no test part, and "
        text += f" This part is validation: {why}no figure here is a test result."
    return text


def epoch_columns(frame: pd.DataFrame, prefix: str) -> Sequence[str]:
    """The metrics that epochs.csv holds under `train/` or `val/`, the usual four first."""
    names = [str(column).removeprefix(prefix) for column in frame if str(column).startswith(prefix)]
    first = [name for name in ("loss", "accuracy", "dice", "iou") if name in names]
    return [*first, *(name for name in names if name not in first)]
