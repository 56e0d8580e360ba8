"""The driver of the papers' rows: what is done is not done again, and what runs out of time may save itself."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path

import pytest

SAVES = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
open(sys.argv[1], "w").close()
time.sleep(60)
"""


@pytest.fixture
def driver(monkeypatch):
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "full_recipes.py"
    spec = importlib.util.spec_from_file_location("full_recipes", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def finished(outputs: Path, name: str) -> Path:
    folder = outputs / name / "2026-01-01_00-00-00"
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"state": "done", "seconds": 12.5}))
    (folder / "epochs.csv").write_text("epoch,seconds\n1,3.0\n2,1.0\n3,2.0\n")
    found = {"lungs": {"n": 3, "metrics": {"dice": {"mean": 0.9}}}}
    (folder / "metrics.json").write_text(json.dumps({"parts": {"test": {"all": found, "jsrt": found}}}))
    return folder


def test_a_finished_row_is_read_and_not_run_again(driver, tmp_path, monkeypatch, capsys):
    finished(tmp_path, "one")
    monkeypatch.setattr(sys, "argv", ["full_recipes.py", "--rows", "one", "--outputs", str(tmp_path)])
    monkeypatch.setattr(driver, "train", lambda *_: pytest.fail("it was run again"))
    assert driver.main() == 0
    row = json.loads(capsys.readouterr().out)["one"]
    assert (row["state"], row["epochs"], row["median_seconds_per_epoch"]) == ("done", 3, 2.0)
    assert row["parts"]["test"]["lungs"]["metrics"]["dice"]["mean"] == 0.9


def test_a_row_that_was_never_begun_says_so(driver, tmp_path):
    assert driver.described(tmp_path, "two") == {"state": "not begun"}


def test_a_run_that_is_out_of_time_is_asked_to_save_its_state(driver, tmp_path, monkeypatch):
    ready = tmp_path / "ready"
    monkeypatch.setattr(driver, "command", lambda *_: [sys.executable, "-c", SAVES, str(ready)])
    monkeypatch.setattr(driver.subprocess.Popen, "wait", waiting(driver.subprocess.Popen.wait, ready))
    assert driver.train("one", [], until=time.monotonic()) == driver.RESUMABLE


def waiting(wait, ready: Path):
    """Wait as before, but not before the child can take a signal."""

    def patched(self, timeout=None):
        while not ready.exists():
            time.sleep(0.01)
        return wait(self, timeout)

    return patched


def test_the_command_resumes_what_the_last_part_left(driver):
    said = driver.command("one", ["trainer=gpu"])
    assert said[1:] == ["-m", "lungseg", "experiment=one", "resume=auto", "logger=csv", "trainer=gpu"]
