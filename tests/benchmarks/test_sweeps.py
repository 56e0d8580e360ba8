"""What the benchmark of sweeps holds its two arms to."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def sweeps(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("sweeps", FOLDER / "sweeps.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def lungseg(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Stands for the program: leaves two runs; gives the environments and words it was called with."""
    calls: list[dict[str, Any]] = []

    def run(argv: list[str], *, env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
        outputs = Path(next(word for word in argv if word.startswith("paths.outputs=")).partition("=")[2])
        calls.append({"argv": argv, "env": env})
        for name in ("0", "1"):
            (outputs / name).mkdir(parents=True)
            seconds, value = len(calls), 0.5 + ("differs" in argv) * len(calls)
            (outputs / name / "epochs.csv").write_text(f"epoch,seconds,val/dice\n1,{seconds},{value}\n")
        return subprocess.CompletedProcess(argv, int("fails" in argv), "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_every_training_and_the_baseline_have_one_thread(sweeps: Any, lungseg: Any, tmp_path: Path) -> None:
    for jobs in (1, 2):
        sweeps.Arm(["tune"], jobs=jobs, work=tmp_path, expected=2).run()
    assert [call["env"]["OMP_NUM_THREADS"] for call in lungseg] == ["1", "1"]


def test_results_are_compared_without_the_seconds(sweeps: Any, lungseg: Any, tmp_path: Path) -> None:
    arm = sweeps.Arm(["tune"], jobs=1, work=tmp_path, expected=2)
    arm.run()
    arm.run()
    assert arm.results == [[["epoch", "val/dice"], ["1", "0.5"]]] * 2


@pytest.mark.parametrize(("words", "expected"), [(["differs"], 2), ([], 3)], ids=["other-results", "too-few-runs"])
def test_an_arm_that_does_not_do_the_same_work_is_no_measurement(
    sweeps: Any, lungseg: Any, tmp_path: Path, words: list[str], expected: int
) -> None:
    arm = sweeps.Arm(words, jobs=1, work=tmp_path, expected=expected)
    with pytest.raises(RuntimeError, match="runs, or other results"):
        [arm.run() for _ in range(2)]


def test_a_sweep_that_fails_is_no_measurement(sweeps: Any, lungseg: Any, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        sweeps.Arm(["fails"], jobs=1, work=tmp_path, expected=2).run()


def test_the_comparison_tells_what_else_the_machine_did(sweeps: Any, lungseg: Any, tmp_path: Path) -> None:
    arms = [sweeps.Arm([], jobs=jobs, work=tmp_path, expected=2) for jobs in (1, 2)]
    found = json.loads(json.dumps(sweeps.compare("a / b", *arms, pairs=7)))
    assert found["equal_results"] is True
    assert len(found["load_before"]["a"]) == 8  # one to warm up, and seven
    assert (found["pairs"], found["goal"], found["unit"]) == (7, ">= 1.6", "wall s")
    assert sys.executable == lungseg[0]["argv"][0]
