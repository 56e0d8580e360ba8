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
from lungseg.report.reader import Run, Scores
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

ORDER = ("dice", "iou", "accuracy", "precision", "recall", "loss")
FOLDER = Path(__file__).parent / "papers"


@dataclass(frozen=True)
class Paper:
    """The printed figures of one paper.

    Attributes:
        key: the name of its file.
        title: of the paper.
        table: which of its tables the epochs come from.
        epochs: one row per printed epoch, or None when it prints none.
        loss_factor: what our mean loss is multiplied by to be held against the printed one; 1 = nothing.
        n_epochs: epochs that it trained for, or None.
        parameters: sizes that its net can have, empty when unknown.
        notes: what a reader of the comparison has to know.
    """

    key: str
    title: str
    table: str
    epochs: pd.DataFrame | None
    loss_factor: float
    n_epochs: int | None
    parameters: tuple[int, ...]
    notes: tuple[str, ...]


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
    rows = found.get("rows")
    return Paper(
        key=key,
        title=found["title"],
        table=found.get("table", ""),
        epochs=pd.DataFrame(rows, columns=found["columns"]) if rows else None,
        loss_factor=float(found.get("loss_factor", 1)),
        n_epochs=found.get("epochs"),
        parameters=tuple(found.get("parameters", ())),
        notes=tuple(found.get("notes", ())),
    )


def paper_of(run: Run) -> Paper | None:
    """The paper whose figures belong beside this run: only where the experiment reports any."""
    return load_paper(str(run.get("paper.key", ""))) if reported(run) else None


def reported(run: Run) -> dict[str, float]:
    """The figures that the experiment says the paper printed for it."""
    found = run.get("paper.reported")
    values = {str(name): to_float(value) for name, value in found.items()} if isinstance(found, Mapping) else {}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def verdict(value: float, ours: Interval) -> tuple[str, Tone]:
    """Say where a printed figure lies relative to our interval.

    Example:
        >>> verdict(0.9622, Interval(0.9500, 0.01, 0.9470, 0.9530, 105, 105))
        ('outside, ours is lower', 'warn')
    """
    if not math.isfinite(ours.mean):
        return "not measured", "muted"
    if not (math.isfinite(ours.low) and math.isfinite(ours.high)):
        return "no interval", "muted"
    if ours.low <= value <= ours.high:
        return "inside our interval", "good"
    return ("outside, ours is higher", "good") if ours.low > value else ("outside, ours is lower", "warn")


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
    main = run.main()
    elsewhere = set(run.tested_on(main.part)) - set(run.trained_on()) if main and run.verb != "train" else set()
    if figures and elsewhere:
        names = listed([source_name(name) for name in sorted(elsewhere)])
        said = f"{title} has no figures for {names}, on which this run was tested: there is nothing to compare with."
        return Section("Paper and ours", "paper", (Text(said),))
    if not figures:
        blocks.append(
            Text(f"{title} has no figures for this experiment ({run.name}): there is nothing to compare with.")
        )
    else:
        blocks += _comparison(run, figures, title, paper)
    known = paper.notes if figures and paper else ()
    if run.get("paper.note") and not known:
        blocks.append(Text(str(run.get("paper.note"))))
    departures = _departures(run, paper) if figures and paper else []
    if departures:
        blocks.append(Points(tuple(departures), title="This run is not the paper's recipe in full"))
    if known:
        blocks.append(Points(known, title="What to know about the printed figures"))
    return Section("Paper and ours", "paper", tuple(blocks))


def _comparison(run: Run, figures: Mapping[str, float], title: str, paper: Paper | None) -> list[Block]:
    ours = run.main()
    last: dict[Any, Any] | None = run.epochs.to_dict("records")[-1] if run.epochs is not None else None
    row = run.get("paper.row")
    blocks: list[Block] = [Text(f"{title} prints these figures{f' ({row})' if row else ''}. {_beside(ours)}")]
    if ours is None and last is None:
        blocks.append(Text("This run has no figures yet to hold against them.", tone="muted"))
    columns = [Column("Metric", numeric=False), Column("Paper")]
    if last is not None:
        columns.append(Column(f"Ours, running training (epoch {int(last['epoch'])})"))
    columns.append(Column(f"Ours, {part_name(ours.part) if ours else 'evaluated'}"))
    columns += [Column("Difference"), Column("Paper’s figure is", numeric=False)]
    rows = []
    for name in sorted(figures, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER)):
        printed = figures[name]
        cells = [Cell(capital(metric_name(name))), Cell(decimal(printed))]
        factor = paper.loss_factor if paper and name == "loss" else 1.0
        if last is not None:
            cells.append(Cell(decimal(factor * to_float(last.get(f"train/{name}"))), sub=_times(factor)))
        found = _measured(ours, last, name)
        said, tone = verdict(printed, found) if name != "loss" else ("not compared: see the note on the loss", "muted")
        cells += [
            Cell(decimal(factor * found.mean), sub=span(found.low, found.high) or _times(factor)),
            Cell(signed(factor * found.mean - printed)),
            Cell(said, tone=tone),
        ]
        rows.append(tuple(cells))
    blocks.append(Table(tuple(columns), tuple(rows), note=_explained(ours)))
    return blocks


def _measured(ours: Scores | None, last: Mapping[str, Any] | None, name: str) -> Interval:
    """Our figure on the evaluated part; the loss is only known from the validation of the last epoch."""
    if ours is not None and name in ours.metrics:
        return ours.metric(name)
    value = to_float(last.get(f"val/{name}")) if last is not None and name == "loss" else math.nan
    return Interval(value, math.nan, math.nan, math.nan, 0, 0)


def _times(factor: float) -> str:
    return f"mean × {factor:g}" if factor != 1 else ""


def _beside(ours: Scores | None) -> str:
    if ours is None:
        return "Ours was not evaluated."
    patients = f" of {some(ours.n_subjects, 'patient')}" if ours.n_subjects is not None else ""
    return (
        f"Ours is measured on {count(ours.n)} {part_name(ours.part)} radiographs{patients} "
        f"({structure_name(ours.structure)}): mean over images, 95 % interval in brackets."
    )


def _explained(ours: Scores | None) -> str:
    text = (
        "Difference = ours minus paper. The interval covers the choice of patients, not that of the seed or the split."
    )
    if ours is not None and ours.part == "val":
        text += " This part is validation: the paper has no test part, and no figure here is a test result."
    return text


def _departures(run: Run, paper: Paper) -> list[str]:
    found = []
    epochs = to_count(run.get("trainer.max_epochs"))
    if paper.n_epochs and epochs is not None and epochs != paper.n_epochs:
        found.append(f"It was set to {some(epochs, 'epoch')}; the paper trains for {paper.n_epochs}.")
    if run.epochs is not None and epochs is not None and int(run.epochs["epoch"].max()) < epochs:
        found.append(f"It stopped after epoch {int(run.epochs['epoch'].max())} of {epochs}.")
    size = to_count(run.model.get("parameters"))
    if paper.parameters and size is not None and size not in paper.parameters:
        full = listed([f"{number:,}" for number in paper.parameters]).replace(" and ", " or ")
        found.append(f"Its net has {size:,} parameters; the paper’s has {full}.")
    return found


def epoch_columns(frame: pd.DataFrame, prefix: str) -> Sequence[str]:
    """The metrics that epochs.csv holds under `train/` or `val/`, the usual four first."""
    names = [str(column).removeprefix(prefix) for column in frame if str(column).startswith(prefix)]
    first = [name for name in ("loss", "accuracy", "dice", "iou") if name in names]
    return [*first, *(name for name in names if name not in first)]
