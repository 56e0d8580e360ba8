"""Several processes for one job: started, watched and ended together, and the first cause of a failure told once.

A job that asks for several devices is run by as many processes of the same command, each with its own rank in the
environment. The one that the user started trains nothing: it passes signals on, and when one process ends in failure it
ends the others, so that none is left behind in an exchange that will never come about. Processes that torchrun or a
cluster's scheduler started have their ranks already and are not started again.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungseg.cli.stopping import taking_over
from lungseg.errors import ConfigError, LungsegError, ResourceError

GRACE = 10.0
"""Seconds the other processes get to end by themselves when one has failed."""
LATE = 5.0
"""Seconds by which an unforeseen fault is taken to come later: often it is only that another process is gone."""
REPORTS, PARENT = "LUNGSEG_REPORTS", "LUNGSEG_PARENT"


@dataclass(frozen=True)
class Failure:
    """How one process ended.

    Args:
        code: exit code.
        text: message for the user.
        when: seconds since the epoch.
        known: it is an error that lungseg raises on purpose.
    """

    code: int
    text: str
    when: float
    known: bool = True


def wanted(values: Mapping[str, Any]) -> int:
    """Return how many processes of this machine a configuration asks for, by `trainer.devices` or `devices`.

    Raises:
        ConfigError: it is nothing that says a number, or several machines are asked for.
    """
    trainer = values.get("trainer") or {"devices": values.get("devices", 1)}
    devices = trainer.get("devices", 1)
    if int(trainer.get("num_nodes") or 1) > 1 and not is_rank():
        msg = (
            f"trainer.num_nodes={trainer['num_nodes']} needs a process for each device that a scheduler starts: run it "
            "with srun, or with torchrun --nnodes=... --nproc-per-node=... -m lungseg ..."
        )
        raise ConfigError(msg)
    if isinstance(devices, list):
        return max(1, len(devices))
    if isinstance(devices, str) and "," in devices:
        return len([part for part in devices.split(",") if part.strip()])
    if str(devices) in ("auto", "-1"):
        found = 0 if trainer.get("accelerator") == "cpu" else _gpus()
        if not found and trainer.get("accelerator") in ("gpu", "cuda"):
            msg = (
                f"trainer.accelerator={trainer['accelerator']} with trainer.devices={devices}: PyTorch finds no GPU on "
                "this machine (python -m lungseg doctor). trainer=ddp_cpu tries several processes on the processor"
            )
            raise ConfigError(msg)
        return max(1, found)
    try:
        count = int(devices)
    except ValueError as error:
        msg = f"trainer.devices={devices} must be a number, a list of GPUs such as [0,1], or auto"
        raise ConfigError(msg) from error
    if count < 1:
        msg = f"trainer.devices={devices} must be at least 1"
        raise ConfigError(msg)
    return count


def _gpus() -> int:
    import torch  # seconds to import, so only where it has to be asked

    return torch.cuda.device_count()


def is_rank() -> bool:
    """Tell whether this process is one of several already, by whoever started it."""
    if "LOCAL_RANK" in os.environ or "RANK" in os.environ:
        return True
    return "SLURM_PROCID" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1


def is_watched() -> bool:
    """Tell whether `run` started this process, so that its failure is told by the one that watches."""
    return REPORTS in os.environ


def report(failure: Failure) -> None:
    """Leave word of how this process failed for the one that watches."""
    path = Path(os.environ[REPORTS]) / f"{os.environ.get('LOCAL_RANK', '0')}.json"
    waiting = path.with_suffix(".part")
    with suppress(OSError):  # the watcher may be gone
        waiting.write_text(json.dumps(vars(failure)), encoding="utf-8")
        waiting.replace(path)


def end_with_parent() -> None:
    """Watch, from a thread, the process that started this one: where it dies, this one saves and ends too."""
    handle = os.environ.get(PARENT)
    if handle is None:
        return

    def watch(pipe: int) -> None:
        os.read(pipe, 1)  # returns when the other end is closed, however its process ended
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, args=(int(handle),), daemon=True, name="parent").start()


def run(words: Sequence[str], count: int, *, go_on: str) -> Failure | None:
    """Run a command in several processes.

    Args:
        words: of the command line behind `python -m lungseg`.
        count: processes.
        go_on: what to tell the user to do after a process was killed.

    Returns:
        None when all went well, else the first cause.

    Raises:
        ResourceError: the port that was asked for is taken.
    """
    port = _port()
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory(prefix="lungseg-") as folder:
        reports = Path(folder)
        started: list[subprocess.Popen[bytes]] = []

        def pass_on(number: int, give_back: Callable[[], None]) -> None:
            for process in started:
                with suppress(ProcessLookupError):
                    process.send_signal(number)

        try:
            with taking_over(pass_on):
                for rank in range(count):
                    started.append(_start(words, rank, count, port, reports, reading))
                os.close(reading)
                died = _watch(started)
            return _first_cause(started, died, reports, go_on)
        finally:
            for process in started:
                if process.poll() is None:
                    process.kill()
                process.wait()
            os.close(writing)


def _start(words: Sequence[str], rank: int, count: int, port: int, reports: Path, pipe: int) -> subprocess.Popen[bytes]:
    threads = max(1, (os.cpu_count() or 1) // count)
    environment = {
        "OMP_NUM_THREADS": str(threads),
        **os.environ,
        "LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        REPORTS: str(reports), PARENT: str(pipe),
    }  # fmt: skip
    output: dict[str, Any] = {}
    if rank:  # what they say, the first one says too
        with (reports / f"{rank}.txt").open("wb") as file:
            output = {"stdout": os.dup(file.fileno()), "stderr": subprocess.STDOUT}
    try:
        # a session of its own: Ctrl-C reaches the watcher only, which passes it on, and not every process twice
        return subprocess.Popen(
            [sys.executable, "-m", "lungseg", *words],
            env=environment, pass_fds=[pipe], start_new_session=True, stdin=subprocess.DEVNULL, **output,
        )  # fmt: skip
    finally:
        if rank:
            os.close(output["stdout"])


def _watch(started: Sequence[subprocess.Popen[bytes]]) -> dict[int, float]:
    """Wait until all have ended; when one has failed, end the others after a while.

    Returns:
        When each process that failed by itself was seen to have done so, by rank.
    """
    died: dict[int, float] = {}
    deadline = None
    while None in [process.poll() for process in started]:
        for rank, process in enumerate(started):
            if process.returncode and rank not in died:
                died[rank] = time.time()
                deadline = deadline or time.monotonic() + GRACE
        if deadline is not None and time.monotonic() > deadline:
            for process in started:
                if process.poll() is None:
                    process.kill()
            break
        time.sleep(0.1)
    for rank, process in enumerate(started):
        if process.returncode and rank not in died:
            died[rank] = time.time()
    return died


def _first_cause(
    started: Sequence[subprocess.Popen[bytes]], died: Mapping[int, float], reports: Path, go_on: str
) -> Failure | None:
    """Return what failed first: a fault foreseen or a process killed goes before what can be its consequence."""
    if not died:
        return None
    causes: list[tuple[float, Failure]] = []
    for rank, when in died.items():
        code = int(started[rank].returncode)
        found = _reported(reports / f"{rank}.json")
        if found is not None:
            causes.append((found.when + (0.0 if found.known else LATE), found))
            continue
        who = f"process {rank + 1} of {len(started)}"
        said = _last_lines(reports / f"{rank}.txt")
        if code < 0:
            name = signal.Signals(-code).name
            why = " (the system does that when the memory is full)" if -code == signal.SIGKILL else ""
            text = f"{who} was ended by {name}{why}, and the others with it. {go_on}{said}"
            # an abort is mostly the answer of a library to another process's end
            late = LATE if -code == signal.SIGABRT else 0.0
            causes.append((when + late, Failure(ResourceError.exit_code, text, when)))
        else:
            causes.append((when + LATE, Failure(code, f"{who} ended with exit code {code}. {go_on}{said}", when)))
    return min(causes, key=lambda cause: cause[0])[1]


def _reported(path: Path) -> Failure | None:
    try:
        return Failure(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _last_lines(path: Path) -> str:
    """Return the end of what a process wrote, if it wrote anything."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
    except OSError:
        return ""
    return "".join(f"\n  {line}" for line in lines)


def _port() -> int:
    """Return the port the processes meet at: the one asked for, or a free one.

    Raises:
        ResourceError: the one asked for is taken.
    """
    asked = os.environ.get("MASTER_PORT")
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", int(asked or 0)))
        except (OSError, ValueError, OverflowError) as error:
            msg = (
                f"MASTER_PORT={asked}, where the processes are to meet, cannot be used ({error}). Give another one, or "
                "unset it: then a free one is found"
            )
            raise ResourceError(msg) from error
        return int(trial.getsockname()[1])


def failure_of(error: LungsegError) -> Failure:
    """Return what is told of an error of ours."""
    return Failure(error.exit_code, f"{type(error).__name__}: {error}", time.time())
