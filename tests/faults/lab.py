"""Command lines run as processes, with what is needed to judge how they ended."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TINY = (
    "data.sources.phantom.n=16", "data.sources.phantom.size=[32,32]", "preprocess.steps.resize.size=[32,32]",
    "model.features=[4,8]", "data.batch_size=4", "logger=csv", "trainer.accelerator=cpu", "trainer.max_epochs=3",
    "n_boot=20", "report=false",
)  # fmt: skip
"""16 phantoms of 32 x 32, of which 13 or so train: four steps an epoch, three epochs, two seconds."""


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        code: exit code, or minus the signal's number.
        out: its standard output.
        err: its standard error.
        seconds: CPU time.
    """

    code: int
    out: str
    err: str
    seconds: float

    def says(self, *texts: str) -> bool:
        """Whether standard error holds all texts and no traceback; shows itself when not."""
        missing = [text for text in texts if text not in self.err]
        wrong = [text for text in ("Traceback", "Error in sys.excepthook", "Logging error") if text in self.err]
        assert not missing, f"not said: {missing}\n{self.err}\n{self.out}"
        assert not wrong, self.err
        return True


@dataclass
class Lab:
    """Starts command lines in a working folder of their own.

    Args:
        folder: the working folder; runs land in `outputs` in it.
        server: forks the processes.
        store: a filled store for the tiny phantoms, shared by all tests.
    """

    folder: Path
    server: subprocess.Popen[str]
    store: Path
    started: int = 0
    cpu: list[float] = field(default_factory=list)

    def start(
        self, *argv: str, before: tuple[tuple[Any, ...], ...] = (), fsize: int | None = None,
        mounts: tuple[dict[str, str | None], ...] = (), keep: tuple[tuple[Path, Path], ...] = (),
        cwd: Path | None = None, **environment: str,
    ) -> Running:  # fmt: skip
        """Start a command line; `before` names functions of moments.py to call in its process first."""
        self.started += 1
        logs = self.folder / f".process{self.started}"
        logs.mkdir()
        request = {
            "argv": list(argv), "cwd": str(cwd or self.folder), "stdin": os.devnull,
            "stdout": str(logs / "out"), "stderr": str(logs / "err"), "fsize": fsize, "mounts": list(mounts),
            "keep": [[str(a), str(b)] for a, b in keep], "before": [list(b) for b in before],
            "set": environment,
            "unset": [k for k in ("LUNGSEG_DATA", "LUNGSEG_STORE") if k not in environment],
        }  # fmt: skip
        return Running(self, self.ask(request)["pid"], logs)

    def run(self, *argv: str, **options: Any) -> Ended:
        """Run a command line to its end."""
        return self.start(*argv, **options).wait()

    def train(self, *overrides: str, **options: Any) -> Ended:
        """Train on the tiny phantoms."""
        return self.run(*self.tiny(*overrides), **options)

    def tiny(self, *overrides: str) -> list[str]:
        """Return the overrides of a tiny run."""
        return [*TINY, f"paths.store={self.store}", *overrides]

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send the server a request and return its answer."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        answer: dict[str, Any] = json.loads(self.server.stdout.readline())
        return answer

    def only_run(self, name: str = "phantom") -> Path:
        """Return the one run folder there is."""
        found = sorted((self.folder / "outputs" / name).iterdir())
        assert len(found) == 1, found
        return found[0]


@dataclass
class Running:
    """A process that was started."""

    lab: Lab
    pid: int
    logs: Path

    def wait(self, seconds: float = 60.0) -> Ended:
        """Wait for its end; no fault may hang."""
        until = time.monotonic() + seconds
        while True:
            answer = self.lab.ask({"wait": self.pid})
            if answer["code"] is not None:
                break
            if time.monotonic() > until:
                os.killpg(self.pid, 9)
                msg = f"still at work after {seconds} s:\n{self.said('out')}\n{self.said('err')}"
                raise AssertionError(msg)
            time.sleep(0.02)
        self.lab.cpu.append(answer["cpu"])
        return Ended(answer["code"], self.said("out"), self.said("err"), answer["cpu"])

    def send(self, name: str) -> None:
        """Send it a signal."""
        os.kill(self.pid, signal.Signals[name])

    def until_stopped(self, seconds: float = 60.0) -> None:
        """Wait until it has stopped itself (SIGSTOP)."""
        until = time.monotonic() + seconds
        while psutil.Process(self.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < until, f"not stopped after {seconds} s"
            time.sleep(0.02)

    def said(self, stream: str) -> str:
        """Return what it wrote so far."""
        path = self.logs / stream
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def start_server() -> subprocess.Popen[str]:
    """Start the process that all others are forked from."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, str(HERE / "server.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=environment, cwd=HERE.parents[1],
    )  # fmt: skip


def status(run: Path) -> dict[str, Any]:
    """Read a run's status.json."""
    found: dict[str, Any] = json.loads((run / "status.json").read_text())
    return found


def hashes(folder: Path, *, leave: tuple[str, ...] = ("log.txt", "status.json")) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder, but for those that any further attempt writes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in leave
    }


def state_of(run: Path, name: str = "last.ckpt") -> dict[str, torch.Tensor]:
    """Return all tensors of a checkpoint by name: weights and the optimiser's moments."""
    content = torch.load(run / "checkpoints" / name, map_location="cpu", weights_only=True)
    found = dict(content["state_dict"])
    for number, optimizer in enumerate(content.get("optimizer_states", [])):
        for index, moments in optimizer["state"].items():
            found |= {f"{number}.{index}.{key}": torch.as_tensor(value) for key, value in moments.items()}
    found["step"] = torch.tensor(content["global_step"])
    found["epoch"] = torch.tensor(content["epoch"])
    return found


def same_end(run: Path, other: Path) -> bool:
    """Whether two runs ended with the very same weights, moments, epoch table and test results."""
    for name in ("last.ckpt", "best.ckpt"):
        mine, theirs = state_of(run, name), state_of(other, name)
        assert mine.keys() == theirs.keys()
        different = [key for key, value in mine.items() if not torch.equal(value, theirs[key])]
        assert not different, (name, different)
    assert table(run) == table(other)
    assert results(run) == results(other)
    return True


def table(run: Path) -> list[list[str]]:
    """Return epochs.csv without the column of seconds."""
    rows = [line.split(",") for line in (run / "epochs.csv").read_text().splitlines()]
    at = rows[0].index("seconds")
    return [row[:at] + row[at + 1 :] for row in rows]


def results(run: Path) -> dict[str, Any]:
    """Return the measured parts of metrics.json."""
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text())["parts"]
    return found
