"""The report of a study: what was sought, what was found, what mattered, and what failed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lungseg.errors import DataError
from lungseg.report.blocks import (
    Block,
    Cell,
    Column,
    Facts,
    Figure,
    Figures,
    Folded,
    Page,
    Section,
    Table,
    Text,
    Tile,
    Tone,
)
from lungseg.report.tuning_figures import (
    curves_figure,
    front_figure,
    history_figure,
    importance_figure,
    parallel_figure,
    short,
    slice_figures,
)
from lungseg.report.wording import (
    DASH,
    capital,
    decimal,
    duration,
    listed,
    metric_name,
    some,
    to_count,
    to_float,
)

RECORD = "tuning.json"
METHODS = {"tpe": "TPE", "random": "random search", "grid": "a grid"}
PRUNERS = {"median": "the median", "percentile": "a percentile", "hyperband": "Hyperband"}
COSTS = {
    "parameters": "parameters",
    "macs": "multiply-accumulates",
    "seconds_per_epoch": "seconds per epoch",
}
STATES = {
    "complete": "finished",
    "pruned": "stopped early",
    "diverged": "diverged",
    "failed": "failed",
    "running": "unfinished",
}
TONES: dict[str, Tone] = {"complete": "", "failed": "bad", "diverged": "warn"}
MOST_ROWS = 200
HOW_TO_READ = (
    "A trial is one training with one choice of values, in a folder of its own. Its figures are of the epoch that its "
    "monitor chose, whose weights are kept, and of the validation part: the test part was not read.",
    "The best of many trials looks better on the validation part than it is, the more so the more trials there are. "
    "Test the one you choose, once, and compare seeds before you call one setting better than another.",
    "Trials that were stopped early have no final figure; they are drawn where they stood.",
    "Importance is the share of a key, by itself and together with others, in the spread of the figures over the "
    "searched ranges (fANOVA, Hutter, Hoos and Leyton-Brown, 2014). It describes these ranges, not the key as such.",
    "Not a medical device.",
)


@dataclass(frozen=True)
class Study:
    """A study as `tuning.json` tells it.

    Attributes:
        folder: of the study.
        record: what the file holds.
    """

    folder: Path
    record: Mapping[str, Any]

    @property
    def objectives(self) -> list[tuple[str, str]]:
        """Name and direction of what is sought."""
        return [(str(o["name"]), str(o["direction"])) for o in self.record["objectives"]]

    @property
    def trials(self) -> list[Mapping[str, Any]]:
        """All trials that were begun, by number."""
        return list(self.record["trials"])

    @property
    def keys(self) -> list[str]:
        """The keys that were varied."""
        return [str(parameter["key"]) for parameter in self.record["space"]]

    def of(self, *states: str) -> list[Mapping[str, Any]]:
        """The trials that ended in one of some ways."""
        return [trial for trial in self.trials if trial["state"] in states]

    def best(self) -> list[Mapping[str, Any]]:
        """The best trial; with several objectives the Pareto front."""
        by_number = {trial["number"]: trial for trial in self.trials}
        return [by_number[number] for number in self.record["best"] if number in by_number]

    def ranked(self) -> list[Mapping[str, Any]]:
        """Finished trials, best first by the first objective; then those stopped early, the last to stop first."""
        sign = -1.0 if self.objectives[0][1] == "max" else 1.0
        done = sorted(self.of("complete"), key=lambda trial: (sign * trial["values"][0], trial["number"]))
        rest = sorted(self.of("pruned"), key=lambda trial: (-(trial["epochs"] or 0), trial["number"]))
        return [*done, *rest, *self.of("diverged"), *self.of("failed"), *self.of("running")]


def is_study(folder: Path) -> bool:
    """Whether a folder is that of a study."""
    return (folder / RECORD).is_file()


def read_study(folder: Path) -> Study:
    """Read the folder of a study.

    Raises:
        DataError: its record is damaged.
    """
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        study = Study(folder, record)
        _ = study.objectives[0], study.keys, study.ranked(), study.best()
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        said = " ".join(str(error).split())
        msg = (
            f"{path} is damaged ({type(error).__name__}: {said}). The same tune command writes it again; the trials "
            "that have finished are not repeated"
        )
        raise DataError(msg) from error
    return study


def tuning_page(study: Study, *, title: str | None = None) -> Page:
    """Put together the report of a study.

    Args:
        study: as read.
        title: instead of the study's name.
    """
    sections = [
        Section("Best", "best", _best(study)),
        Section("Course of the search", "history", _history(study)),
        Section("What mattered", "importance", _importance(study)),
        Section("All trials", "trials", _trials(study)),
        Section("Trials that failed", "failed", _failed(study)),
        Section("The search", "search", _search(study)),
    ]
    return Page(
        eyebrow="lungseg tuning",
        title=title or str(study.record["name"]),
        summary=_summary(study),
        banners=_banners(study),
        tiles=_tiles(study),
        sections=tuple(section for section in sections if section.blocks),
        footer=HOW_TO_READ,
    )


def objective_name(name: str) -> str:
    """Say an objective in words.

    Example:
        >>> objective_name("val/dice"), objective_name("macs")
        ('validation Dice', 'multiply-accumulates')
    """
    return f"validation {metric_name(name.removeprefix('val/'))}" if name.startswith("val/") else COSTS.get(name, name)


def value_text(name: str, value: object) -> str:
    """Write the value of an objective.

    Example:
        >>> value_text("val/dice", 0.93127), value_text("macs", 1.25e9), value_text("val/dice", None)
        ('0.9313', '1.25 G', '–')
    """
    number = to_float(value)
    if name.startswith("val/") or not math.isfinite(number):
        return decimal(number)
    return f"{number:.3g}" if name == "seconds_per_epoch" else short(number)


def setting_text(value: object) -> str:
    """Write the value of a varied key.

    Example:
        >>> setting_text(0.00123456), setting_text(8), setting_text("bce_dice")
        ('0.001235', '8', 'bce_dice')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _summary(study: Study) -> str:
    record = study.record
    done, planned = len(study.of("complete", "pruned", "diverged")), to_count(record.get("planned")) or 0
    how = METHODS.get(str(record.get("method")), str(record.get("method")))
    first = f"{some(done, 'trial')} of {planned:,} planned have ended, of {record.get('experiment')} by {how}."
    best = study.best()
    if not best:
        return f"{first} None has finished."
    (name, direction), *others = study.objectives
    if others:
        said = listed([f"{objective_name(n)} ({'high' if d == 'max' else 'low'})" for n, d in study.objectives])
        return f"{first} {some(len(best), 'trial is', 'trials are')} not beaten in all of {said} by any other."
    settings = listed([f"{key} = {setting_text(best[0]['params'].get(key))}" for key in study.keys])
    end = "highest" if direction == "max" else "lowest"
    value = value_text(name, best[0]["values"][0])
    return f"{first} The {end} {objective_name(name)} is {value}, of trial {best[0]['number']}, with {settings}."


