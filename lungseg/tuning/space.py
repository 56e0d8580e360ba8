"""The space of a search: which keys are varied, between which ends, and how a value is written as an override."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lungseg.cli.nodes import shown
from lungseg.cli.problems import quoted, raise_all
from lungseg.errors import near_name

Value = int | float | str
PARTS = ("low", "high", "log", "step", "points", "type")
MOST_CELLS = 10_000
"""No grid is larger: nobody waits for ten thousand trainings, and a mistyped step makes millions."""


@dataclass(frozen=True)
class Parameter:
    """One key that is varied.

    Args:
        key: of the override, such as `optimizer.lr`, or a group, such as `loss`.
        kind: whether its values are numbers between two ends, whole numbers, or some that are listed.
        low: lower end, part of the range.
        high: upper end, part of the range.
        log: whether factors count instead of differences.
        step: between neighbouring values; None = any value.
        points: values that a grid takes of a range.
        choices: what is listed, each as an override writes it.
    """

    key: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    points: int | None = None
    choices: tuple[str, ...] = ()

    def override(self, value: Value) -> str:
        """Write a value as an override.

        Example:
            >>> Parameter("optimizer.lr", "float", 1e-4, 1e-1).override(0.01)
            'optimizer.lr=0.01'
        """
        return f"{self.key}={self.written(value)}"

    def written(self, value: Value) -> Value:
        """Return a value as the override writes it."""
        return value if self.kind == "choice" else self._number(float(value))

    def probes(self) -> tuple[Value, ...]:
        """Return the values that are tried against the configuration: both ends, or all that are listed."""
        return self.choices or (self._number(self.low), self._number(self.high))

    def cells(self) -> tuple[Value, ...] | None:
        """Return the values that a grid takes, None where the range has no end of them."""
        if self.kind == "choice":
            return self.choices
        if self.points is not None:
            spread = np.geomspace if self.log else np.linspace
            inner = [self._number(float(value)) for value in spread(self.low, self.high, self.points)][1:-1]
            found = [self._number(self.low), *inner, self._number(self.high)]
            return tuple(dict.fromkeys(found))
        if self.step is None:
            return None
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        return tuple(self._number(self.low + place * self.step) for place in range(min(count, MOST_CELLS + 1)))

    def _number(self, value: float) -> Value:
        """Return a number of the range, without the rounding error that a step makes (0.30000000000000004)."""
        return round(value) if self.kind == "int" else float(f"{value:.12g}")

    def distribution(self) -> Any:
        """Return the range as Optuna has it."""
        from optuna import distributions as of

        if self.kind == "choice":
            return of.CategoricalDistribution(list(self.choices))
        if self.kind == "int":
            return of.IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return of.FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def facts(self) -> dict[str, Any]:
        """Return what a file says of it."""
        if self.kind == "choice":
            return {"key": self.key, "kind": self.kind, "choices": list(self.choices)}
        return {
            "key": self.key, "kind": self.kind, "low": self._number(self.low), "high": self._number(self.high),
            "log": self.log, "step": self.step, "points": self.points,
        }  # fmt: skip


def read_space(node: object, where: str) -> tuple[Parameter, ...]:
    """Read the space of a search.

    Args:
        node: key to range, `{low: 1.0e-5, high: 0.1, log: true}`, or to a list of values. Keys may stand with their
            dots, or as maps in each other.
        where: the key that it stands under, for messages.

    Raises:
        ConfigError: all that is wrong with it.
    """
    if not isinstance(node, Mapping) or not node:
        raise_all([f"{where} is empty: name the keys to vary, such as {where}.optimizer.lr={{low: 1e-4, high: 0.1}}"])
        return ()
    problems: list[str] = []
    found = []
    for key, spec in _flat(node):
        made, wrong = _parameter(key, spec)
        problems += [f"{where}.{key}{text}" for text in wrong]
        found += [made] if made is not None else []
    keys = [parameter.key for parameter in found]
    problems += [f"{where}.{key} is given twice" for key in sorted({key for key in keys if keys.count(key) > 1})]
    raise_all(problems)
    return tuple(found)


def grid_of(space: Sequence[Parameter], where: str) -> list[dict[str, Value]]:
    """Return every cell of the grid, the last key varied first, as Hydra's own sweeps have it.

    Raises:
        ConfigError: a range has no end of values, or there are too many cells.
    """
    axes = [(parameter.key, parameter.cells()) for parameter in space]
    raise_all(
        f"{where}.{key} has no end of values for a grid: give points (how many), step, or a list"
        for key, cells in axes
        if cells is None
    )
    size = math.prod(len(cells or ()) for _, cells in axes)
    if size > MOST_CELLS:
        raise_all([f"{where} has {size:,} cells or more; a grid may have {MOST_CELLS:,}: give fewer points"])
    return [
        dict(zip([key for key, _ in axes], cell, strict=True))
        for cell in itertools.product(*(cells or () for _, cells in axes))
    ]


def _flat(node: Mapping[Any, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys with their dots, and what each is varied over."""
    for key, value in node.items():
        path = f"{start}{key}"
        if isinstance(value, Mapping) and value and not {"low", "high"} & set(value):
            yield from _flat(value, f"{path}.")
        elif value is not None:  # set to null on the command line: no longer varied
            yield path, value


