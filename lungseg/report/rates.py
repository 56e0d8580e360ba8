"""A learning-rate ablation: runs that differ in their learning rate alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import matplotlib as mpl
from matplotlib.ticker import NullLocator

from lungseg.report.blocks import Figure
from lungseg.report.compare import flat_config
from lungseg.report.figures import FIRST, RULE, STYLE, canvas_of, drawn, title_axes
from lungseg.report.reader import Run, Scores
from lungseg.report.wording import capital, decimal, metric_name, part_name, to_float

RATE = "optimizer.lr"
LEAST = 3
_VARIED = (RATE, "scheduler", "seed")


def rate_figures(labelled: Mapping[str, Run], metric: str = "macro_f1") -> tuple[Figure, ...]:
    """The score over the learning rate, with intervals, for each group of three or more rates.

    Args:
        labelled: runs by their label.
        metric: what is drawn.

    Returns:
        A figure for each group of training runs that differ in nothing but the learning rate, the schedule (whose ends
        follow it) and the seed.
    """
    groups: dict[str, list[tuple[float, Scores]]] = {}
    for run in labelled.values():
        rate, main = to_float(run.get(RATE)), run.main()
        if run.verb == "train" and main is not None and rate > 0 and math.isfinite(main.metric(metric).mean):
            groups.setdefault(_key(run), []).append((rate, main))
    ablations = [found for found in groups.values() if len({rate for rate, _ in found}) >= LEAST]
    return tuple(
        _figure(sorted(found, key=lambda item: item[0]), metric, f"rates_{place}")
        for place, found in enumerate(ablations, 1)
    )


def _key(run: Run) -> str:
    same = {
        key: value
        for key, value in flat_config(run).items()
        if not any(key == varied or key.startswith(f"{varied}.") for varied in _VARIED)
        and key.rpartition(".")[2] != "seed"
    }
    return json.dumps(sorted(same.items()))


def _figure(found: list[tuple[float, Scores]], metric: str, name: str) -> Figure:
    title = f"{capital(metric_name(metric))} by learning rate"
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        canvas, axes = canvas_of(2.5)
        means: dict[float, list[float]] = {}
        for rate, main in found:
            score = main.metric(metric)
            means.setdefault(rate, []).append(score.mean)
            if math.isfinite(score.low):
                axes.plot([rate, rate], [score.low, score.high], color=FIRST, linewidth=1.8, solid_capstyle="butt")
            axes.plot([rate], [score.mean], color=FIRST, marker="D", markersize=4, markeredgewidth=0)
        rates = list(means)
        axes.plot(rates, [sum(each) / len(each) for each in means.values()], color=FIRST, linewidth=0.9, alpha=0.6)
        axes.set_xscale("log")
        axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("learning rate", fontsize=8.5)
        title_axes(axes, title)
        said = ", ".join(f"{rate:g}: {decimal(main.metric(metric).mean, 3)}" for rate, main in found)
        part = part_name(found[0][1].part)
        return drawn(name, canvas, f"{title}, {part} part, with 95 % intervals over patients. {said}.")
