"""The book of a study: an Optuna storage that several drivers share, and that outlives each of them.

Optuna numbers every attempt; we number the trials, 0 to trials - 1. An attempt that failed may be made again under the
trial's number, with its values and its seed, so that a study which was broken off ends as one that was not.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lungseg.errors import ConfigError
from lungseg.lock import FolderLock
from lungseg.tuning.journal_lock import JournalLock, mend
from lungseg.tuning.results import Reached
from lungseg.tuning.samplers import make_pruner, make_sampler
from lungseg.tuning.search import Search
from lungseg.tuning.space import Value

DRIVERS = "drivers"
TRIALS = "trials"
ENDED = "ended"
DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}


@dataclass
class Attempt:
    """One attempt at a trial, by this driver.

    Args:
        number: of the trial, from 0.
        values: of the varied keys.
        trial: Optuna's, to report to.
        taken_over: another driver, which is gone, began it.
        pruned_at: epoch after which it was decided to stop it.
        reported: epochs whose value the storage has.
    """

    number: int
    values: Mapping[str, Value]
    trial: optuna.trial.Trial
    taken_over: bool = False
    pruned_at: int | None = None
    reported: set[int] = field(default_factory=set)


class Book:
    """Hands out trials, each to one driver, and keeps how they ended.

    Args:
        folder: of the study, shared by all its drivers.
        search: what is sought, with the objectives filled in.
        seed: of the study.
        epochs: that a trial trains for, where that is not varied.
        storage: `sqlite` or `journal`, in the folder, or a URL.
        retry: whether failed trials of drivers that are gone are made again.
        driver: name of this driver; it holds the lock of `drivers/<name>`.

    Raises:
        ConfigError: the storage cannot be opened.
    """

    def __init__(
        self, folder: Path, search: Search, *, seed: int, epochs: int | None, storage: str, retry: bool, driver: str
    ) -> None:
        self.folder = folder
        self.search = search
        self.seed = seed
        self.retry = retry
        self.driver = driver
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        (folder / DRIVERS).mkdir(parents=True, exist_ok=True)
        with self._turn():  # two drivers that made the tables of a new file at once would fail
            self.study = optuna.create_study(
                storage=open_storage(storage, folder),
                study_name=folder.name,
                directions=[DIRECTIONS[objective.direction] for objective in search.objectives],
                load_if_exists=True,
                pruner=make_pruner(search, epochs=epochs),
            )
        self.distributions = {parameter.key: parameter.distribution() for parameter in search.space}

    def trial_folder(self, number: int) -> Path:
        """Return the run folder of a trial."""
        return self.folder / TRIALS / f"{number:04d}"

    def take(self) -> Attempt | None:
        """Hand out a trial: one whose driver is gone, else one that failed before, else a new one; None = no more."""
        with self._turn():
            self._drop_nameless()
            latest = self.latest()
            if any(trial.state == TrialState.WAITING for trial in latest.values()):
                return self._ask(-1)  # a driver was killed between writing it down and taking it
            gone = {name: not self._alive(name) for name in {_driver(trial) for trial in latest.values()}}
            for number, trial in sorted(latest.items()):
                if trial.state == TrialState.RUNNING and gone[_driver(trial)]:
                    return self._take_over(number, trial)
            for number, trial in sorted(latest.items()):
                again = self.retry and trial.state == TrialState.FAIL and not ended(trial).get("diverged")
                if again and gone[_driver(trial)]:
                    self._ask_again(number, trial)
                    return self._ask(number)
            free = next((number for number in range(self.search.trials) if number not in latest), None)
            return None if free is None else self._ask(free)

    def _drop_nameless(self) -> None:
        """Close attempts whose driver was killed before it gave them a number; only in its turn can a driver do so."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if "number" not in trial.user_attrs:
                self.study.tell(trial.number, state=TrialState.FAIL)

    def latest(self) -> dict[int, FrozenTrial]:
        """Return the last attempt at every trial, by number."""
        found: dict[int, FrozenTrial] = {}
        for trial in self.study.get_trials(deepcopy=False):
            number = trial.user_attrs.get("number")
            if number is not None and number < self.search.trials:
                found[int(number)] = trial
        return found

    def _ask(self, number: int) -> Attempt:
        """Have a trial drawn; one that waits in the storage comes first, with the number that it bears."""
        self.study.sampler = make_sampler(self.search, seed=self.seed, number=max(number, 0))
        trial = self.study.ask(self.distributions)
        number = int(trial.user_attrs.get("number", number))
        # the driver first: an attempt that has a number has a driver
        trial.set_user_attr("driver", self.driver)
        trial.set_user_attr("number", number)
        return Attempt(number, dict(trial.params), trial)

    def _ask_again(self, number: int, trial: FrozenTrial) -> None:
        attrs = {"number": number, "driver": self.driver, "attempt": int(trial.user_attrs.get("attempt", 1)) + 1}
        self.study.enqueue_trial(dict(trial.params), user_attrs=attrs)

    def _take_over(self, number: int, trial: FrozenTrial) -> Attempt:
        self.study.sampler = make_sampler(self.search, seed=self.seed, number=number)
        taken = optuna.trial.Trial(self.study, trial._trial_id)
        taken.set_user_attr("driver", self.driver)
        return Attempt(
            number,
            dict(trial.params),
            taken,
            taken_over=True,
            pruned_at=trial.user_attrs.get("pruned_at"),
            reported=set(trial.intermediate_values),
        )

    def report(self, attempt: Attempt, epoch: int, value: float) -> bool:
        """Keep an epoch's value; say whether the trial should stop there.

        Args:
            attempt: at the trial.
            epoch: counted from 1.
            value: of the first objective.
        """
        if epoch in attempt.reported:
            return False  # a trial that was taken up again repeats its epochs
        attempt.reported.add(epoch)
        attempt.trial.report(value, epoch)
        return bool(attempt.trial.should_prune())

    def note_pruning(self, attempt: Attempt, epoch: int) -> None:
        """Keep that a trial is being stopped, for the driver that would take it over."""
        attempt.pruned_at = epoch
        attempt.trial.set_user_attr("pruned_at", epoch)

    def complete(self, attempt: Attempt, reached: Reached, seconds: float) -> None:
        """Keep what a trial reached."""
        self._end(attempt, epoch=reached.epoch, epochs=reached.epochs, seconds=seconds, exit_code=0)
        self.study.tell(attempt.trial, list(reached.values))

    def prune(self, attempt: Attempt, seconds: float) -> None:
        """Keep that a trial was stopped early."""
        self._end(attempt, epochs=attempt.pruned_at, seconds=seconds, exit_code=75)
        self.study.tell(attempt.trial, state=TrialState.PRUNED)

    def fail(self, attempt: Attempt, code: int, error: str, seconds: float, *, diverged: bool = False) -> None:
        """Keep that a trial failed, or that its loss left the numbers.

        A trial that diverged would do so again; with one objective it counts as stopped early, so that TPE learns to
        keep away from its values.
        """
        self._end(attempt, exit_code=code, error=error, seconds=seconds, diverged=diverged)
        learns = diverged and len(self.search.objectives) == 1
        self.study.tell(attempt.trial, state=TrialState.PRUNED if learns else TrialState.FAIL)

    def _end(self, attempt: Attempt, *, seconds: float, **facts: Any) -> None:
        spent = attempt.trial.user_attrs.get(ENDED, {}).get("seconds", 0.0)
        attempt.trial.set_user_attr(ENDED, {**facts, "seconds": round(spent + seconds, 2)})

    def leave(self, attempt: Attempt, seconds: float) -> None:
        """Keep how long a trial took so far that another driver will go on with."""
        self._end(attempt, seconds=seconds)

    def _alive(self, driver: str) -> bool:
        """Say whether a driver is at work; asking for our own lock would give it away, so it is not asked for."""
        return driver == self.driver or FolderLock.holder(self.folder / DRIVERS / driver) is not None

    def others(self) -> int:
        """Count the other drivers at work on the study."""
        names = [path.name for path in (self.folder / DRIVERS).iterdir() if path.is_dir()]
        return sum(self._alive(name) for name in names if name != self.driver)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Let one driver at a time look and take."""
        with (self.folder / ".turn").open("w") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            yield


def open_storage(storage: str, folder: Path) -> Any:
    """Open the storage of a study.

    Args:
        storage: `sqlite` or `journal`, then a file in the folder; or a URL that SQLAlchemy takes.
        folder: of the study.

    Raises:
        ConfigError: it cannot be opened.
    """
    if storage == "journal":
        from optuna.storages.journal import JournalFileBackend

        journal = folder / "study.log"
        mend(journal)
        return optuna.storages.JournalStorage(JournalFileBackend(str(journal), JournalLock(journal)))
    url = f"sqlite:///{(folder / 'study.db').absolute()}" if storage == "sqlite" else storage
    if "://" not in url:
        msg = f"storage={storage} is neither sqlite nor journal nor a URL such as postgresql://user@host/base"
        raise ConfigError(msg)
    # seconds that a writer waits for another
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    try:
        return optuna.storages.RDBStorage(url, engine_kwargs=options)
    except Exception as error:  # of SQLAlchemy, a driver's package that is not there, or a database that is not
        first = str(error).strip().partition("\n")[0]
        shown = url.rpartition("@")[2]  # no password on the screen
        msg = f"storage={shown} cannot be opened ({type(error).__name__}: {first}); storage=sqlite needs no server"
        raise ConfigError(msg) from error


def driver_name() -> str:
    """Return a name that no other driver bears, on this machine or another."""
    return f"{os.uname().nodename}-{os.getpid()}-{time.time_ns():x}"


def ended(trial: FrozenTrial) -> Mapping[str, Any]:
    """Return what is known of a trial's end: seconds, epoch, epochs, exit_code, error, diverged; {} while it runs."""
    found: Mapping[str, Any] = trial.user_attrs.get(ENDED, {})
    return found


