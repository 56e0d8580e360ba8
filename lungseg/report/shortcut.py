"""How much of a classifier's score is left when the lungs are not: the table over parts of the picture."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from lungseg.report.blocks import Block, Cell, Column, Points, Table, Text
from lungseg.report.compare import flat_config
from lungseg.report.reader import SEGMENTATION, Run, Scores
from lungseg.report.results import interval_cell
from lungseg.report.wording import count, decimal, listed, part_name, percent, some, span
from lungseg.stats.bootstrap import Interval

MODES = {
    "full": "the whole picture",
    "lungs_only": "the lungs alone",
    "lung_crop": "the box around the lungs",
    "lungs_out": "all but the lungs’ hull",
    "lungs_out_mask": "all but the lungs, their outline visible",
    "border_only": "the frame around the lungs",
}
"""What the net sees, in the order of the table."""
WITHOUT = ("border_only", "lungs_out", "lungs_out_mask")
"""Without any lung, the barest first."""
SHOWN, CHANCE = 0.6, 0.5
_CLASSES = {"LungsOnly": "lungs_only", "LungCrop": "lung_crop", "LungsOut": "lungs_out", "BorderOnly": "border_only"}
_Found = tuple[str, str, Run, Scores]
"""Label, part of the picture, run and its scores."""
_VARIED = ("data.lungs", "lung_masks", "preprocess", "seed")


def lungs_mode(run: Run) -> str:
    """What part of the picture a run looks at: a key of MODES.

    The config says it as `data.lungs`, or by a step of the preprocessing (`preprocess.steps.lungs`); `full` where it
    says neither.
    """
    said = str(run.get("data.lungs", ""))
    if said in MODES:
        return said
    steps = run.get("preprocess.steps")
    for step in steps.values() if isinstance(steps, Mapping) else ():
        target = str(step.get("_target_") or "").rpartition(".")[2] if isinstance(step, Mapping) else ""
        if target in _CLASSES:
            return "lungs_out_mask" if target == "LungsOut" and step.get("fill") == "mask" else _CLASSES[target]
    return "full"


def shortcut_verdict(auroc: Interval) -> str:
    """Judge the AUROC of the frame around the lungs.

    Args:
        auroc: of `border_only`, with its 95 % interval.

    Returns:
        `shown` where the lower end is above 0.6, `none` where the interval holds 0.5, `open` otherwise or without an
        interval.

    Example:
        >>> shortcut_verdict(Interval(0.9, 0.0, 0.85, 0.95, 100, 100))
        'shown'
    """
    if not (math.isfinite(auroc.low) and math.isfinite(auroc.high)):
        return "open"
    if auroc.low > SHOWN:
        return "shown"
    return "none" if auroc.low <= CHANCE <= auroc.high else "open"


def survives(without: Interval, full: Interval) -> float:
    """Share of the AUROC above chance that is left, (a - 0.5) / (full - 0.5), at least 0; NaN where there is none."""
    above = full.mean - CHANCE
    return max(0.0, (without.mean - CHANCE) / above) if above > 0 else math.nan


def shortcut_blocks(labelled: Mapping[str, Run]) -> tuple[Block, ...]:
    """A table for each group of runs that differ in the part of the picture alone, and one sentence on it.

    Args:
        labelled: runs by their label.

    Returns:
        The blocks; empty where no two runs of a group see different parts.
    """
    groups: dict[str, dict[str, Run]] = {}
    for label, run in labelled.items():
        if run.kind != SEGMENTATION and run.config:
            groups.setdefault(_key(run), {})[label] = run
    blocks: list[Block] = []
    for runs in groups.values():
        if len({lungs_mode(run) for run in runs.values()}) < 2:
            continue
        found = [(label, lungs_mode(run), run, main) for label, run in runs.items() if (main := run.main())]
        found.sort(key=lambda item: list(MODES).index(item[1]))
        if not found:
            continue
        blocks += [Points(tuple(_sentences(found))), _table(found)]
    if blocks:
        said = (
            "The same classifier on parts of the picture. Shown: the lower end of the 95 % interval of the frame’s "
            "AUROC is above 0.6. None: that interval holds 0.5. Otherwise it stays open."
        )
        blocks.insert(0, Text(said))
    return tuple(blocks)


def _key(run: Run) -> str:
    """What runs of one table have in common: everything but the part of the picture, the preprocessing and the seed."""
    same = {
        key: value
        for key, value in flat_config(run).items()
        if not any(key == varied or key.startswith((f"{varied}.", f"{varied}_")) for varied in _VARIED)
        and key.rpartition(".")[2] != "seed"
    }
    return json.dumps([run.name, run.verb, sorted(same.items())])


def _table(found: Sequence[_Found]) -> Table:
    columns = (
        Column("The net sees", numeric=False),
        Column("Run", numeric=False),
        Column("Images"),
        Column("Macro F1"),
        Column("AUROC"),
        Column("Above chance, of the whole picture"),
    )
    rows = []
    for label, mode, run, main in found:
        auroc = main.metric("auroc")
        full = _full_of(run, found)
        share = survives(auroc, full.metric("auroc")) if full is not None else math.nan
        how = "trained and tested on it" if run.verb == "train" else "tested on it"
        rows.append(
            (
                Cell(MODES[mode], sub=mode),
                Cell(label, sub=how),
                Cell(count(main.n), sub="" if main.n_subjects is None else some(main.n_subjects, "patient")),
                interval_cell(main.metric("macro_f1")),
                interval_cell(auroc),
                Cell(percent(share)),
            )
        )
    parts = listed(list(dict.fromkeys(part_name(main.part) for *_, main in found)))
    note = "Above chance: (AUROC − 0.5) as a share of the same on the whole picture."
    return Table(columns, tuple(rows), caption=f"Parts of the picture, {parts} part", note=note)


def _full_of(run: Run, found: Sequence[_Found]) -> Scores | None:
    """The scores on the whole picture that a run is held against: those of its own seed, or else the first."""
    fulls = [(other, main) for _, mode, other, main in found if mode == "full"]
    same = [main for other, main in fulls if other.get("seed") == run.get("seed")]
    return next(iter([*same, *(main for _, main in fulls)]), None)


def _sentences(found: Sequence[_Found]) -> list[str]:
    """One sentence: how much survives without lungs; with several seeds one for each run of the barest part."""
    barest = next((mode for mode in WITHOUT if any(mode == seen for _, seen, _, _ in found)), None)
    if barest is None:
        return ["No run looks at the picture without lungs: nothing can be said of a shortcut."]
    return [_sentence(mode, main, _full_of(run, found)) for _, mode, run, main in found if mode == barest]


def _sentence(mode: str, main: Scores, full: Scores | None) -> str:
    auroc = main.metric("auroc")
    value = f"{decimal(auroc.mean, 3)} {span(auroc.low, auroc.high, 3)}".strip()
    said = f"From {MODES[mode]} the net reaches an AUROC of {value}"
    if full is not None:
        whole = full.metric("auroc")
        share = survives(auroc, whole)
        if math.isfinite(share):
            said += (
                f", where the whole picture gives {decimal(whole.mean, 3)}: {percent(share)} of what lies above chance "
            )
            said += "survives without lungs"
    if mode != "border_only":
        return f"{said}. What it is by the frame alone (border_only) was not tried."
    verdict = {
        "shown": "a shortcut is shown",
        "none": "no shortcut is found",
        "open": "whether there is a shortcut stays open",
    }
    return f"{said}; {verdict[shortcut_verdict(auroc)]}."