def _parameter(key: str, spec: object) -> tuple[Parameter | None, list[str]]:
    """Make one parameter, or say what is wrong with it."""
    if isinstance(spec, list):
        choices = tuple(_text(value) for value in spec)
        if len(choices) < 2 or len(set(choices)) < len(choices):
            return None, [f"={shown(spec)} must list two values or more, each once"]
        return Parameter(key, "choice", choices=choices), []
    if not isinstance(spec, Mapping):
        return None, [f"={shown(spec)} is no range: give {{low: ..., high: ...}} or a list of values"]
    problems = []
    for name in spec:
        if name not in PARTS:
            near = near_name(str(name), PARTS)
            problems.append(f".{name} is no part of a range" + (f"; did you mean `{near}`?" if near else ""))
    ends = {name: spec.get(name) for name in ("low", "high")}
    problems += [f".{name}={shown(value)} is no number" for name, value in ends.items() if not _finite(value)]
    if problems:
        return None, problems
    return _range(key, spec)


def _range(key: str, spec: Mapping[Any, Any]) -> tuple[Parameter | None, list[str]]:
    low, high, log, step, points = (spec.get(name) for name in ("low", "high", "log", "step", "points"))
    whole = all(isinstance(value, int) for value in (low, high, *([] if step is None else [step])))
    kind = spec.get("type") or ("int" if whole else "float")
    problems = []
    if kind not in ("int", "float"):
        problems.append(f".type={shown(kind)} is neither int nor float")
    elif kind == "int" and not whole:
        problems.append(f".type=int, but an end or the step is no whole number: {shown(dict(spec))}")
    if not isinstance(log, bool | None):
        problems.append(f".log={shown(log)} is neither true nor false")
    if not float(low) < float(high):  # type: ignore[arg-type]
        problems.append(f": low={shown(low)} is not below high={shown(high)}")
    elif log and float(low) <= 0:  # type: ignore[arg-type]
        problems.append(f": log=true needs a low above 0, and it is {shown(low)}")
    if step is not None and (not _finite(step) or float(step) <= 0):
        problems.append(f".step={shown(step)} is no number above 0")
    elif step is not None and log:
        problems.append(": log and step exclude each other")
    elif step is not None and not problems:
        problems += _uneven(float(low), float(high), float(step))  # type: ignore[arg-type]
    if points is not None and (not isinstance(points, int) or isinstance(points, bool) or points < 2):
        problems.append(f".points={shown(points)} is no whole number from 2 on")
    if problems:
        return None, problems
    if kind == "int" and step is None and not log and points is None:
        step = 1
    return Parameter(key, kind, float(low), float(high), bool(log), step, points), []  # type: ignore[arg-type]


def _uneven(low: float, high: float, step: float) -> list[str]:
    """Refuse a step that does not reach the upper end: Optuna would lower the end, with a warning at best."""
    steps = (high - low) / step
    if abs(steps - round(steps)) < 1e-6:
        return []
    return [f": steps of {step:g} from {low:g} do not reach {high:g}; give high={low + math.floor(steps) * step:g}"]


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _text(value: object) -> str:
    """Write a listed value as an override has it, so that a text stays a text.

    Example:
        >>> [_text(value) for value in (3, 0.5, None, True, "bce", "true", "3", "a b", [16, 32])]
        ['3', '0.5', 'null', 'true', 'bce', "'true'", "'3'", "'a b'", '[16,32]']
    """
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(_text(item) for item in value)}]"
    if not isinstance(value, str):
        return shown(value)
    plain = re.fullmatch(r"[A-Za-z_][\w./+-]*", value) and value.lower() not in {"true", "false", "null", "nan", "inf"}
    return value if plain else quoted(value)