def _driver(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get("driver", ""))


def importance(study: optuna.Study, count: int, *, seed: int = 0) -> list[dict[str, float]]:
    """Return the share of each key in the spread of every objective, by fANOVA over the finished trials.

    Args:
        study: with its trials.
        count: of objectives.
        seed: of the forest.

    Returns:
        One map for each objective, largest first; [] where fewer than six trials finished or one key is varied, since
        the shares would mean nothing.
    """
    done = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    if len(done) < 6 or len(done[0].params) < 2:
        return []
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    found: list[dict[str, float]] = []
    for place in range(count):
        if len({trial.values[place] for trial in done}) < 2:
            found.append({})
            continue
        target = _Value(place)
        shares: Mapping[str, float] = optuna.importance.get_param_importances(study, evaluator=evaluator, target=target)
        found.append({str(key): float(share) for key, share in shares.items()})
    return found


@dataclass(frozen=True)
class _Value:
    """Picks one objective's value of a trial."""

    place: int

    def __call__(self, trial: FrozenTrial) -> float:
        return float(trial.values[self.place])


def best_numbers(trials: Mapping[int, FrozenTrial], search: Search) -> list[int]:
    """Return the best trial; with several objectives those that none other beats in all (the Pareto front)."""
    done = {number: trial for number, trial in sorted(trials.items()) if trial.state == TrialState.COMPLETE}
    signs = [1.0 if objective.direction == "max" else -1.0 for objective in search.objectives]
    points = {number: [s * v for s, v in zip(signs, trial.values, strict=True)] for number, trial in done.items()}
    if len(signs) == 1:
        return sorted(points, key=lambda number: (-points[number][0], number))[:1]
    return [n for n, point in points.items() if not any(_beats(other, point) for other in points.values())]


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a >= b for a, b in zip(one, other, strict=True)) and list(one) != list(other)
