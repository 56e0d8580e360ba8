"""Sweeps on disk: what was swept over, and what an earlier sitting has left of each job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from lungseg.cli.runs import key_of, shown, status, stored_overrides
from lungseg.errors import ConfigError, ResourceError, first_five

RECORD = "sweep.yaml"
ASIDE = ".failed"
"""Folder inside a sweep that keeps failed attempts; reports look into no folder whose name begins with a dot."""
LOG = "log.txt"
Left = Literal["nothing", "unfinished", "done"]


@dataclass(frozen=True)
class Sweep:
    """The command line of a sweep.

    Args:
        overrides: as they were given.
        multirun: `-m` was given; a sweep group switches it on without.
    """

    overrides: tuple[str, ...]
    multirun: bool


def keep(folder: Path, sweep: Sweep) -> None:
    """Write down what is swept over, where that does not stand yet.

    Raises:
        ResourceError: it cannot be written.
    """
    if (folder / RECORD).exists():
        return
    content = {"multirun": sweep.multirun, "overrides": list(sweep.overrides)}
    try:
        (folder / RECORD).write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    except OSError as error:
        msg = f"{folder / RECORD} cannot be written ({error.strerror}); make room, or set paths.outputs elsewhere"
        raise ResourceError(msg) from error


def stored(folder: Path) -> Sweep | None:
    """Return the command line of the sweep in a folder, None where it holds none.

    Raises:
        ConfigError: its record is damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Sweep(tuple(str(line) for line in found["overrides"]), bool(found["multirun"]))
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        said = " ".join(str(error).split())
        msg = (
            f"{path} is damaged ({type(error).__name__}: {said}). Give the command line of the sweep again, with "
            f"hydra.sweep.dir={folder}"
        )
        raise ConfigError(msg) from error


def left(folder: Path, overrides: Sequence[str], *, resumable: bool) -> Left:
    """Say what an earlier sitting has left of a job; what has failed, or cannot be taken up, is set aside.

    Args:
        folder: of the job, in which its log may have been opened already.
        overrides: of the job.
        resumable: the verb can take up an unfinished run.

    Raises:
        ConfigError: the folder holds a job of other overrides.
    """
    if not (folder / "overrides.yaml").exists():
        return "nothing"
    before, now = _by_key(stored_overrides(folder)), _by_key(overrides)
    if before != now:
        changed = [key for key in dict.fromkeys([*before, *now]) if before.get(key) != now.get(key)]
        said = first_five(f"{key} ({before.get(key, 'not given')} before)" for key in changed)
        msg = (
            f"{shown(folder)} holds another job: {said}. Leave hydra.sweep.dir out, so that the sweep gets a new folder"
        )
        raise ConfigError(msg)
    state = status(folder).get("state")
    if state == "done":
        return "done"
    if resumable and state in ("running", "interrupted"):
        return "unfinished"
    _set_aside(folder)
    return "nothing"


def _by_key(lines: Sequence[str]) -> dict[str, str]:
    """Return the last override of every key, without what only says where."""
    return {key_of(line): line.lstrip("+") for line in lines if key_of(line) not in ("resume", "hydra.run.dir")}


def _set_aside(folder: Path) -> None:
    """Move what a job has left into a folder of its own; its log, which is open by now, is copied."""
    numbers = range(1, 1_000_000)
    place = next(p for n in numbers if not (p := folder.parent / ASIDE / f"{folder.name}_{n}").exists())
    place.mkdir(parents=True)
    for path in sorted(folder.iterdir()):
        if path.name == LOG:
            (place / LOG).write_bytes(path.read_bytes())
        else:
            path.rename(place / path.name)
