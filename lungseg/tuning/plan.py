"""A search held against the configuration of its trials, before anything runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lungseg.cli.composition import Composer
from lungseg.cli.problems import quoted, raise_all, split
from lungseg.cli.runs import key_of
from lungseg.errors import ConfigError
from lungseg.tuning.search import Objective, Search
from lungseg.tuning.space import Value

TAKEN = {
    "seed": "a trial's seed is that of tune plus its number: give seed=... to tune",
    "split_seed": "all trials share the split of tune's seed: give seed=... to tune",
    "resume": "the same command again goes on with the study",
    "name": "a trial bears the name of its experiment; the study's is name=... of tune",
    "test": "trials are not tested: only the validation part may choose. Test the best one by evaluate",
    "report": "trials have no report of their own; tune writes one for all",
    "sweep": "tune makes its own runs; for a grid give search.method=grid",
}
"""Keys that no trial may be given, and why."""
OWN = ("verb", "run_dir", "overrides", "paths", "resume", "seed", "split_seed", "test", "report")
"""Keys of a trial's configuration that do not tell one study from another."""


@dataclass(frozen=True)
class Plan:
    """What all trials have in common.

    Args:
        search: with the objectives filled in.
        lines: overrides of every trial.
        config_dirs: further folders of YAML files.
        seed: trial n has the seed `seed + n`, and all have the split of `seed`.
        experiment: the name that the trials bear.
        base: configuration of a trial but for what is varied, without paths.
        monitor: value that picks the best epoch of a trial, with its direction.
        epochs: that a trial trains for at most, where that is not varied.
    """

    search: Search
    lines: tuple[str, ...]
    config_dirs: tuple[str, ...]
    seed: int
    experiment: str
    base: Mapping[str, Any]
    monitor: Objective
    epochs: int | None

    def overrides(self, values: Mapping[str, Value], number: int) -> list[str]:
        """Return the overrides of a trial.

        Args:
            values: of the varied keys.
            number: of the trial, from 0.
        """
        seeds = [f"seed={self.seed + number}", f"split_seed={self.seed}"]
        return [*self.lines, *self.search.overrides(values), *seeds, "test=none", "report=false"]

    def command(self, values: Mapping[str, Value], number: int, folder: Path) -> list[str]:
        """Return the words of a trial's command line, for a run in a folder."""
        return ["train", *self._flags(), *self.overrides(values, number), f"hydra.run.dir={quoted(str(folder))}"]

    def resuming(self, folder: Path) -> list[str]:
        """Return the words that go on with an unfinished trial."""
        return ["train", *self._flags(), f"resume={quoted(str(folder))}"]

    def _flags(self) -> list[str]:
        return [word for folder in self.config_dirs for word in ("--config-dir", folder)]

    def settings(self) -> dict[str, Any]:
        """Return what may not change while a study goes on."""
        return {
            "search.method": self.search.method,
            "search.objectives": {objective.name: objective.direction for objective in self.search.objectives},
            "search.space": {parameter.key: parameter.facts() for parameter in self.search.space},
            "seed": self.seed,
            "monitor": self.monitor.name,
            **{key: value for key, value in self.base.items() if key not in OWN},
        }


def make_plan(search: Search, lines: Sequence[str], conf: Path, config_dirs: Sequence[str], *, seed: int) -> Plan:
    """Hold a search against the configuration of its trials.

    Every key is tried with the ends of its range, or with all that is listed, one at a time beside the first value of
    all others; that costs milliseconds and finds what would end every trial.

    Args:
        search: as read.
        lines: overrides of every trial.
        conf: folder of the shipped YAML files.
        config_dirs: further ones.
        seed: of the study.

    Raises:
        ConfigError: all that is wrong.
    """
    given = {re.split(r"[.\[]", key_of(line))[0] for line in lines}
    problems = [f"{name}: no override of a trial, since {TAKEN[name]}" for name in TAKEN if name in given]
    for parameter in search.space:
        root = re.split(r"[.\[]", parameter.key)[0]
        if root in TAKEN or root in ("hydra", "paths"):
            why = TAKEN.get(root, "it would not change what is learnt")
            problems.append(f"search.space.{parameter.key}: cannot be varied, since {why}")
        if parameter.key in {key_of(line) for line in lines}:
            problems.append(
                f"search.space.{parameter.key}: is varied, and given as {parameter.key}=... too; leave one out"
            )
    raise_all(problems)
    composer = Composer("train", conf, config_dirs)
    base = composer.compose(lines)
    if base.multirun:
        raise_all([f"sweep: no override of a trial, since {TAKEN['sweep']}"])
    _try_values(search, lines, composer)
    config = base.config
    monitor = Objective(str(config["monitor"]), str(config["monitor_mode"]))
    varied = {parameter.key for parameter in search.space}
    for objective in search.objectives:
        if objective.name == monitor.name and objective.direction != monitor.direction:
            raise_all(
                [f"search.objectives: {monitor.name}: {objective.direction}, but monitor_mode={monitor.direction}"]
            )
    return Plan(
        search=replace(search, objectives=search.objectives or (monitor,)),
        lines=tuple(lines),
        config_dirs=tuple(str(folder) for folder in config_dirs),
        seed=seed,
        experiment=str(config["name"]),
        base={key: value for key, value in config.items() if key not in OWN},
        monitor=monitor,
        epochs=None if "trainer.max_epochs" in varied else (config.get("trainer") or {}).get("max_epochs"),
    )


def _try_values(search: Search, lines: Sequence[str], composer: Composer) -> None:
    """Compose the configuration with every value that is tried.

    Raises:
        ConfigError: names each key that does not fit, and with which value.
    """
    first = {parameter.key: parameter.probes()[0] for parameter in search.space}
    problems: list[str] = []
    for parameter in search.space:
        for value in parameter.probes():
            given = {**first, parameter.key: value}
            try:
                composer.compose([*lines, *search.overrides(given)])
            except ConfigError as error:
                line = parameter.override(value)
                for text in split(error):
                    other = next((p.key for p in search.space if text.startswith((f"{p.key}=", f"{p.key}:"))), None)
                    if other not in (None, parameter.key):
                        continue  # told where that key is tried
                    said = text if text.startswith(f"{parameter.key}") else f"{line}: {text}"
                    problems.append(f"search.space.{said}")
    raise_all(problems)
