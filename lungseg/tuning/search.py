"""What a search is: method, number of trials, objectives, pruning and space, read from `conf/search/<name>.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lungseg.cli.nodes import shown
from lungseg.cli.problems import raise_all
from lungseg.errors import near_name
from lungseg.tuning.space import Parameter, Value, grid_of, read_space

METHODS = ("tpe", "random", "grid")
PRUNERS = ("none", "median", "percentile", "hyperband")
DIRECTIONS = ("max", "min")
COSTS = ("parameters", "macs", "seconds_per_epoch")
"""What may be an objective besides the values of the validation part: sizes of the network, and its time."""
COUNTS = {"trials": (1, 1), "startup": (1, 10), "pruner_startup": (0, 5), "pruner_warmup": (0, 1)}
"""Whole numbers, each with its least value and its default."""
KEYS = {"name", "method", "objectives", "space", "pruner", "percentile", *COUNTS}


@dataclass(frozen=True)
class Objective:
    """What is sought: a column of `epochs.csv` that begins with `val/`, or one of COSTS; and whether much or little."""

    name: str
    direction: str

    @property
    def measured(self) -> bool:
        """Whether it is a value of the validation part, of which every epoch has one."""
        return self.name.startswith("val/")

    def better(self, value: float, other: float) -> bool:
        """Say whether a value is better than another."""
        return value > other if self.direction == "max" else value < other


@dataclass(frozen=True)
class Pruner:
    """When a trial is stopped early.

    Args:
        kind: one of PRUNERS: worse than the median, or a percentile, of earlier trials at the same epoch; or Hyperband.
        startup: trials that must have finished before.
        warmup: epochs that every trial may train.
        percentile: of earlier trials that may go on, from 0 to 100.
    """

    kind: str = "none"
    startup: int = 5
    warmup: int = 1
    percentile: float = 50.0


@dataclass(frozen=True)
class Search:
    """A whole search.

    Args:
        name: of its file.
        method: one of METHODS.
        trials: how many there are at the end.
        startup: random trials before TPE learns from them.
        objectives: what is sought, the first leads; empty = what the run's `monitor` says.
        pruner: when a trial is stopped early.
        space: what is varied.
        grid: the cells of a grid, in order; empty for other methods.
    """

    name: str
    method: str
    trials: int
    startup: int
    objectives: tuple[Objective, ...]
    pruner: Pruner
    space: tuple[Parameter, ...]
    grid: tuple[Mapping[str, Value], ...] = ()

    def overrides(self, values: Mapping[str, Value]) -> list[str]:
        """Write a trial's values as overrides, in the order of the space."""
        return [parameter.override(values[parameter.key]) for parameter in self.space]


def read_search(node: Mapping[str, Any]) -> Search:
    """Read a search from the configuration.

    Args:
        node: the group `search`.

    Raises:
        ConfigError: all that is wrong with it.
    """
    problems = []
    for key in node:
        if key not in KEYS:
            near = near_name(str(key), KEYS)
            hint = f"did you mean `{near}`?" if near else f"it has: {', '.join(sorted(KEYS))}"
            problems.append(f"search.{key} is no key of a search; {hint}")
    for key, options, default in (("method", METHODS, "tpe"), ("pruner", PRUNERS, "none")):
        value = _given(node, key, default)
        if value not in options:
            near = near_name(str(value), options)
            hint = f"; did you mean {near}?" if near else ""
            problems.append(f"search.{key}={shown(value)} is none of {', '.join(options)}{hint}")
    for key, (least, usual) in COUNTS.items():
        value = _given(node, key, usual)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            problems.append(f"search.{key}={shown(value)} is no whole number from {least} on")
    percentile = _given(node, "percentile", 50.0)
    if not isinstance(percentile, int | float) or isinstance(percentile, bool) or not 0 <= percentile <= 100:
        problems.append(f"search.percentile={shown(percentile)} is no number from 0 to 100")
    objectives, wrong = _objectives(node.get("objectives"))
    problems += wrong
    kind = _given(node, "pruner", "none")
    if kind != "none" and len(objectives) > 1:
        problems.append(f"search.pruner={kind} cannot weigh {len(objectives)} objectives; give search.pruner=none")
    elif kind != "none" and objectives and not objectives[0].measured:
        problems.append(f"search.pruner={kind} needs a value of every epoch, and {objectives[0].name} is none")
    raise_all(problems)
    space = read_space(node.get("space"), "search.space")
    method, trials = str(_given(node, "method", "tpe")), node.get("trials")
    grid = grid_of(space, "search.space") if method == "grid" else []
    return Search(
        name=str(node.get("name") or "search"),
        method=method,
        trials=min(trials or len(grid), len(grid)) if grid else int(trials or 20),
        startup=int(_given(node, "startup", 10)),
        objectives=objectives,
        pruner=Pruner(
            kind, _given(node, "pruner_startup", 5), _given(node, "pruner_warmup", 1), float(percentile)
        ),
        space=space,
        grid=tuple(grid),
    )  # fmt: skip


def _given(node: Mapping[str, Any], key: str, default: Any) -> Any:
    """Return a value; null and a key that is not there are the default."""
    value = node.get(key)
    return default if value is None else value


def _objectives(node: object) -> tuple[tuple[Objective, ...], list[str]]:
    """Read `objectives`, name to direction; or say what is wrong."""
    if node is None:
        return (), []
    if not isinstance(node, Mapping):
        return (), [f"search.objectives={shown(node)} is no map such as {{val/dice: max}}"]
    problems = []
    for name, direction in node.items():
        if not str(name).startswith("val/") and name not in COSTS:
            problems.append(
                f"search.objectives: {name} may not be one: only values of the validation part choose, such as "
                f"val/dice, and costs: {', '.join(COSTS)}"
            )
        if direction not in DIRECTIONS:
            problems.append(f"search.objectives: {name}: {shown(direction)} is neither max nor min")
        elif ("loss" in str(name) or name in COSTS) and direction == "max":
            problems.append(f"search.objectives: {name} is best at its minimum; give {name}: min")
    return tuple(Objective(str(name), str(direction)) for name, direction in node.items()), problems