def _banners(study: Study) -> tuple[Text, ...]:
    found = []
    failed, running = study.of("failed"), study.of("running")
    if failed:
        found.append(Text(f"{some(len(failed), 'trial')} failed; the same command does them again.", tone="bad"))
    missing = (to_count(study.record.get("planned")) or 0) - len(study.trials) + len(running)
    if missing > 0:
        found.append(Text(f"{some(missing, 'trial')} are missing; the same command does them.", tone="warn"))
    return tuple(found)


def _tiles(study: Study) -> tuple[Tile, ...]:
    best = study.best()
    tiles = []
    for place, (name, _) in enumerate(study.objectives):
        if best and len(study.objectives) == 1:
            sub = f"trial {best[0]['number']}, epoch {best[0]['epoch']}"
            tiles.append(Tile(f"best {objective_name(name)}", value_text(name, best[0]["values"][place]), sub))
    counts = {state: len(study.of(state)) for state in STATES}
    said = [f"{n} {STATES[state]}" for state, n in counts.items() if n and state != "complete"]
    tiles.append(Tile("trials finished", str(counts["complete"]), ", ".join(said)))
    seconds = sum(to_float(trial.get("seconds")) for trial in study.trials if trial.get("seconds"))
    tiles.append(Tile("time of all trials", duration(seconds), "one after the other"))
    return tuple(tiles)


