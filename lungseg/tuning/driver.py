"""Drives the trials of a study, some at a time, each in a process of its own."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lungseg.cli.runs import status
from lungseg.cli.stopping import taking_over
from lungseg.errors import DataError, DivergedError, Stopped
from lungseg.lock import FolderLock
from lungseg.tuning.book import DRIVERS, Attempt, Book
from lungseg.tuning.plan import Plan
from lungseg.tuning.results import read_epochs, read_result
from lungseg.tuning.trial_process import Command, LeftProcess, OwnProcess, TrialProcess, at_work, error_of

log = logging.getLogger(__name__)

SAVED = (75, 130)
IDLE = 5.0  # seconds until a free worker asks again where there was nothing to do
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def program(words: Sequence[str]) -> list[str]:
    """Return the argument list of a lungseg command line, run by the Python that runs this."""
    return [sys.executable, "-m", "lungseg", *words]


@dataclass
class _Running:
    """A trial at work."""

    attempt: Attempt
    process: TrialProcess
    worker: int
    since: float = field(default_factory=time.monotonic)
    seen: int = 0
    stamp: int = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.since


class Driver:
    """Takes trials from the book and runs them.

    All happens in one thread: processes are looked at in turn, and a signal sets a flag, so that nothing of the book is
    ever left half written by an exception from outside.

    Args:
        plan: what the trials have in common.
        book: of the study.
        workers: trials at a time.
        threads: processor threads of each trial; None = the cores divided by workers, unless OMP_NUM_THREADS is set.
        gpus: value of CUDA_VISIBLE_DEVICES for each worker, in turn; empty = as it is.
        command: makes a program of the words of a command line.
        pause: seconds between two looks.
        ended: called after each trial, and when a driver begins.
    """

    def __init__(
        self,
        plan: Plan,
        book: Book,
        *,
        workers: int = 1,
        threads: int | None = None,
        gpus: Sequence[str] = (),
        command: Command = program,
        pause: float = 0.2,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.plan = plan
        self.book = book
        self.workers = workers
        self.threads = threads
        self.gpus = tuple(gpus)
        self.command = command
        self.pause = pause
        self.ended = ended
        self._running: list[_Running] = []
        self._signal: int | None = None
        self._again = False
        self._idle_until = 0.0

    def run(self) -> None:
        """Run trials until none is left.

        A signal has every trial save and stop; the same command goes on with them. A second one ends them at once.

        Raises:
            Stopped: a signal came.
        """
        place = self.book.folder / DRIVERS / self.book.driver
        place.mkdir(parents=True)
        with FolderLock(place), self._signals():
            try:
                self.ended()
                while self._fill() or self._running:
                    self._look()
                    if self._running:
                        time.sleep(self.pause)
            except BaseException:  # the book cannot be reached, or the disk is full: the trials save, and wait for us
                for running in self._running:
                    running.process.stop()
                raise
        shutil.rmtree(place, ignore_errors=True)
        if self._signal is not None:
            raise Stopped(self._signal)

    def _fill(self) -> bool:
        """Start trials while there is a free worker; say whether one was started."""
        started = False
        while self._signal is None and len(self._running) < self.workers and time.monotonic() >= self._idle_until:
            attempt = self.book.take()
            if attempt is None:  # but another driver may die: ask again now and then while we are here
                self._idle_until = time.monotonic() + IDLE
                return started
            taken = {running.worker for running in self._running}
            self._begin(attempt, next(n for n in range(self.workers) if n not in taken))
            started = True
        return started

    def _begin(self, attempt: Attempt, worker: int) -> None:
        """Start a trial, go on with it, or wait for the process that is still at work on it."""
        folder = self.book.trial_folder(attempt.number)
        found = status(folder)
        if at_work(folder):
            log.info("trial %d: is still at work for a driver that is gone; waiting for it", attempt.number)
            process: TrialProcess = LeftProcess(folder)
        elif attempt.taken_over and (found.get("state") in ("done", "diverged") or attempt.pruned_at is not None):
            process = LeftProcess(folder)  # it has ended since: only its result is missing
        elif found.get("state") in ("running", "interrupted") and (folder / "overrides.yaml").exists():
            log.info("trial %d: goes on from its last checkpoint", attempt.number)
            process = self._start(folder, self.plan.resuming(folder), worker)
        else:
            set_aside(folder)
            folder.mkdir(parents=True)
            log.info("trial %d: %s", attempt.number, " ".join(self.plan.search.overrides(attempt.values)))
            process = self._start(folder, self.plan.command(attempt.values, attempt.number, folder), worker)
        self._running.append(_Running(attempt, process, worker))

    def _start(self, folder: Path, words: Sequence[str], worker: int) -> OwnProcess:
        return OwnProcess(folder, self.command(words), self.environment(worker))

    def environment(self, worker: int) -> dict[str, str]:
        """Return the environment of a worker's trials."""
        env = dict(os.environ)
        threads = self.threads
        if threads is None and not any(env.get(name) for name in THREADS):
            threads = max(1, cores() // self.workers)
        if threads is not None:
            env |= dict.fromkeys(THREADS, str(threads))
        if self.gpus:
            env["CUDA_VISIBLE_DEVICES"] = self.gpus[worker % len(self.gpus)]
        return env

    def _look(self) -> None:
        """Look at every trial at work: report its epochs, stop it, or keep how it ended."""
        for running in list(self._running):
            if self._signal is not None:
                running.process.kill() if self._again else running.process.stop()
            code = running.process.code()  # before the epochs: what is written by then is complete
            self._report(running, ended=code is not None)
            if code is None:
                continue
            self._running.remove(running)
            self._idle_until = 0.0
            if self._keep(running, code):
                self.ended()

    def _report(self, running: _Running, *, ended: bool) -> None:
        """Hand the new epochs of a trial to the book, and stop it where it falls behind."""
        objective = self.plan.search.objectives[0]
        if not objective.measured or len(self.plan.search.objectives) > 1:
            return  # Optuna takes intermediate values of one objective only
        folder = self.book.trial_folder(running.attempt.number)
        stamp = changed(folder / "epochs.csv")
        if stamp == running.stamp:
            return
        running.stamp = stamp
        rows = read_epochs(folder)
        for row in rows[running.seen :]:
            epoch, value = int(row["epoch"]), row.get(objective.name, float("nan"))
            if value != value:  # not measured in this epoch
                continue
            falls_behind = self.book.report(running.attempt, epoch, value)
            last = ended or epoch == self.plan.epochs or running.attempt.pruned_at is not None
            if falls_behind and not last:
                log.info(
                    "trial %d: falls behind at epoch %d (%s %.4g)", running.attempt.number, epoch, objective.name, value
                )
                self.book.note_pruning(running.attempt, epoch)
                running.process.stop()
        running.seen = max(running.seen, len(rows))

    def _keep(self, running: _Running, code: int) -> bool:
        """Write down how a trial ended; say whether it has ended at all."""
        attempt, seconds = running.attempt, running.seconds
        folder = self.book.trial_folder(attempt.number)
        if code == 0:
            try:
                reached = read_result(folder, self.plan.search.objectives, self.plan.monitor)
            except DataError as error:
                said = f"DataError: {error}"
                self.book.fail(attempt, DataError.exit_code, said, seconds)
                log.error("trial %d: %s", attempt.number, said)
                return True
            self.book.complete(attempt, reached, seconds)
            pairs = zip(self.plan.search.objectives, reached.values, strict=True)
            values = ", ".join(f"{objective.name} {value:.4g}" for objective, value in pairs)
            log.info("trial %d: %s at epoch %d of %d", attempt.number, values, reached.epoch, reached.epochs)
        elif attempt.pruned_at is not None and (code in SAVED or code < 0):
            self.book.prune(attempt, seconds)
        elif self._signal is not None and (code in SAVED or code < 0):
            self.book.leave(attempt, seconds)
            return False
        else:
            said = error_of(folder, code)
            self.book.fail(attempt, code, said, seconds, diverged=code == DivergedError.exit_code)
            log.error("trial %d: exit code %d: %s", attempt.number, code, said)
        return True

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Note signals instead of being interrupted by them."""

        def note(number: int, give_back: Callable[[], None]) -> None:
            self._again = self._signal is not None
            if self._signal is None:
                log.warning("%s received: the trials are saved and stopped", signal.Signals(number).name)
            self._signal = self._signal or number

        with taking_over(note):
            yield


def set_aside(folder: Path) -> Path | None:
    """Keep the folder of a failed attempt beside that of the next; None where there was none."""
    if not folder.exists():
        return None
    place = next(
        path for n in range(1, 1_000_000) if not (path := folder.with_name(f"{folder.name}_failed_{n}")).exists()
    )
    folder.rename(place)
    return place


def changed(path: Path) -> int:
    """Return when a file was last changed, in nanoseconds; 0 while there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def cores() -> int:
    """Return the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
