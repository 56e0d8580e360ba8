"""The map of a net's features (t-SNE): every image a dot, near dots look alike to the net."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lungseg.report.blocks import Cell, Column, Figure, Table
from lungseg.report.class_figures import COLOURS
from lungseg.report.figures import INK, MUTED, STYLE, canvas_of, drawn, title_axes
from lungseg.report.wording import count

DOTS = 1500
NEAREST = 5
SEVERAL, OTHERS = "several", "none of these"
_MARKS = ("o", "s", "^", "D", "v", "P", "X")


def embedding_figure(
    embedding: pd.DataFrame, classes: Sequence[str], *, title: str = "t-SNE of the features", name: str = "embedding"
) -> Figure | None:
    """Every image at its place on the map, by label.

    Args:
        embedding: one row for each image: x, y, label (`several` where it has several of the classes).
        classes: names in order, for the same colours as in the other drawings.
        title: above the drawing.
        name: of the figure's file.

    Returns:
        The figure; None without images. Of more than 1500 images an even draw is shown.
    """
    frame = _placed(embedding, classes)
    if frame.empty:
        return None
    shown = frame.sample(DOTS, random_state=0) if len(frame) > DOTS else frame
    groups = list(dict.fromkeys([*(c for c in classes if (shown["group"] == c).any()), *sorted(shown["group"])]))
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        canvas, axes = canvas_of(2.9 + 0.17 * ((len(groups) + 1) // 2))
        for group in groups:
            rows = shown[shown["group"] == group]
            axes.plot(rows["x"], rows["y"], linestyle="", alpha=0.75, label=group, **_mark(group, classes))
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.legend(
            frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.02), ncols=2, handlelength=1,
            borderaxespad=0, columnspacing=1.2, labelcolor=MUTED, markerscale=1.6,
        )  # fmt: skip
        title_axes(axes, title)
        some = f"{len(shown):,} of {len(frame):,}" if len(shown) < len(frame) else f"{len(frame):,}"
        caption = f"{title}: {some} images, near ones look alike to the net. Distances between groups mean little."
        return drawn(name, canvas, caption)


def embedding_table(embedding: pd.DataFrame, classes: Sequence[str]) -> Table | None:
    """How far the labels lie apart on the map: of the five nearest images of each, the share of the same label.

    Args:
        embedding: one row for each image: x, y, label.
        classes: names in order.

    Returns:
        The table; None for fewer images than neighbours, or a single label.
    """
    frame = _placed(embedding, classes)
    if len(frame) <= NEAREST or frame["group"].nunique() < 2:
        return None
    group = frame["group"].to_numpy(dtype=object)
    same = (group[_neighbours(frame[["x", "y"]].to_numpy(dtype=float))] == group[:, None]).mean(axis=1)
    order = [c for c in classes if (group == c).any()] + sorted(set(group) - set(classes))
    rows = tuple(
        (
            Cell(name),
            Cell(count(int((group == name).sum()))),
            Cell(f"{same[group == name].mean():.2f}"),
            Cell(f"{((group == name).sum() - 1) / (len(group) - 1):.2f}"),
        )
        for name in order
    )
    columns = (
        Column("Label", numeric=False),
        Column("Images"),
        Column(f"Of the {NEAREST} nearest, same label"),
        Column("By chance"),
    )
    return Table(columns, rows, caption="Neighbours on the map")


def _mark(group: str, classes: Sequence[str]) -> dict[str, Any]:
    """The dots of a label: a colour and a shape for each class; a ring for several, a grey dot or cross for none."""
    if group in classes:
        spot = list(classes).index(group)
        mark, colour = _MARKS[spot % len(_MARKS)], COLOURS[spot % len(COLOURS)]
        return {"marker": mark, "markersize": 2.8, "markeredgewidth": 0, "color": colour}
    if group == SEVERAL:
        return {"marker": "o", "markersize": 3.2, "markeredgewidth": 0.7, "markerfacecolor": "none", "color": INK}
    mark = "." if group == OTHERS else "x"
    return {"marker": mark, "markersize": 2.8, "markeredgewidth": 0.5, "color": MUTED}


def _placed(embedding: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    frame: pd.DataFrame = embedding[np.isfinite(embedding["x"]) & np.isfinite(embedding["y"])]
    return frame.assign(group=[_group(str(label), classes) for label in frame["label"]])


def _group(label: str, classes: Sequence[str]) -> str:
    """Say a label of the samples table in one word; of its names, those that begin with `?` are not known."""
    names = [name for name in label.split("|") if name and not name.startswith("?") and label != "None"]
    ours = [name for name in names if name in classes]
    if len(ours) > 1:
        return SEVERAL
    return ours[0] if ours else OTHERS if names else "none known"


def _neighbours(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Places of the nearest other points, (n, NEAREST), a few hundred points at a time."""
    found = np.empty((len(points), NEAREST), dtype=np.intp)
    for start in range(0, len(points), 256):
        block = points[start : start + 256]
        apart = ((block[:, None] - points[None]) ** 2).sum(axis=-1)
        apart[np.arange(len(block)), np.arange(start, start + len(block))] = np.inf
        found[start : start + 256] = np.argpartition(apart, NEAREST - 1, axis=1)[:, :NEAREST]
    return found