def _best(study: Study) -> tuple[Block, ...]:
    best = study.best()
    if not best:
        return ()
    blocks: list[Block] = []
    if len(study.objectives) > 1:
        figure = front_figure(study.trials, study.record["best"], _axes(study))
        blocks += [Figures((figure,))] if figure is not None else []
        blocks.append(_table(study, best, "Trials that no other beats in all objectives"))
    number, folder = best[0]["number"], study.folder / str(best[0]["folder"])
    facts = [(key, setting_text(best[0]["params"].get(key))) for key in study.keys]
    if len(study.objectives) == 1:
        blocks.append(Facts(tuple(facts)))
    again = " ".join(_shell(line) for line in _repeatable(best[0]))
    blocks += [
        Folded(f"Test the network of trial {number}, once", f"python -m lungseg evaluate checkpoint={folder}"),
        Folded(f"Train trial {number} again, with test and report", f"python -m lungseg {again}"),
    ]
    return tuple(blocks)


def _repeatable(trial: Mapping[str, Any]) -> list[str]:
    """Overrides of a trial without those that keep it from being tested."""
    return [str(line) for line in trial["overrides"] if line not in ("test=none", "report=false")]


def _shell(line: str) -> str:
    """Quote an override for the shell where it needs it."""
    return line if all(sign not in line for sign in "[]{}()'\" $*?;&|<>") else "'" + line.replace("'", "'\\''") + "'"


def _axes(study: Study) -> list[tuple[str, str, str]]:
    """Name, words and direction of the objectives."""
    return [(name, objective_name(name), direction) for name, direction in study.objectives]


def _history(study: Study) -> tuple[Block, ...]:
    figures: list[Figure] = []
    for place, axis in enumerate(_axes(study)):
        figure = history_figure(study.trials, place, axis)
        figures += [figure] if figure is not None else []
    curves = curves_figure(study.trials, study.record["best"], _axes(study)[0])
    figures += [curves] if curves is not None else []
    return (Figures(tuple(figures)),) if figures else ()


def _importance(study: Study) -> tuple[Block, ...]:
    axes, shares = _axes(study), list(study.record.get("importance") or [])
    order = sorted(study.keys, key=lambda key: -shares[0].get(key, 0.0)) if shares else study.keys
    figures: list[Figure] = []
    space = {str(parameter["key"]): parameter for parameter in study.record["space"]}
    for place, axis in enumerate(axes):
        figure = parallel_figure(study.of("complete"), place, axis, [space[key] for key in order])
        figures += [figure] if figure is not None else []
    n = len(study.of("complete"))
    for axis, share in zip(axes, shares, strict=False):
        figure = importance_figure(share, axis, n)
        figures += [figure] if figure is not None else []
    figures += slice_figures(study.trials, axes[0], [space[key] for key in order])
    blocks: list[Block] = [Figures(tuple(figures))] if figures else []
    if figures and not shares and len(study.keys) > 1:
        blocks.append(Text(f"Importance needs six finished trials; there are {n}.", tone="muted"))
    return tuple(blocks)


