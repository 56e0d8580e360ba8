"""The process of one trial: started, looked at through its run folder, stopped so that it saves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import psutil

from lungseg.cli.runs import status
from lungseg.lock import FolderLock

RECORD = "process.json"
CONSOLE = "console.txt"
KILLED = -int(signal.SIGKILL)
Command = Callable[[Sequence[str]], list[str]]
"""Makes a program's argument list of the words of a lungseg command line."""


class TrialProcess(Protocol):
    """A trial at work, whoever started it."""

    def code(self) -> int | None:
        """Return its exit code, minus the signal that killed it; None while it is at work."""

    def stop(self) -> None:
        """Ask it to save and stop; a second call does nothing."""

    def kill(self) -> None:
        """End it at once, with all that it started."""


class OwnProcess:
    """A trial that this process started.

    It has a session of its own, so that Ctrl-C reaches the driver alone, which then asks each trial once: a second
    signal would end it before it has saved. What it prints goes into a file: a pipe would break with the driver.

    Args:
        folder: run folder of the trial; it exists.
        argv: the program and its arguments.
        env: its environment.
    """

    def __init__(self, folder: Path, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self._asked = False
        with (folder / CONSOLE).open("ab") as console:
            self._process = subprocess.Popen(
                list(argv), stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, env=dict(env),
                start_new_session=True,
            )  # fmt: skip
        facts = {"pid": self._process.pid, "created": created(self._process.pid), "host": os.uname().nodename}
        (folder / RECORD).write_text(json.dumps(facts) + "\n", encoding="utf-8")

    def code(self) -> int | None:
        """Return its exit code, None while it is at work."""
        return self._process.poll()

    def stop(self) -> None:
        """Send SIGTERM, once."""
        if not self._asked:
            self._asked = True
            self._process.terminate()

    def kill(self) -> None:
        """Kill it and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class LeftProcess:
    """A trial that a driver left at work when it was killed; its end is read from the run folder.

    Args:
        folder: run folder of the trial.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._asked = False

    def code(self) -> int | None:
        """Return the exit code that its status tells, None while it is at work."""
        if at_work(self._folder):
            return None
        found = status(self._folder)
        code = found.get("exit_code")
        return code if isinstance(code, int) and found.get("state") != "running" else KILLED

    def stop(self) -> None:
        """Send SIGTERM, once, where it runs on this machine."""
        if not self._asked:
            self._asked = True
            self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it and its children."""
        self._send(signal.SIGKILL)
        while at_work(self._folder) and _is_here(_record(self._folder)):
            time.sleep(0.05)

    def _send(self, number: signal.Signals) -> None:
        found = _record(self._folder)
        if found and _is_here(found) and _lives(found):
            with suppress(ProcessLookupError):
                if number == signal.SIGKILL:
                    os.killpg(int(found["pid"]), number)
                else:
                    os.kill(int(found["pid"]), number)


def at_work(folder: Path) -> bool:
    """Say whether a process is at work in a trial's folder, on this machine or another that shares the folder.

    On this machine its record tells, from its first moment on; the run folder's lock is taken seconds later.
    """
    found = _record(folder)
    if found and _is_here(found):
        return _lives(found)
    return FolderLock.holder(folder) is not None


def created(pid: int) -> float | None:
    """Return when a process was started, which tells it from a later one of the same number; None where it is gone."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _record(folder: Path) -> dict[str, Any]:
    try:
        found: Any = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_here(found: Mapping[str, Any]) -> bool:
    return found.get("host") == os.uname().nodename


def _lives(found: Mapping[str, Any]) -> bool:
    try:
        process = psutil.Process(int(found["pid"]))
        same = abs(process.create_time() - float(found["created"] or 0)) < 0.02
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False


def error_of(folder: Path, code: int) -> str:
    """Return the first line of what a trial failed by.

    Args:
        folder: its run folder.
        code: its exit code.
    """
    said = str(status(folder).get("error") or "").strip()
    if said and status(folder).get("state") not in ("running", "done"):
        return said.partition("\n")[0]
    try:
        lines = (folder / CONSOLE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    # of a traceback the last line says what; of an error of ours, or of Hydra's, the one that begins with its name
    named = [line.strip() for line in lines if re.match(r"(\w+\.)*\w*(Error|Exception|Interrupt)\b", line)]
    told = named or [line.strip() for line in lines if line.strip()]
    if code < 0:
        return f"killed by {signal.Signals(-code).name}" + (f"; its last words: {told[-1]}" if told else "")
    return told[-1] if told else f"it ended with exit code {code} and said nothing"
