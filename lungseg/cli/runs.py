"""Run folders on disk: unique names, taking up an unfinished run, and what failed in a sweep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from lungseg.errors import ConfigError, ResourceError
from lungseg.lock import FolderLock

STAMP = "%Y-%m-%d_%H-%M-%S"


@dataclass(frozen=True)
class Outcome:
    """How one job ended.

    Args:
        overrides: what it was started with.
        exit_code: 0 when it went well.
        error: the message, None when it went well.
        folder: its run folder, None for a verb without one.
    """

    overrides: tuple[str, ...]
    exit_code: int
    error: str | None = None
    folder: Path | None = None


def new_folder(parent: Path) -> Path:
    """Make a folder named by the time; of two runs that start in the same second one gets a suffix.

    Raises:
        ResourceError: it cannot be made.
    """
    stamp = datetime.now().strftime(STAMP)
    number = 1
    while True:
        folder = parent / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            if not parent.is_dir():
                msg = f"{parent} is a file, so no run folder can be made in it; set paths.outputs to another folder"
                raise ResourceError(msg) from None
            number += 1
        except OSError as error:
            msg = f"{folder} cannot be made ({error.strerror}); set paths.outputs to a folder that can be written"
            raise ResourceError(msg) from error
        else:
            return folder


def refuse_unwritable(folder: Path) -> None:
    """Try whether a run folder can be written, before Hydra opens the log in it and anything heavy is imported.

    Raises:
        ResourceError: it cannot be made or written, or not a mebibyte is free.
    """
    trial = folder / ".trial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            trial.write_bytes(bytes(2**20))
        finally:
            trial.unlink(missing_ok=True)
    except OSError as error:
        with suppress(OSError):
            folder.rmdir()  # only if it is empty
        msg = f"{folder} cannot be written ({error.strerror}); make room, or set paths.outputs to another folder"
        raise ResourceError(msg) from error


def shown(folder: Path) -> Path:
    """Return a folder relative to the working folder where it lies below it: shorter, and it names no person."""
    absolute, here = folder.absolute(), Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute


def status(folder: Path) -> dict[str, Any]:
    """Return the content of `status.json`, {} when there is none or it is damaged."""
    try:
        found = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def stored_overrides(folder: Path) -> list[str]:
    """Return the overrides a run was started with, but for `resume`.

    Raises:
        ConfigError: the folder is not there, or is no run folder.
    """
    if not folder.is_dir():
        msg = f"resume={folder}: there is no such folder; give a run folder, such as outputs/phantom/<time>, or auto"
        if folder.is_file():
            msg = f"resume={folder} is a file; give the run folder, such as {folder.parent.parent}, or auto"
        raise ConfigError(msg)
    try:
        found = yaml.safe_load((folder / "overrides.yaml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"resume={folder} is no run folder: it holds no overrides.yaml; give outputs/<name>/<time>, or auto"
        raise ConfigError(msg) from None
    except (OSError, yaml.YAMLError) as error:
        msg = f"{folder / 'overrides.yaml'} cannot be read ({error}); without it the run cannot be resumed"
        raise ConfigError(msg) from None
    if not isinstance(found, list | None):
        msg = f"{folder / 'overrides.yaml'} holds no list of overrides, so the run cannot be resumed"
        raise ConfigError(msg)
    return [str(line) for line in found or [] if key_of(str(line)) != "resume"]


def key_of(line: str) -> str:
    """Return the key of an override.

    Example:
        >>> key_of("++model.dropout=0.1"), key_of("~logger")
        ('model.dropout', 'logger')
    """
    return line.partition("=")[0].lstrip("+~")


def newest_unfinished(parent: Path, overrides: Sequence[str]) -> Path | None:
    """Return the newest run folder with the same overrides that neither ended well nor is still at work.

    Args:
        parent: folder of the runs of one name.
        overrides: of the run to be, in any order.
    """
    wanted = sorted(_comparable(overrides))
    for file in sorted(parent.glob("*/status.json"), key=lambda f: f.parent.name, reverse=True):
        found = status(file.parent)
        if found.get("state") == "done" or FolderLock.holder(file.parent) is not None:
            continue
        try:
            stored = stored_overrides(file.parent)
        except ConfigError:
            continue
        if sorted(_comparable(stored)) == wanted:
            return file.parent
    return None


def _comparable(lines: Sequence[str]) -> list[str]:
    return [line.lstrip("+") for line in lines if key_of(line) != "resume" and not key_of(line).startswith("hydra")]


def record_end(folder: Path, verb: str, outcome: Outcome) -> None:
    """Write `status.json` and `overrides.yaml` of a job that failed before it wrote them, or that writes none."""
    if (folder / "status.json").exists():
        return
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    content = {
        "verb": verb,
        "state": {0: "done", 75: "interrupted", 130: "interrupted"}.get(outcome.exit_code, "failed"),
        "exit_code": outcome.exit_code,
        "error": outcome.error,
        "started": now,
        "ended": now,
        "seconds": 0.0,
    }
    try:
        (folder / "status.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        if not (folder / "overrides.yaml").exists():
            (folder / "overrides.yaml").write_text(yaml.safe_dump(list(outcome.overrides)), encoding="utf-8")
    except OSError:
        return  # the disk is what failed; the message on the screen has said so


def correct_end(folder: Path, code: int, error: str) -> None:
    """Put the first cause into the `status.json` of a run of several processes.

    The process that writes it may have been ended before it could, or know only that another one is gone.
    """
    found = status(folder)
    if not found or found.get("state") == "done":
        return
    error = error.strip().splitlines()[-1] if error.startswith("Traceback") else error
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    state = {75: "interrupted", 130: "interrupted", 5: "diverged"}.get(code, "failed")
    content = {**found, "state": state, "exit_code": code, "error": error, "ended": found.get("ended") or now}
    with suppress(OSError):
        (folder / "status.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def outcomes_of(sweep: Path) -> list[Outcome]:
    """Read how the jobs of a sweep ended, for launchers that run them in other processes."""
    found = []
    for folder in sorted((f for f in sweep.iterdir() if f.name.isdigit()), key=lambda f: int(f.name)):
        content = status(folder)
        code = content.get("exit_code") if content.get("state") != "done" else 0
        try:
            overrides = tuple(stored_overrides(folder))
        except ConfigError:
            overrides = ()
        error = content.get("error") or (None if code == 0 else "ended without a word; see log.txt in its folder")
        found.append(Outcome(overrides, code if isinstance(code, int) else 1, error, folder))
    return found


def summary(outcomes: Sequence[Outcome], what: str = "jobs") -> str | None:
    """Say which jobs of a sweep, or trials of a study, failed; None when none did."""
    failed = [(number, outcome) for number, outcome in enumerate(outcomes) if outcome.exit_code]
    if not failed:
        return None
    lines = [f"{len(failed)} of {len(outcomes)} {what} failed:"]
    for number, outcome in failed:
        first = (outcome.error or "").strip().partition("\n")[0]
        lines.append(f"  #{number}  {' '.join(outcome.overrides)}")
        lines.append(f"      exit code {outcome.exit_code}: {first}")
        if outcome.folder is not None:
            lines.append(f"      {shown(outcome.folder)}")
    return "\n".join(lines)
