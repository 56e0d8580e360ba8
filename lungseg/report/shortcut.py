"""How much of a classifier's score is left when the lungs are not: the table over parts of the picture."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lungseg.report.blocks import Block, Cell, Column, Points, Table, Text
from lungseg.report.compare import flat_config
from lungseg.report.reader import SEGMENTATION, Run, Scores, to_interval
from lungseg.report.results import interval_cell
from lungseg.report.wording import count, decimal, listed, part_name, percent, signed, some, span, to_count, to_float
from lungseg.stats.bootstrap import Interval
from lungseg.stats.class_bootstrap import class_intervals
from lungseg.stats.paired_auroc import auroc_difference

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


def share_auroc(run: Run, part: str) -> Interval:
    """How well the share of the picture that is kept tells the classes apart by itself: the macro AUROC.

    The share is the score of a class whose training images keep more than the others', and one minus the share is that
    of any other class: which of the two is settled before the part is looked at.

    Args:
        run: a classification run.
        part: of the split.

    Returns:
        The AUROC with its interval over patients; NaN where no step takes pixels away, or nothing is known of the
        training part.
    """
    nothing, frame = to_interval(None, {}), run.samples
    if frame is None or "kept" not in frame:
        return nothing
    kept = pd.to_numeric(frame["kept"], errors="coerce").to_numpy(dtype=np.float64)
    at = (frame["part"] == part).to_numpy() & (kept >= 0) & (kept <= 1)
    rises = [_keeps_more(run, name) for name in run.classes]
    if not at.any() or None in rises:
        return nothing
    shares = kept[at][:, None]
    truth = frame.loc[at, [f"t_{name}" for name in run.classes]].to_numpy(dtype=np.float64)
    found = class_intervals(
        np.where(np.array(rises, dtype=bool), shares, 1 - shares),
        truth,
        frame.loc[at, "subject_id"].to_list(),
        kind="multilabel",
        n_boot=_resamples(run),
        seed=to_count(run.metrics.get("bootstrap_seed")) or 0,
    )
    return found.overall["auroc"]


def _keeps_more(run: Run, name: str) -> bool | None:
    """Whether a class keeps more of the picture than the others do, on the training part; None = not known."""
    means = {other: _share(run, "train", other) for other in run.classes}
    rest = [(n, mean) for other, (n, mean, _) in means.items() if other != name and n and math.isfinite(mean)]
    own = means[name][1]
    if not rest or not math.isfinite(own):
        return None
    return own >= sum(n * mean for n, mean in rest) / sum(n for n, _ in rest)


def _share(run: Run, part: str, name: str) -> tuple[int, float, float]:
    """Images of a class, and mean and sd of the share that they keep, of data.json."""
    found: object = run.data.get("kept")
    for key in (part, name):
        found = found.get(key) if isinstance(found, Mapping) else None
    entry = found if isinstance(found, Mapping) else {}
    return to_count(entry.get("n")) or 0, to_float(entry.get("mean")), to_float(entry.get("sd"))


def _resamples(run: Run) -> int:
    return max(1, to_count(run.metrics.get("n_boot")) or 2000)


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
        shares = [share_auroc(run, main.part) for _, _, run, main in found]
        said = [*_sentences(found), *_outline_sentences(found), *_share_sentences(found, shares)]
        blocks += [Points(tuple(said)), _table(found), *_share_tables(found, shares)]
    if blocks:
        verdicts = (
            "The same classifier on parts of the picture. Shown: the lower end of the 95 % interval of the frame’s "
            "AUROC is above 0.6. None: that interval holds 0.5. Otherwise it stays open."
        )
        blocks.insert(0, Text(verdicts))
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
        Column("Survives"),
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
    note = "Survives: (AUROC − 0.5) as a share of the same on the whole picture."
    return Table(columns, tuple(rows), caption=f"Parts of the picture, {parts} part", note=note)


def _share_tables(found: Sequence[_Found], shares: Sequence[Interval]) -> list[Table]:
    """Share of the picture that each run's images keep, by class; nothing where no picture loses any."""
    classes = found[0][2].classes
    rows = []
    for (label, mode, run, main), auroc in zip(found, shares, strict=True):
        entries = [_share(run, main.part, name) for name in classes]
        if any(math.isfinite(mean) for _, mean, _ in entries):
            cells = (
                Cell(percent(mean), sub=f"sd {percent(sd)}" if math.isfinite(sd) else "") for _, mean, sd in entries
            )
            rows.append((Cell(MODES[mode], sub=mode), Cell(label), *cells, interval_cell(auroc)))
    if not rows:
        return []
    columns = (
        Column("The net sees", numeric=False),
        Column("Run", numeric=False),
        *(Column(name, group="Kept, by class") for name in classes),
        Column("AUROC of the share alone"),
    )
    note = (
        "Share of the pixels that are left as they were: the size of the lungs’ mask, hull or box, and nothing of the "
        "picture. Its AUROC takes it for the score; more or less of it speaks for a class as in the training part."
    )
    return [Table(columns, tuple(rows), caption="What is left of the picture", note=note)]


