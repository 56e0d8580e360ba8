"""Studies over fake trials, in this process or in one that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lungseg.tuning.book import Book, driver_name
from lungseg.tuning.driver import Driver
from lungseg.tuning.plan import Plan
from lungseg.tuning.record import write_record
from lungseg.tuning.search import Objective, Search, read_search

HERE = Path(__file__).resolve().parent
DICE = Objective("val/dice", "max")


def fake(words: Sequence[str]) -> list[str]:
    """The program of a trial."""
    return [sys.executable, "-S", str(HERE / "fake_trial.py"), *words]


def search_of(**changes: Any) -> Search:
    """Twelve random trials over x from 0 to 1."""
    node = {"name": "toy", "method": "random", "trials": 12, "space": {"x": {"low": 0.0, "high": 1.0}}}
    return read_search({**node, **changes})


def plan_of(search: Search, *, seed: int = 0) -> Plan:
    """A plan that asks for no configuration."""
    from dataclasses import replace

    return Plan(
        search=replace(search, objectives=search.objectives or (DICE,)), lines=("given=1",), config_dirs=(), seed=seed,
        experiment="toy", base={}, monitor=DICE, epochs=3,
    )  # fmt: skip


def book_of(folder: Path, plan: Plan, *, storage: str = "journal", retry: bool = True, driver: str = "") -> Book:
    """The book of a study."""
    return Book(
        folder, plan.search, seed=plan.seed, epochs=plan.epochs, storage=storage, retry=retry,
        driver=driver or driver_name(),
    )  # fmt: skip


def drive(
    folder: Path, search: Search | None = None, *, workers: int = 1, storage: str = "journal", **more: Any
) -> Any:
    """Run a study in this process; returns its record."""
    plan = plan_of(search or search_of())
    book = book_of(folder, plan, storage=storage, retry=more.pop("retry", True))
    Driver(plan, book, workers=workers, command=fake, pause=0.005, **more).run()
    return write_record(book, plan)


def start(folder: Path, told: dict[str, Any], **settings: Any) -> subprocess.Popen[str]:
    """Run a study in a process of its own, which can be killed."""
    request = json.dumps({"folder": str(folder), **settings})
    environment = {
        **os.environ,
        "FAKE": json.dumps(told),
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), *sys.path]),
    }
    return subprocess.Popen([sys.executable, "-m", "tests.tuning.bench", request], env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=HERE.parents[1])  # fmt: skip


def starts(folder: Path) -> dict[int, list[str]]:
    """How often each trial was started, and how: fresh or resumed; attempts that were set aside count too."""
    found: dict[int, list[str]] = {}
    for file in sorted(
        (folder / "trials").glob("*/starts.txt"), key=lambda f: (f.parent.name[:4], len(f.parent.name) < 5)
    ):
        found.setdefault(int(file.parent.name[:4]), []).extend(
            line.split()[0] for line in file.read_text().splitlines()
        )
    return found


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    record = drive(
        Path(asked.pop("folder")), search_of(**asked.pop("search", {})), workers=asked.pop("workers", 1), **asked
    )
    sys.exit(any(trial["state"] == "failed" for trial in record["trials"]))
