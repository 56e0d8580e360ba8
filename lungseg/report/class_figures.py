"""The drawings of a classification: confusion matrix, ROC, precision-recall and reliability curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from lungseg.report.blocks import Figure
from lungseg.report.figures import (
    FIFTH,
    FIRST,
    FOURTH,
    INK,
    MUTED,
    RULE,
    SECOND,
    STYLE,
    THIRD,
    canvas_of,
    drawn,
    title_axes,
)
from lungseg.report.wording import decimal, percent
from lungseg.stats.ranking import auroc, average_precision, precision_recall_points, roc_points
from lungseg.stats.reliability import BINS, Reliability, reliability

COLOURS = (FIRST, SECOND, FOURTH, THIRD, FIFTH, MUTED, INK)
_SOLID, _BROKEN = "-", (0, (3, 1.5))
_CORNERS = 300
_Points = tuple[NDArray[np.float64], NDArray[np.float64]]


def confusion_figure(
    cells: NDArray[np.int64], classes: Sequence[str], *, title: str = "Confusion matrix", name: str = "confusion"
) -> Figure | None:
    """Images by true class (row) and predicted class (column); the shade is the share of the row.

    Args:
        cells: (C, C) counts.
        classes: the C names.
        title: above the drawing.
        name: of the figure's file.

    Returns:
        The figure; None for more than 20 classes, which no telephone shows.
    """
    c = len(classes)
    if cells.shape != (c, c) or not 0 < c <= 20:
        return None
    rows = cells.sum(axis=1, keepdims=True)
    share = np.divide(cells, rows, out=np.zeros(cells.shape), where=rows > 0)
    size = 8.0 if c <= 4 else 6.5 if c <= 8 else 4.5
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        canvas, axes = canvas_of(3.3)
        for i in range(c):
            for j in range(c):
                shade = 0.04 + 0.5 * float(share[i, j])
                axes.add_patch(Rectangle((j, i), 1, 1, facecolor=FIRST, alpha=shade, linewidth=0))
                weight: Any = "bold" if i == j else "normal"
                said = f"{cells[i, j]:,}" if c > 8 else f"{cells[i, j]:,}\n{percent(float(share[i, j]))}"
                axes.text(j + 0.5, i + 0.5, said, ha="center", va="center", fontsize=size, weight=weight)
        axes.set_xlim(0, c)
        axes.set_ylim(c, 0)
        axes.set_aspect("equal")
        names = [_folded(_short(name)) if c <= 4 else _short(name) for name in classes]
        turned = c > 4 or max(len(line) for name in names for line in name.split("\n")) > 12
        axes.set_xticks(np.arange(c) + 0.5, names, rotation=40 if turned else 0, ha="right" if turned else "center")
        axes.set_yticks(np.arange(c) + 0.5, names)
        axes.tick_params(length=0, labelsize=8 if c <= 8 else 6)
        axes.set_xlabel("predicted", fontsize=8.5)
        axes.set_ylabel("true", fontsize=8.5)
        for spine in axes.spines.values():
            spine.set_visible(False)
        title_axes(axes, title)
        right, n = int(np.trace(cells)), int(cells.sum())
        caption = f"{title}: {right:,} of {n:,} images lie on the diagonal. Rows are true classes and add up to 100 %."
        return drawn(name, canvas, caption)


def roc_figure(samples: pd.DataFrame, classes: Sequence[str], part: str) -> Figure | None:
    """ROC curve of each class against the rest, from the images of one part.

    Args:
        samples: one row for each image, with p_<class> and t_<class>.
        classes: their names.
        part: for the file's name.

    Returns:
        The figure; None when no class has images of both kinds.
    """

    def points(scores: NDArray[np.float64], there: NDArray[np.bool_]) -> _Points:
        return roc_points(scores, there)

    lines = _lines(samples, classes, points, auroc)
    if not lines:
        return None
    with mpl.rc_context({**STYLE, "svg.hashsalt": f"roc-{part}"}):
        canvas, axes = canvas_of(_height(lines))
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
        _plot(axes, lines)
        axes.set_xlabel("1 − specificity", fontsize=8.5)
        axes.set_ylabel("sensitivity", fontsize=8.5)
        title_axes(axes, "ROC, each class against the rest")
        said = ", ".join(f"{name} {decimal(area, 3)}" for name, _, area in lines)
        return drawn(f"roc_{part}", canvas, f"ROC curves. Area under each: {said}.")


def precision_recall_figure(samples: pd.DataFrame, classes: Sequence[str], part: str) -> Figure | None:
    """Precision-recall curve of each class against the rest; arguments and return as in `roc_figure`."""

    def points(scores: NDArray[np.float64], there: NDArray[np.bool_]) -> _Points:
        found, precise = precision_recall_points(scores, there)
        return np.concatenate(([0.0], found)), np.concatenate((precise[:1], precise))

    lines = _lines(samples, classes, points, average_precision)
    if not lines:
        return None
    with mpl.rc_context({**STYLE, "svg.hashsalt": f"pr-{part}"}):
        canvas, axes = canvas_of(_height(lines))
        _plot(axes, lines, "steps-pre")  # average precision is the area below the steps
        axes.set_xlabel("recall", fontsize=8.5)
        axes.set_ylabel("precision", fontsize=8.5)
        title_axes(axes, "Precision and recall")
        said = ", ".join(f"{name} {decimal(area, 3)}" for name, _, area in lines)
        return drawn(f"precision_recall_{part}", canvas, f"Precision-recall curves. Average precision: {said}.")


def reliability_figure(samples: pd.DataFrame, kind: str, classes: Sequence[str], part: str) -> Figure | None:
    """Probability against the share that was right, in 15 bins of equal width; below, how many images a bin holds.

    Multiclass: the highest probability of each image. Multilabel: all known labels together.

    Args:
        samples: one row for each image, with p_<class> and t_<class>.
        kind: multiclass or multilabel.
        classes: their names.
        part: for the file's name.

    Returns:
        The figure; None without images.
    """
    p, truth = _columns(samples, classes)
    known = ~np.isnan(truth)
    if not known.any() or not ((p >= 0) & (p <= 1)).all():
        return None
    if kind == "multiclass":
        rows, best = np.arange(len(p)), p.argmax(axis=1)
        table = reliability(p[rows, best], truth[rows, best] == 1)
        what, each = "predicted class", "images"
    else:
        table = reliability(p[known], truth[known] == 1)
        what, each = "labels", "labels"
    with mpl.rc_context({**STYLE, "svg.hashsalt": f"reliability-{part}"}):
        canvas, axes = canvas_of(2.9)
        _draw_reliability(axes, table)
        axes.set_xlabel(f"probability of the {what}", fontsize=8.5)
        axes.set_ylabel("share that was right" if kind == "multiclass" else "share that was there", fontsize=8.5)
        title_axes(axes, "Reliability")
        caption = (
            f"Reliability in {BINS} bins of equal width (expected calibration error {decimal(table.error)}); a dot "
            f"below the diagonal was too sure. Bars: how the {int(table.n.sum()):,} {each} are spread."
        )
        return drawn(f"reliability_{part}", canvas, caption)


def _draw_reliability(axes: Axes, table: Reliability) -> None:
    bars = 0.25 * table.n / max(int(table.n.max()), 1)
    axes.bar(table.low, bars, width=table.high - table.low, align="edge", color=RULE, linewidth=0)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    filled = table.n > 0
    x, y = table.probability[filled], table.share[filled]
    axes.plot(x, y, color=FIRST, linewidth=1.2)
    axes.plot(x, y, color=FIRST, linestyle="", marker="o", markersize=3.5, markeredgewidth=0)
    _unit_square(axes)


def _lines(
    samples: pd.DataFrame,
    classes: Sequence[str],
    points: Callable[[NDArray[np.float64], NDArray[np.bool_]], _Points],
    area: Callable[[NDArray[np.float64], NDArray[np.bool_]], float],
) -> list[tuple[str, _Points, float]]:
    p, truth = _columns(samples, classes)
    found = []
    for place, name in enumerate(classes):
        known = ~np.isnan(truth[:, place]) & ~np.isnan(p[:, place])
        scores, there = p[known, place], truth[known, place] == 1
        if 0 < there.sum() < len(there):
            found.append((name, _thinned(*points(scores, there)), area(scores, there)))
    return found


def _columns(samples: pd.DataFrame, classes: Sequence[str]) -> _Points:
    p, truth = (samples[[start + name for name in classes]].to_numpy(dtype=float) for start in ("p_", "t_"))
    return p, truth


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64]) -> _Points:
    """At most some hundred corners, spread evenly over their number; the first and the last stay."""
    if len(x) <= _CORNERS:
        return x, y
    keep = np.unique(np.linspace(0, len(x) - 1, _CORNERS).round().astype(int))
    return x[keep], y[keep]


def _plot(axes: Axes, lines: Sequence[tuple[str, _Points, float]], drawing: Any = "default") -> None:
    for place, (name, (x, y), area) in enumerate(lines):
        style: Any = _SOLID if place < len(COLOURS) else _BROKEN
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(
            x, y, color=colour, linewidth=1.4, linestyle=style, label=f"{_short(name)} {area:.3f}", drawstyle=drawing
        )
    _unit_square(axes)
    axes.legend(
        frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.2), ncols=2, handlelength=1.4,
        borderaxespad=0, columnspacing=1.2, labelcolor=MUTED,
    )  # fmt: skip


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.01)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)


def _height(lines: Sequence[Any]) -> float:
    return 2.75 + 0.17 * ((len(lines) + 1) // 2)


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"


def _folded(name: str) -> str:
    """Break a long name in two at the space nearest to its middle."""
    spaces = [place for place, letter in enumerate(name) if letter == " "]
    if len(name) <= 10 or not spaces:
        return name
    middle = min(spaces, key=lambda place: abs(2 * place + 1 - len(name)))
    return f"{name[:middle]}\n{name[middle + 1 :]}"