def _outline_sentences(found: Sequence[_Found]) -> list[str]:
    """How much the outline of the lungs adds to what lies around their hull, for each seed that has both runs."""
    said = []
    for _, mode, run, main in found:
        if mode != "lungs_out_mask":
            continue
        without = next(
            (other for _, seen, other, _ in found if seen == "lungs_out" and other.get("seed") == run.get("seed")), None
        )
        difference = _difference(without, run, main.part) if without is not None else None
        if difference is None or not math.isfinite(difference.low):
            continue
        value = f"{signed(difference.mean, 3)} {span(difference.low, difference.high, 3, plus=True)}"
        verdict = (
            "it tells of the class" if difference.low > 0
            else "the net does worse with it" if difference.high < 0
            else "that it tells of the class is not shown"
        )  # fmt: skip
        said.append(
            f"The outline of the lungs, with what lies between them, changes the AUROC by {value} (lungs_out_mask "
            f"minus lungs_out, on the same {some(difference.n, 'image')}): {verdict}."
        )
    return said


def _difference(first: Run, second: Run, part: str) -> Interval | None:
    """Macro AUROC of the second run minus that of the first on the images of a part; None where these differ."""
    if first.samples is None or second.samples is None or first.classes != second.classes:
        return None
    a, b = (
        run.samples[run.samples["part"] == part].sort_values("sample_id", ignore_index=True)
        for run in (first, second)
        if run.samples is not None
    )
    if len(a) == 0 or a["sample_id"].to_list() != b["sample_id"].to_list():
        return None
    names = second.classes
    truth = [f"t_{name}" for name in names]
    if not np.array_equal(a[truth].to_numpy(), b[truth].to_numpy(), equal_nan=True):
        return None
    chances = [f"p_{name}" for name in names]
    return auroc_difference(
        a[chances].to_numpy(),
        b[chances].to_numpy(),
        b[truth].to_numpy(),
        b["subject_id"].to_list(),
        n_boot=_resamples(second),
        seed=to_count(second.metrics.get("bootstrap_seed")) or 0,
    )


def _share_sentences(found: Sequence[_Found], shares: Sequence[Interval]) -> list[str]:
    """Whether the share that is kept, a number of the mask and not of the picture, tells the classes apart."""
    known: dict[str, Interval] = {}
    for (_, mode, _, _), auroc in zip(found, shares, strict=True):
        if mode in WITHOUT and math.isfinite(auroc.low):
            known.setdefault(mode, auroc)
    told = {mode: auroc for mode, auroc in known.items() if auroc.low > CHANCE}
    chosen = told or known
    values = [
        f"{decimal(chosen[mode].mean, 3)} {span(chosen[mode].low, chosen[mode].high, 3)} ({mode})"
        for mode in WITHOUT
        if mode in chosen
    ]
    if not values:
        return []
    if told:
        return [
            "The size of the region that is filled tells the classes apart by itself, with an AUROC of "
            f"{listed(values)}: of a net’s score without lungs, so much may come from the size alone."
        ]
    return [f"That the size of the region that is filled tells the classes apart is not shown: AUROC {listed(values)}."]


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
