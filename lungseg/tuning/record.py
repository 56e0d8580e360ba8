"""`study.json`, what may not change while a study goes on, and `tuning.json`, all that its report is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from lungseg.cli.nodes import shown
from lungseg.config import differences
from lungseg.errors import ConfigError, DataError
from lungseg.run_folder import environment, write_json
from lungseg.tuning.book import TRIALS, Book, best_numbers, ended
from lungseg.tuning.plan import Plan

SETTINGS = "study.json"
RECORD = "tuning.json"
STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}
MOST_TOLD = 6


def keep_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write what may not change while a study goes on; where it stands already, hold it against that.

    Raises:
        ConfigError: something has changed; names it.
        DataError: the file is damaged.
    """
    path = folder / SETTINGS
    # as the file gives it back: tuples are lists, and NaN is null
    now = json.loads(json.dumps(settings, default=str), parse_constant=lambda _: None)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, now)
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read ({error}), so the study cannot go on; begin another: name=<another name>"
        raise DataError(msg) from error
    found = [f"{key} was {shown(old)} and is {shown(new)}" for key, old, new in differences(before, now)]
    if found:
        more = f"; and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else ""
        msg = (
            f"{folder} holds another study: {'; '.join(found[:MOST_TOLD])}{more}. Begin a study of your own by "
            "name=<another name>, or undo the changes"
        )
        raise ConfigError(msg)


def write_record(book: Book, plan: Plan, *, shares: list[dict[str, float]] | None = None) -> dict[str, Any]:
    """Write `tuning.json` from the book.

    Args:
        book: of the study.
        plan: what the trials have in common.
        shares: importance of each key, by objective; None keeps none.

    Returns:
        What was written.
    """
    latest = book.latest()
    best = best_numbers(latest, plan.search)
    trials = [_trial(book, plan, number, trial) for number, trial in sorted(latest.items())]
    record = {
        "name": book.folder.name,
        "search": plan.search.name,
        "experiment": plan.experiment,
        "method": plan.search.method,
        "pruner": plan.search.pruner.kind,
        "seed": plan.seed,
        "planned": plan.search.trials,
        "monitor": plan.monitor.name,
        "objectives": [{"name": o.name, "direction": o.direction} for o in plan.search.objectives],
        "space": [parameter.facts() for parameter in plan.search.space],
        "overrides": list(plan.lines),
        "config_dirs": list(plan.config_dirs),
        "best": best,
        "importance": shares or [],
        "trials": trials,
        "env": environment(),
    }
    write_json(book.folder / RECORD, record)
    return record


def _trial(book: Book, plan: Plan, number: int, trial: FrozenTrial) -> dict[str, Any]:
    """Return what is told of one trial."""
    end = ended(trial)
    state = "diverged" if end.get("diverged") else STATES[trial.state]
    return {
        "number": number,
        "state": state,
        "values": list(trial.values) if trial.values is not None and state == "complete" else None,
        "params": {p.key: p.written(trial.params[p.key]) for p in plan.search.space if p.key in trial.params},
        "overrides": plan.overrides(trial.params, number) if trial.params else [],
        "epoch": end.get("epoch"),
        "epochs": end.get("epochs"),
        "curve": [[epoch, value] for epoch, value in sorted(trial.intermediate_values.items())],
        "seconds": end.get("seconds"),
        "attempt": trial.user_attrs.get("attempt", 1),
        "exit_code": end.get("exit_code"),
        "error": end.get("error"),
        "folder": f"{TRIALS}/{book.trial_folder(number).name}",
    }