def _table(study: Study, trials: Sequence[Mapping[str, Any]], caption: str = "", *, tall: bool = False) -> Table:
    best = set(study.record["best"])
    columns = (
        Column("Trial"),
        *(Column(capital(objective_name(name))) for name, _ in study.objectives),
        *(Column(key, numeric=_is_number(trials, key)) for key in study.keys),
        Column("Epoch"),
        Column("Ended", numeric=False),
        Column("Time"),
    )
    rows = []
    for trial in trials:
        values = trial["values"] or [None] * len(study.objectives)
        state = str(trial["state"])
        rows.append(
            (
                Cell(str(trial["number"]), tone="good" if trial["number"] in best else ""),
                *(Cell(value_text(n, v)) for (n, _), v in zip(study.objectives, values, strict=True)),
                *(Cell(setting_text(trial["params"].get(key, DASH))) for key in study.keys),
                Cell(_epoch(trial)),
                Cell(
                    STATES.get(state, state),
                    tone=TONES.get(state, "muted"),
                ),
                Cell(duration(to_float(trial.get("seconds")))),
            )
        )
    return Table(columns, tuple(rows), caption=caption, sortable=True, tall=tall)


def _is_number(trials: Sequence[Mapping[str, Any]], key: str) -> bool:
    return all(isinstance(trial["params"].get(key, 0), int | float) for trial in trials)


def _epoch(trial: Mapping[str, Any]) -> str:
    epoch, epochs = to_count(trial.get("epoch")), to_count(trial.get("epochs"))
    if epoch is None:
        return DASH if epochs is None else str(epochs)
    return f"{epoch} of {epochs}"


def _trials(study: Study) -> tuple[Block, ...]:
    ranked = study.ranked()
    if not ranked:
        return ()
    blocks: list[Block] = [_table(study, ranked[:MOST_ROWS], tall=len(ranked) > 20)]
    if len(ranked) > MOST_ROWS:
        blocks.append(Text(f"{len(ranked) - MOST_ROWS:,} more stand in {RECORD}.", tone="muted"))
    return tuple(blocks)


def _failed(study: Study) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for state, caption in (("failed", ""), ("diverged", "Diverged: the loss was no number; not done again")):
        trials = study.of(state)
        if not trials:
            continue
        columns = (
            Column("Trial"), Column("Exit code"), Column("First line of the error", numeric=False),
            Column("Overrides", numeric=False),
        )  # fmt: skip
        rows = tuple(
            (
                Cell(str(trial["number"])),
                Cell(str(trial["exit_code"])),
                Cell(str(trial["error"] or DASH)),
                Cell(" ".join(str(line) for line in trial["overrides"])),
            )
            for trial in trials
        )
        blocks.append(Table(columns, rows, caption=caption))
    return tuple(blocks)


def _search(study: Study) -> tuple[Block, ...]:
    record = study.record
    facts = [
        ("Method", capital(METHODS.get(str(record.get("method")), str(record.get("method"))))),
        ("Objectives", listed([f"{objective_name(n)}, {d}imum" for n, d in study.objectives])),
        ("Epoch chosen by", objective_name(str(record.get("monitor")))),
        ("Seed", f"{record.get('seed')} + the trial's number; one split for all"),
    ]
    pruner = str(record.get("pruner"))
    if pruner in PRUNERS:
        facts.append(("Stopped early by", PRUNERS[pruner]))
    if record.get("overrides"):
        facts.append(("Every trial", " ".join(str(line) for line in record["overrides"])))
    ranges = [(str(parameter["key"]), _range(parameter)) for parameter in record["space"]]
    text = yaml.safe_dump({key: record[key] for key in ("search", "space", "objectives")}, sort_keys=False)
    return (Facts(tuple(facts)), Facts(tuple(ranges)), Folded("The search as YAML", text))


def _range(parameter: Mapping[str, Any]) -> str:
    if parameter["kind"] == "choice":
        return ", ".join(str(choice) for choice in parameter["choices"])
    said = f"{setting_text(parameter['low'])} to {setting_text(parameter['high'])}"
    if parameter.get("log"):
        said += ", by factors"
    if parameter.get("step") and (parameter["kind"] == "float" or parameter["step"] != 1):
        said += f", in steps of {parameter['step']:g}"
    return said
