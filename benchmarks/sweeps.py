"""Two trainings at a time against one after the other, on two cores, every training at one thread.

`tune`: random trials of `search=resunet_random`, workers=1 against workers=2; both must end with the same results.
`multirun`: a sweep over seeds by Hydra's own launcher, which trains all in one process, against the joblib launcher
with two jobs. Wall time of the whole command, from its start to the written report; the pairs are interleaved. What
else the machine did meanwhile stands beside: the load before each run, and which share of the cores that it could have
used the command got.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paired import arguments, paired, report

SMALL = (
    "data.sources.phantom.n=24", "data.sources.phantom.size=[64,64]", "preprocess.steps.resize.size=[64,64]",
    "data.batch_size=4", "trainer.accelerator=cpu", "logger=csv", "n_boot=50",
)  # fmt: skip


class Arm:
    """One of the two ways to run a sweep.

    Args:
        words: of the command line.
        jobs: at a time.
        work: a folder for all that is written; the store in it is shared by both arms.
        expected: how many runs there must be at the end.
    """

    def __init__(self, words: Sequence[str], *, jobs: int, work: Path, expected: int) -> None:
        self.words = list(words)
        self.jobs = jobs
        self.work = work
        self.expected = expected
        self.loads: list[float] = []
        self.shares: list[float] = []
        self.results: Any = None

    def run(self) -> float:
        """Run the sweep once; returns its wall seconds."""
        outputs = self.work / "outputs"
        shutil.rmtree(outputs, ignore_errors=True)
        words = [*self.words, f"paths.outputs={outputs}", f"paths.store={self.work / 'store'}"]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NO_COLOR": "1"}
        self.loads.append(round(os.getloadavg()[0], 2))
        before, start = _cpu(), time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "lungseg", *words], env=env, capture_output=True, text=True, check=False
        )
        wall = time.perf_counter() - start
        if done.returncode:
            sys.stderr.write(done.stdout + done.stderr)
            done.check_returncode()
        self.shares.append(round((_cpu() - before) / (wall * self.jobs), 3))
        found = results(outputs)
        if len(found) != self.expected or self.results not in (None, found):
            msg = f"{len(found)} of {self.expected} runs, or other results than the first time: {found}"
            raise RuntimeError(msg)
        self.results = found
        return wall


def results(outputs: Path) -> list[Any]:
    """Return what every run reached, in order: its epochs without the seconds."""
    found = []
    for file in sorted(outputs.rglob("epochs.csv")):
        rows = [line.split(",") for line in file.read_text().splitlines()]
        at = rows[0].index("seconds")
        found.append([row[:at] + row[at + 1 :] for row in rows])
    return found


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare(metric: str, one: Arm, two: Arm, *, pairs: int) -> dict[str, Any]:
    """Run the pairs and add what the machine did meanwhile."""
    found = paired(metric, one.run, two.run, pairs=pairs, unit="wall s", scale=1.0, goal=(">=", 1.6))
    return {
        **found,
        "jobs": one.expected,
        "equal_results": one.results == two.results,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": {"a": one.loads, "b": two.loads},
        "share_of_the_cores_asked_for": {
            name: statistics.median(arm.shares) for name, arm in (("a", one), ("b", two))
        },
    }  # fmt: skip


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--what", nargs="+", choices=("tune", "multirun"), default=["tune", "multirun"])
    parser.add_argument("--trials", type=int, default=4, help="trainings of each sweep")
    parser.add_argument("--epochs", type=int, default=10, help="of each training")
    parser.add_argument(
        "--once", action="store_true", help="one run of each arm instead of pairs: only whether it works"
    )
    chosen = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(prefix="sweeps-") as name:
        work = Path(name)
        common = [*SMALL, f"trainer.max_epochs={chosen.epochs}"]
        tune = ["tune", "search=resunet_random", f"search.trials={chosen.trials}", "search.space.model.features=null"]
        seeds = ",".join(str(seed) for seed in range(chosen.trials))
        arms = {
            "tune": (
                "trials of tune one after the other / two at a time",
                Arm([*tune, *common, "workers=1"], jobs=1, work=work / "tune", expected=chosen.trials),
                Arm([*tune, *common, "workers=2"], jobs=2, work=work / "tune", expected=chosen.trials),
            ),
            "multirun": (
                "jobs of a sweep by Hydra's own launcher / by joblib, two at a time",
                Arm(["-m", *common, f"seed={seeds}"], jobs=1, work=work / "multirun", expected=chosen.trials),
                Arm(
                    ["-m", *common, f"seed={seeds}", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], jobs=2,
                    work=work / "multirun", expected=chosen.trials,
                ),
            ),
        }  # fmt: skip
        for what in chosen.what:
            metric, one, two = arms[what]
            if chosen.once:
                one.run()
                two.run()
                found.append({"metric": metric, "equal_results": one.results == two.results})
                continue
            found.append(compare(metric, one, two, pairs=chosen.pairs))
    if chosen.once:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return 0 if all(item["equal_results"] for item in found) else 1
    return report(found, chosen.out)


if __name__ == "__main__":
    sys.exit(main())
