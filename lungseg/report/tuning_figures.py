"""The drawings of a study: its course, the trials side by side, and what mattered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from lungseg.report.blocks import Figure
from lungseg.report.figures import FIRST, INK, MUTED, RULE, SECOND, STYLE, canvas_of, drawn, title_axes
from lungseg.report.wording import capital, percent

Trial = Mapping[str, Any]
Axis = tuple[str, str, str]
"""Name, words and direction of an objective."""
MOST_AXES = 6
MOST_SLICES = 6
MOST_CHOICES = 12


def history_figure(trials: Sequence[Trial], place: int, axis: Axis) -> Figure | None:
    """Every trial's value by its number, and the best so far.

    Args:
        trials: of the study.
        place: of the objective.
        axis: the objective.

    Returns:
        The figure; None where no trial finished.
    """
    name, words, direction = axis
    done = [(t["number"], t["values"][place]) for t in trials if t["state"] == "complete"]
    if not done:
        return None
    stopped = [(t["number"], t["curve"][-1][1]) for t in trials if t["state"] == "pruned" and t["curve"] and place == 0]
    lost = [t["number"] for t in trials if t["state"] in ("failed", "diverged")]
    x, y = np.array([n for n, _ in done]), np.array([v for _, v in done], dtype=float)
    best = (np.maximum if direction == "max" else np.minimum).accumulate(y)
    with mpl.rc_context({**STYLE, "svg.hashsalt": f"history-{place}"}):
        canvas, axes = canvas_of(2.6)
        last = max(t["number"] for t in trials)
        axes.step([*x, last], [*best, best[-1]], where="post", color=SECOND, linewidth=1.4, label="best so far")
        axes.plot(x, y, linestyle="", marker="o", markersize=4, color=FIRST, markeredgewidth=0, label="finished")
        if stopped:
            at, value = zip(*stopped, strict=True)
            axes.plot(at, value, linestyle="", marker="o", markersize=3.4, markerfacecolor="none",
                      markeredgecolor=MUTED, markeredgewidth=0.8, label="stopped early")  # fmt: skip
        _limits(axes, y, [value for _, value in stopped], direction)
        if lost:
            low = axes.get_ylim()[0]
            axes.plot(lost, [low] * len(lost), linestyle="", marker="x", markersize=4, color=INK, clip_on=False,
                      label="failed or diverged")  # fmt: skip
        axes.set_xlabel("trial", fontsize=8.5)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        _value_axis(axes, name)
        _legend(axes)
        title_axes(axes, f"{capital(words)} by trial")
        caption = f"{capital(words)} of every trial in the order of their numbers, and the best so far."
        return drawn(f"history_{place}", canvas, caption)


def _limits(axes: Axes, done: Any, stopped: Sequence[float], direction: str) -> None:
    """Leave out of view the worst tenth where it would flatten the rest."""
    values = np.concatenate([done, np.asarray(stopped, dtype=float)])
    low, high = float(values.min()), float(values.max())
    tenth = float(np.quantile(values, 0.1 if direction == "max" else 0.9))
    if direction == "max" and len(values) >= 10 and high - low > 3 * (high - tenth) > 0:
        low = tenth
    if direction == "min" and len(values) >= 10 and high - low > 3 * (tenth - low) > 0:
        high = tenth
    room = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
    axes.set_ylim(low - room, high + room)


def _value_axis(axes: Axes, name: str) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if not name.startswith("val/"):
        axes.yaxis.set_major_formatter(FuncFormatter(short))
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)


def _legend(axes: Axes) -> None:
    axes.legend(
        frameon=False, fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=4, handlelength=1.2,
        columnspacing=1.0, handletextpad=0.4, labelcolor=MUTED,
    )  # fmt: skip


def curves_figure(trials: Sequence[Trial], best: Sequence[int], axis: Axis) -> Figure | None:
    """The validation curve of every trial: the best in colour, those stopped early broken off in grey.

    Returns:
        The figure; None where fewer than two trials told their epochs.
    """
    name, words, direction = axis
    shown = [t for t in trials if len(t["curve"]) > 1]
    if len(shown) < 2 or not name.startswith("val/"):
        return None
    ends = np.array([value for t in shown for _, value in t["curve"]], dtype=float)
    with mpl.rc_context({**STYLE, "svg.hashsalt": "curves"}):
        canvas, axes = canvas_of(2.6)
        for trial in sorted(shown, key=lambda t: (t["number"] in best, t["state"] == "complete")):
            x, y = zip(*trial["curve"], strict=True)
            if trial["number"] in best[:1]:
                axes.plot(x, y, color=SECOND, linewidth=1.8, label=f"best, trial {trial['number']}")
            elif trial["state"] == "complete":
                axes.plot(x, y, color=FIRST, linewidth=0.9, alpha=0.55)
            else:
                axes.plot(x, y, color=MUTED, linewidth=0.8, alpha=0.6)
                axes.plot(x[-1:], y[-1:], marker="o", markersize=2.5, color=MUTED, markeredgewidth=0)
        axes.plot([], [], color=FIRST, linewidth=0.9, label="finished")
        if any(t["state"] != "complete" for t in shown):
            axes.plot([], [], color=MUTED, linewidth=0.8, marker="o", markersize=2.5, label="stopped early")
        _limits(axes, ends, [], direction)
        axes.set_xlabel("epoch", fontsize=8.5)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        _value_axis(axes, name)
        _legend(axes)
        title_axes(axes, f"{capital(words)} by epoch")
        return drawn("trial_curves", canvas, f"{capital(words)} of every trial by epoch.")


def parallel_figure(
    trials: Sequence[Trial], place: int, axis: Axis, space: Sequence[Mapping[str, Any]]
) -> Figure | None:
    """Every finished trial as a line through its values, on to what it reached.

    Args:
        trials: the finished ones.
        place: of the objective.
        axis: the objective.
        space: of the search; the first six keys are drawn.

    Returns:
        The figure; None where fewer than two trials finished.
    """
    if len(trials) < 2:
        return None
    name, words, direction = axis
    shown = list(space[:MOST_AXES])
    values = np.array([t["values"][place] for t in trials], dtype=float)
    low, high = float(values.min()), float(values.max())
    reach = np.full(len(values), 0.5) if low == high else (values - low) / (high - low)
    good = reach if direction == "max" else 1 - reach
    # by rank: a single bad trial would make all others alike
    ranks = np.argsort(np.argsort(good, kind="stable"), kind="stable") / (len(good) - 1)
    with mpl.rc_context({**STYLE, "svg.hashsalt": f"parallel-{place}"}):
        canvas, axes = canvas_of(2.9)
        for number in np.argsort(ranks, kind="stable"):
            points = [_place(parameter, trials[number]["params"].get(str(parameter["key"]))) for parameter in shown]
            first = ranks[number] == 1
            axes.plot(
                range(len(shown) + 1), [*points, float(reach[number])], color=SECOND if first else FIRST,
                linewidth=1.8 if first else 0.9, alpha=1.0 if first else 0.08 + 0.6 * float(ranks[number]) ** 2,
            )  # fmt: skip
        for x in range(len(shown) + 1):
            axes.axvline(x, color=MUTED, linewidth=0.6, zorder=0)
        for x, parameter in enumerate(shown):
            for y, text in _ticks(parameter):
                axes.annotate(text, (x, y), xytext=(3, 0), textcoords="offset points", fontsize=6.5, va="center",
                              color=MUTED)  # fmt: skip
        for y, value in ((0.0, low), (1.0, high)):
            axes.annotate(_objective(name, value), (len(shown), y), xytext=(3, 0), textcoords="offset points",
                          fontsize=6.5, va="center", color=MUTED, annotation_clip=False)  # fmt: skip
        axes.set_xlim(-0.05, len(shown) + 0.32)
        axes.set_ylim(-0.06, 1.06)
        names = [*(_wrapped(str(parameter["key"])) for parameter in shown), _wrapped(words)]
        axes.set_xticks(range(len(shown) + 1), names, fontsize=7)
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(axis="x", length=0)
        title_axes(axes, "Trials side by side" if place == 0 else f"Trials side by side, {words}")
        left = f" The {len(shown)} most important of {len(space)} keys." if len(space) > len(shown) else ""
        caption = f"Each line is a finished trial: the stronger, the better its {words}; the best in vermilion.{left}"
        return drawn(f"parallel_{place}", canvas, caption)


def _place(parameter: Mapping[str, Any], value: Any) -> float:
    """Where a value lies between the ends of its axis, 0 to 1."""
    if parameter["kind"] == "choice":
        choices = [str(choice) for choice in parameter["choices"]]
        return choices.index(str(value)) / (len(choices) - 1) if str(value) in choices else math.nan
    low, high, value = float(parameter["low"]), float(parameter["high"]), float(value)
    if parameter.get("log"):
        low, high, value = math.log(low), math.log(high), math.log(value)
    return float((value - low) / (high - low))


def _ticks(parameter: Mapping[str, Any]) -> list[tuple[float, str]]:
    if parameter["kind"] != "choice":
        return [(0.0, short(parameter["low"])), (1.0, short(parameter["high"]))]
    choices = [str(choice) for choice in parameter["choices"]]
    if len(choices) > MOST_CHOICES:
        return [(0.0, choices[0]), (1.0, choices[-1])]
    return [(place / (len(choices) - 1), _cut(choice)) for place, choice in enumerate(choices)]


def importance_figure(shares: Mapping[str, float], axis: Axis, n: int) -> Figure | None:
    """Share of each key in the spread of an objective.

    Args:
        shares: by key, which add up to 1.
        axis: the objective.
        n: finished trials.

    Returns:
        The figure; None where there is no share.
    """
    rows = sorted(((key, share) for key, share in shares.items() if math.isfinite(share)), key=lambda item: item[1])[
        -10:
    ]
    if not rows:
        return None
    name, words, _ = axis
    with mpl.rc_context({**STYLE, "svg.hashsalt": f"importance-{name}"}):
        canvas, axes = canvas_of(0.55 + 0.36 * len(rows))
        places = np.arange(len(rows))
        axes.barh(places, [share for _, share in rows], height=0.34, color=FIRST)
        for y, (key, share) in zip(places, rows, strict=True):
            axes.annotate(f"{key}  {percent(share)}", (0, y + 0.21), fontsize=8, va="bottom")
        axes.set_ylim(-0.4, len(rows) - 0.1)
        axes.set_xlim(0, max(share for _, share in rows) * 1.05 or 1)
        axes.set_yticks([])
        axes.set_xticks([])
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        title_axes(axes, f"Importance for {words}")
        caption = f"Share of each key in the spread of the {words} over {n} finished trials."
        return drawn(f"importance_{name.replace('/', '_')}", canvas, caption)


def slice_figures(trials: Sequence[Trial], axis: Axis, space: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """What the trials reached by the value of each key, at most six.

    Returns:
        A figure for each key; [] where fewer than three trials finished.
    """
    done = [t for t in trials if t["state"] == "complete"]
    if len(done) < 3:
        return []
    return [_slice(done, axis, parameter, number) for number, parameter in enumerate(space[:MOST_SLICES])]


def _slice(trials: Sequence[Trial], axis: Axis, parameter: Mapping[str, Any], number: int) -> Figure:
    name, words, direction = axis
    key = str(parameter["key"])
    x = [t["params"].get(key) for t in trials]
    y = np.array([t["values"][0] for t in trials], dtype=float)
    best = int(np.argmax(y) if direction == "max" else np.argmin(y))
    with mpl.rc_context({**STYLE, "svg.hashsalt": f"slice-{number}"}):
        canvas, axes = canvas_of(2.2)
        choice = parameter["kind"] == "choice"
        choices = [str(item) for item in parameter["choices"]] if choice else []
        places: Any = [choices.index(str(item)) for item in x] if choice else x
        axes.plot(places, y, linestyle="", marker="o", markersize=4, color=FIRST, alpha=0.7, markeredgewidth=0)
        axes.plot(places[best], y[best], marker="o", markersize=5, color=SECOND, markeredgewidth=0)
        if choice:
            axes.set_xlim(-0.5, len(choices) - 0.5)
            turned = sum(len(_cut(item)) for item in choices) > 40
            axes.set_xticks(range(len(choices)), [_cut(item) for item in choices], fontsize=7,
                            rotation=30 if turned else 0, ha="right" if turned else "center")  # fmt: skip
        elif parameter.get("log"):
            axes.set_xscale("log")
            wide = float(parameter["high"]) > 100 * float(parameter["low"])
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=8))
            axes.xaxis.set_major_formatter(FuncFormatter(short))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=parameter["kind"] == "int"))
        _limits(axes, y, [], direction)
        _value_axis(axes, name)
        title_axes(axes, key)
        return drawn(
            f"slice_{number}", canvas, f"{capital(words)} of the finished trials by {key}; the best in vermilion."
        )


def front_figure(trials: Sequence[Trial], best: Sequence[int], axes_of: Sequence[Axis]) -> Figure | None:
    """The first two objectives of every finished trial, with those that no other beats.

    Returns:
        The figure; None where fewer than two trials finished.
    """
    done = [t for t in trials if t["state"] == "complete"]
    if len(done) < 2 or len(axes_of) < 2:
        return None
    (name, words, _), (other, other_words, _) = axes_of[:2]
    with mpl.rc_context({**STYLE, "svg.hashsalt": "front"}):
        canvas, axes = canvas_of(2.9)
        rest = [t["values"] for t in done if t["number"] not in best]
        front = sorted((t["values"][1], t["values"][0], t["number"]) for t in done if t["number"] in best)
        if rest:
            axes.plot([v[1] for v in rest], [v[0] for v in rest], linestyle="", marker="o", markersize=4, color=FIRST,
                      alpha=0.7, markeredgewidth=0)  # fmt: skip
        axes.plot([p[0] for p in front], [p[1] for p in front], color=SECOND, linewidth=1.0, marker="o", markersize=5,
                  markeredgewidth=0)  # fmt: skip
        for x, y, number in front[:12]:
            axes.annotate(str(number), (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7, color=MUTED)
        span = [t["values"][1] for t in done]
        if min(span) > 0 and max(span) > 30 * min(span):
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))
        if not other.startswith("val/"):
            axes.xaxis.set_major_formatter(FuncFormatter(short))
        _value_axis(axes, name)
        axes.set_xlabel(other_words, fontsize=8.5)
        title_axes(axes, f"{capital(words)} against {other_words}")
        caption = "Each dot is a finished trial; those with numbers, in vermilion, are beaten by no other in all."
        return drawn("front", canvas, caption)


def _objective(name: str, value: float) -> str:
    return f"{value:.3f}" if name.startswith("val/") else short(value)


def short(value: float, _: object = None) -> str:
    """Write a number briefly: with a unit prefix from a thousand on.

    Example:
        >>> short(0.0001), short(8), short(12_300_000), short(1.5e9)
        ('0.0001', '8', '12.3 M', '1.5 G')
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):.3g} {unit}"
    return f"{value:g}"


def _cut(text: str, most: int = 14) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _wrapped(text: str) -> str:
    """Break a key after its dots, and words at their spaces, so that six stand side by side."""
    return text.replace(".", ".\n").replace(" ", "\n")
