"""The drawings of a report: small vector graphics whose colours follow the page's light or dark mode.

Each is drawn at the width of a telephone, so that its lettering is readable there and grows with the page elsewhere.
Blue, vermilion and grey are told apart by people who are colour-blind (Okabe and Ito, Color Universal Design, 2008).
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from lungseg.report.blocks import Figure
from lungseg.report.paper import Paper
from lungseg.report.reader import Run
from lungseg.report.wording import decimal, metric_name, signed, source_name, structure_name
from lungseg.stats.bootstrap import Interval, mean_interval

INK, MUTED, RULE, FIRST, SECOND, THIRD = "#1b1f23", "#5c656d", "#dfe3e6", "#0072b2", "#d55e00", "#9a6fb0"
FOURTH, FIFTH = "#00805c", "#b07a00"
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
    THIRD: "var(--third)",
    FOURTH: "var(--fourth)",
    FIFTH: "var(--fifth)",
}
WIDTH = 3.7  # inches of 72 points: 266 units, the width of a telephone's column
MOST_DOTS = 400
WIDE = 50
"""Highest over lowest loss from which the scale is logarithmic."""
STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
}


def curve_figures(
    epochs: pd.DataFrame, paper: Paper | None, metrics: Sequence[tuple[str, str]] = (("loss", "Loss"), ("dice", "Dice"))
) -> list[Figure]:
    """Loss and Dice over the epochs, training and validation, with the paper's printed rows as dots.

    Args:
        epochs: the run's epochs.
        paper: the paper with printed epochs, or None.
        metrics: what is drawn, name and title.

    Returns:
        One figure per metric of which at least one epoch was measured.
    """
    figures = []
    for name, title in metrics:
        lines = [
            (label, epochs["epoch"].to_numpy(), epochs[column].to_numpy(dtype=float), colour)
            for label, column, colour in (
                ("training", f"train/{name}", FIRST),
                ("validation", f"val/{name}", SECOND),
            )
            if column in epochs and epochs[column].notna().any()
        ]
        if not lines:
            continue
        dots = None
        if paper is not None and paper.epochs is not None and name in paper.epochs:
            factor = paper.loss_factor if name == "loss" else 1.0
            label = f"paper ÷ {factor:g}" if factor != 1 else "paper"
            dots = (label, paper.epochs["epoch"].to_numpy(), paper.epochs[name].to_numpy(dtype=float) / factor)
        log = name == "loss" and _wide(np.concatenate([y[np.isfinite(y)] for _, _, y, _ in lines]))
        figures.append(_curves(name, title, lines, dots, log=log))
    return figures


def validation_figure(runs: Mapping[str, Run]) -> Figure | None:
    """Validation Dice over the epochs of several runs, one line each (at most eight)."""
    shown = [
        (label, run.epochs)
        for label, run in runs.items()
        if run.epochs is not None and "val/dice" in run.epochs and run.epochs["val/dice"].notna().any()
    ][:8]
    if len(shown) < 2:
        return None
    with mpl.rc_context({**STYLE, "svg.hashsalt": "runs"}):
        canvas, axes = canvas_of(2.6)
        colours = [FIRST, SECOND, MUTED, THIRD]
        for place, (label, epochs) in enumerate(shown):
            style: Any = "-" if place < 4 else (0, (3, 1.5))
            colour = colours[place % 4]
            axes.plot(epochs["epoch"], epochs["val/dice"], color=colour, linewidth=1.4, linestyle=style, label=label)
        _epoch_axis(axes)
        axes.legend(frameon=False, fontsize=7, loc="lower right", handlelength=1.6)
        title_axes(axes, "Dice, validation")
        return drawn("validation", canvas, f"Validation Dice by epoch: {', '.join(label for label, _ in shown)}.")


def multiple_figures(runs: Mapping[str, Run], metric: str = "dice") -> tuple[Figure, ...]:
    """Training and validation Dice of each run in a small drawing of its own, all on one scale (at most twelve).

    Args:
        runs: by their label.
        metric: what is drawn instead of Dice; `loss` falls, all others rise and end at 1.

    Returns:
        A figure per run with epochs; none where there are fewer than two such runs.
    """
    shown = {label: run.epochs for label, run in runs.items() if run.epochs is not None and len(run.epochs) > 1}
    lines = {label: found for label, epochs in list(shown.items())[:12] if (found := _lines(epochs, metric))}
    if len(lines) < 2:
        return ()
    values = np.concatenate([y[np.isfinite(y)] for found in lines.values() for _, _, y, _ in found])
    wide = metric == "loss" and _wide(values)
    # a first epoch near 0 would leave no room for the rest: the scale begins where nine tenths of the values lie above
    low = math.floor(20 * float(np.quantile(values, 0.1)) - 0.5) / 20
    limits = (max(0.0, low), min(1.0, float(values.max()) + 0.01))
    if metric == "loss":
        # a single epoch that went wrong would flatten the rest: nine tenths lie below
        limits = (
            (0.8 * float(values.min()), 1.25 * float(values.max()))
            if wide
            else (0.0, 1.1 * float(np.quantile(values, 0.9)))
        )
    stem = "epochs" if metric == "dice" else f"epochs_{metric}"
    return tuple(
        _curves(metric, label, found, None, file=f"{stem}_{place}", limits=limits, log=wide)
        for place, (label, found) in enumerate(lines.items(), 1)
    )


def _lines(epochs: pd.DataFrame, metric: str) -> list[tuple[str, np.ndarray[Any, Any], np.ndarray[Any, Any], str]]:
    return [
        (label, epochs["epoch"].to_numpy(), epochs[column].to_numpy(dtype=float), colour)
        for label, column, colour in (("training", f"train/{metric}", FIRST), ("validation", f"val/{metric}", SECOND))
        if column in epochs and epochs[column].notna().any()
    ]


def distribution_figure(
    samples: pd.DataFrame, part: str, structure: str, *, n_boot: int = 2000, seed: int = 0
) -> Figure | None:
    """Dice of every image: a dot each (a histogram alone above 400), with the mean and its interval, by source.

    Args:
        samples: per-image scores.
        part: part of the split.
        structure: the structure.
        n_boot: number of resamples.
        seed: of the bootstrap; also that of the dots' vertical scatter.

    Returns:
        The figure; None when no image of this part has a defined Dice.
    """
    frame = samples[(samples["part"] == part) & (samples["structure"] == structure)].dropna(subset=["dice"])
    if frame.empty:
        return None
    sources = sorted(frame["source"].unique())
    low = max(0.0, math.floor(float(frame["dice"].min()) * 20 - 0.25) / 20)
    edges = np.linspace(low, 1, 41)
    with mpl.rc_context({**STYLE, "svg.hashsalt": f"distribution-{structure}-{part}"}):
        canvas, axes = canvas_of(0.75 + 0.85 * len(sources))
        scatter = np.random.default_rng(seed)
        for place, source in enumerate(reversed(sources)):
            group = frame[frame["source"] == source]
            values = group["dice"].to_numpy(dtype=float)
            heights = np.histogram(values, edges)[0]
            axes.stairs(
                place + 0.5 * heights / heights.max(), edges, baseline=place, fill=True, color=FIRST, alpha=0.28
            )
            if len(values) <= MOST_DOTS:
                y = place - 0.1 - 0.16 * scatter.random(len(values))
                axes.plot(
                    values, y, linestyle="", marker="o", markersize=2.2, color=FIRST, alpha=0.65, markeredgewidth=0
                )
            found = mean_interval(values, group["subject_id"].to_list(), n_boot=n_boot, seed=seed)
            whisker(axes, found, place - 0.36, SECOND)
            text = f"{source_name(source)}, n = {len(values)}"
            axes.annotate(
                text, (low, place + 0.34), xytext=(1, 0), textcoords="offset points", fontsize=8.5, va="bottom"
            )
        axes.set_xlim(low, 1)
        axes.set_ylim(-0.55, len(sources) - 0.3)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(f"Dice of each image, {structure_name(structure)}", fontsize=8.5)
        caption = "Histogram and images one by one; the mark below is the mean with its 95 % interval."
        return drawn(f"distribution_{part}_{structure}", canvas, caption)


def forest_figure(rows: Sequence[tuple[str, Interval]], title: str, name: str, *, zero: bool = False) -> Figure | None:
    """Means with their intervals, one line per row, first row on top.

    Args:
        rows: label and interval.
        title: what is drawn.
        name: of the figure's file.
        zero: whether to draw the line of no difference.

    Returns:
        The figure; None when no row has a mean.
    """
    rows = [(label, found) for label, found in rows if math.isfinite(found.mean)]
    if not rows:
        return None
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        canvas, axes = canvas_of(0.7 + 0.34 * len(rows))
        if zero:
            axes.axvline(0, color=MUTED, linewidth=0.8, linestyle=(0, (3, 2)))
        for place, (label, found) in enumerate(reversed(rows)):
            whisker(axes, found, place, FIRST)
            axes.annotate(
                f"{label}: {signed(found.mean) if zero else decimal(found.mean)}",
                (0, place + 0.2),
                xycoords=("axes fraction", "data"),
                fontsize=8,
                va="bottom",
            )
        axes.set_ylim(-0.4, len(rows) - 0.1)
        axes.margins(x=0.08)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        title_axes(axes, title)
        return drawn(name, canvas, f"{title}: mean and 95 % interval over patients.")


def _curves(
    name: str,
    title: str,
    lines: Sequence[tuple[str, np.ndarray[Any, Any], np.ndarray[Any, Any], str]],
    dots: tuple[str, np.ndarray[Any, Any], np.ndarray[Any, Any]] | None,
    *,
    file: str | None = None,
    limits: tuple[float, float] | None = None,
    log: bool = False,
) -> Figure:
    with mpl.rc_context({**STYLE, "svg.hashsalt": file or name}):
        canvas, axes = canvas_of(2.65)
        if dots is not None:
            label, x, y = dots
            axes.plot(x, y, linestyle="", marker="o", markersize=2.6, color=MUTED, markeredgewidth=0, label=label)
        for label, x, y, colour in lines:
            keep = np.isfinite(y)
            marker = "o" if keep.sum() <= 3 else None
            axes.plot(x[keep], y[keep], color=colour, linewidth=1.6, label=label, marker=marker, markersize=4)
        if log:
            axes.set_yscale("log")
        if limits is not None:
            axes.set_ylim(limits)
        _epoch_axis(axes)
        if log:
            axes.yaxis.set_major_locator(LogLocator(numticks=6))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_locator(NullLocator())
        # below the axes: within them there is no corner that curves never come to
        axes.legend(
            frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(0, -0.22), ncols=3, handlelength=1.4,
            borderaxespad=0, columnspacing=1.2, labelcolor=MUTED,
        )  # fmt: skip
        title_axes(axes, title)
        said = [f"{label} {decimal(float(y[np.isfinite(y)][-1]))}" for label, _, y, _ in lines]
        what = title if file is None else f"{title}: {metric_name(name)}"
        scale = ", on a logarithmic scale" if log else ""
        return drawn(file or f"curve_{name}", canvas, f"{what} by epoch{scale}. Last: {', '.join(said)}.")


def _wide(values: NDArray[np.float64]) -> bool:
    """Say whether losses span so much that all but the highest would lie on the axis."""
    return bool(len(values) and values.min() > 0 and values.max() > WIDE * values.min())


def canvas_of(height: float) -> tuple[Canvas, Axes]:
    """An empty drawing of the usual width; the height is in inches. To be used within `STYLE`."""
    canvas = Canvas(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasSVG(canvas)
    canvas.patch.set_alpha(0)
    axes = canvas.add_subplot()
    axes.patch.set_alpha(0)
    return canvas, axes


def _epoch_axis(axes: Axes) -> None:
    axes.set_xlabel("epoch", fontsize=8.5)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)


def title_axes(axes: Axes, title: str) -> None:
    """Set a title at the left."""
    axes.set_title(title, loc="left", fontsize=9, fontweight="bold", color=INK, pad=7)


def whisker(axes: Axes, found: Interval, y: float, colour: str) -> None:
    """Draw a mean and its interval lying down."""
    if math.isfinite(found.low):
        axes.plot([found.low, found.high], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt")
    axes.plot([found.mean], [y], marker="D", markersize=4, color=colour, markeredgewidth=0)


def drawn(name: str, canvas: Canvas, caption: str) -> Figure:
    """Turn a drawing into a figure of the page and of a file."""
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    plain = buffer.getvalue()
    return Figure(name=name, svg=_inline(plain), plain=plain, caption=caption)


def _inline(plain: str) -> str:
    """Turn a file into an element of the page: no prolog, page's font, colours as variables, ids only where used."""
    svg = plain[plain.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>|<style type.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r"<svg \1>", svg, count=1)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font: (?:bold |700 )?(\d[\d.]*px) [^;\"]*", r"font-size: \1", svg)  # older matplotlib
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r"[ \n]*\n[ \n]*", "\n", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg.replace("xlink:href", "href")
