"""The results of one run: overlap, pixels, outlines and probabilities."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from lungseg.report.blocks import Cell, Column, Table
from lungseg.report.reader import Run, Scores
from lungseg.report.wording import (
    capital,
    count,
    decimal,
    metric_name,
    part_name,
    some,
    source_name,
    span,
    structure_name,
    to_float,
)
from lungseg.stats.bootstrap import Interval

OVERLAP = ("dice", "dice_pooled", "iou", "iou_pooled")
PIXELWISE = ("accuracy", "precision", "recall", "specificity", "dice_classes", "iou_classes")
MILLIMETRES, PIXELS = ("hd95_mm", "assd_mm"), ("hd95_px", "assd_px")
PROBABILITIES = ("soft_dice", "brier")


def interval_cell(found: Interval, *, digits: int = 4) -> Cell:
    """A mean with its interval on the line below."""
    return Cell(decimal(found.mean, digits), sub=span(found.low, found.high, digits))


def results_table(run: Run, part: str) -> Table | None:
    """Overlap of one part: a row per source and structure.

    Args:
        run: the run.
        part: `test`, `val`...

    Returns:
        The table; None when the part was not scored. With a single source, its row is the row of all.
    """
    scores = _scores(run, part)
    if not scores:
        return None
    shown = _shown(OVERLAP, scores)
    structures = {found.structure for found in scores}
    columns = [
        *_head_columns(structures),
        *(Column(capital(metric_name(name))) for name in shown),
        Column("sd of Dice"),
        Column("Empty, missed, false"),
    ]
    rows = [
        (
            *_head_cells(found, structures, _patients(found)),
            *(interval_cell(found.metric(name)) for name in shown),
            Cell(decimal(found.metric("dice").sd)),
            Cell(
                ", ".join(count(n) for n in (found.n_empty, found.n_missed, found.n_false)),
                tone="warn" if found.n_missed or found.n_false else "",
            ),
        )
        for found in scores
    ]
    return Table(tuple(columns), tuple(rows), caption=part_caption(part, structures))


def pixels_table(run: Run, part: str) -> Table | None:
    """Shares of right pixels of one part: a row per source and structure, as in `results_table`.

    Args:
        run: the run.
        part: `test`, `val`...

    Returns:
        The table; None when none was measured.
    """
    scores = _scores(run, part)
    shown = _shown(PIXELWISE, scores)
    if not shown:
        return None
    structures = {found.structure for found in scores}
    columns = (*_head_columns(structures), *(Column(capital(metric_name(name))) for name in shown))
    rows = tuple(
        (*_head_cells(found, structures, ""), *(interval_cell(found.metric(name)) for name in shown))
        for found in scores
    )
    return Table(columns, rows, caption=f"{part_caption(part, structures)}: pixels")


def boundary_table(run: Run, part: str) -> Table | None:
    """Outlines and probabilities of one part: a row per source and structure, as in `results_table`.

    Distances are in mm where the size of a pixel is known for any image, and in pixels where it is not for all.

    Args:
        run: the run.
        part: `test`, `val`...

    Returns:
        The table; None when neither was measured.
    """
    scores = _scores(run, part)
    known = [found for found in scores if found.metric("hd95_mm").n]
    unknown = [found for found in scores if found.metric("hd95_px").n > found.metric("hd95_mm").n]
    distances = [*(MILLIMETRES if known else ()), *(PIXELS if unknown or not known else ())]
    shares = [*(["nsd"] if known else []), *PROBABILITIES]
    distances, shares = _shown(distances, scores), _shown(shares, scores)
    if not distances and not shares:
        return None
    structures = {found.structure for found in scores}
    tolerance = to_float(run.metrics.get("tolerance_mm"))
    titles = {"nsd": f"{metric_name('nsd')} at {tolerance:g} mm" if math.isfinite(tolerance) else metric_name("nsd")}
    columns = (
        *_head_columns(structures),
        *(Column(titles.get(name) or capital(metric_name(name))) for name in (*distances, *shares)),
    )
    rows = tuple(
        (
            *_head_cells(found, structures, f"{found.metric('hd95_mm').n:,} in mm" if known else ""),
            *(interval_cell(found.metric(name), digits=2) for name in distances),
            *(interval_cell(found.metric(name)) for name in shares),
        )
        for found in scores
    )
    caption = f"{part_caption(part, structures)}: outlines and probabilities"
    return Table(columns, rows, caption=caption, note=_outlines_note(known, distances, tolerance))


def _outlines_note(known: Collection[Scores], distances: Collection[str], tolerance: float) -> str:
    said = []
    if distances:
        said.append(
            "HD95: the 95th percentile of the distances between the outlines, from each to the other, pooled; ASSD: "
            "their mean. A missed or false structure counts as the image’s diagonal."
        )
    if set(distances) & set(PIXELS):
        said.append("px: pixels of the mask as published, which differ in size from image to image.")
    if known:
        within = f"{tolerance:g} mm" if math.isfinite(tolerance) else "the tolerance"
        said.append(f"NSD: the share of both outlines within {within} of the other, 0 for a missed or false structure.")
        said.append("In mm: the images that have outlines and a known pixel size; mm and NSD are of these alone.")
    said.append("Soft Dice and Brier score (0 = perfect) are of the probabilities, before any threshold.")
    return " ".join(said)


def _scores(run: Run, part: str) -> list[Scores]:
    """The scores of one part; with a single source its rows are the rows of all."""
    scores = [found for found in run.scores() if found.part == part]
    if len({found.source for found in scores} - {"all"}) == 1:
        scores = [found for found in scores if found.source != "all"]
    return scores


def _shown(names: Sequence[str], scores: Sequence[Scores]) -> list[str]:
    """Those of the metrics that any row has."""
    return [name for name in names if any(name in found.metrics for found in scores)]


def _head_columns(structures: Collection[str]) -> list[Column]:
    structure = [Column("Structure", numeric=False)] if len(structures) > 1 else []
    return [Column("Set", numeric=False), *structure, Column("Images")]


def _head_cells(found: Scores, structures: Collection[str], images: str) -> list[Cell]:
    structure = [Cell(structure_name(found.structure))] if len(structures) > 1 else []
    return [Cell(source_name(found.source)), *structure, Cell(count(found.n), sub=images)]


def part_caption(part: str, structures: Collection[str]) -> str:
    """Name the part, and the structure where there is only one.

    Example:
        >>> part_caption("val", ["lungs"]), part_caption("test", ["lungs", "heart"])
        ('Validation part, lungs', 'Test part')
    """
    only = [structure_name(name) for name in structures] if len(structures) == 1 else []
    return ", ".join([f"{capital(part_name(part))} part", *only])


def _patients(found: Scores) -> str:
    return "" if found.n_subjects is None else some(found.n_subjects, "patient")
