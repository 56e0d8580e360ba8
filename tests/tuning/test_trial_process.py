from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lungseg.lock import FolderLock
from lungseg.tuning.trial_process import KILLED, RECORD, LeftProcess, OwnProcess, at_work, created, error_of

SLEEP = [sys.executable, "-S", "-c", "import time; print('up', flush=True); time.sleep(60)"]


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[OwnProcess]:
    process = OwnProcess(tmp_path, SLEEP, os.environ)
    yield process
    process.kill()


def test_a_trial_is_at_work_from_its_first_moment_until_its_end(tmp_path: Path, sleeper: OwnProcess) -> None:
    assert at_work(tmp_path)
    assert sleeper.code() is None
    sleeper.kill()
    assert not at_work(tmp_path)
    assert sleeper.code() == KILLED


def test_a_process_that_another_driver_left_can_be_ended(tmp_path: Path, sleeper: OwnProcess) -> None:
    left = LeftProcess(tmp_path)
    assert left.code() is None
    left.kill()
    assert left.code() == KILLED


def test_the_exit_code_of_a_process_left_is_that_of_its_status(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text(json.dumps({"state": "interrupted", "exit_code": 75}))
    assert LeftProcess(tmp_path).code() == 75
    (tmp_path / "status.json").write_text(json.dumps({"state": "running", "exit_code": None}))
    assert LeftProcess(tmp_path).code() == KILLED


def test_another_process_that_bears_the_number_by_now_is_not_the_trial(tmp_path: Path) -> None:
    facts = {"pid": os.getpid(), "created": (created(os.getpid()) or 0) - 100, "host": os.uname().nodename}
    (tmp_path / RECORD).write_text(json.dumps(facts))
    assert not at_work(tmp_path)
    LeftProcess(tmp_path).stop()  # would end this very process


def test_on_another_machine_the_lock_of_the_run_folder_tells(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(json.dumps({"pid": os.getpid(), "created": 0, "host": "elsewhere"}))
    assert not at_work(tmp_path)
    code = "import sys; from pathlib import Path; from lungseg.lock import FolderLock\n" \
           "with FolderLock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"  # fmt: skip
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert at_work(tmp_path)
        assert FolderLock.holder(tmp_path)
    finally:
        holder.communicate(timeout=30)
    assert not at_work(tmp_path)


@pytest.mark.parametrize(
    ("status", "console", "code", "said"),
    [
        ({"state": "failed", "error": "DataError: broken\nmore"}, "", 3, "DataError: broken"),
        ({}, "noise\nConfigError: 2 problems:\n  - a\n", 2, "ConfigError: 2 problems:"),
        ({}, "Traceback\n  File x\nKeyError: 'y'\n", 1, "KeyError: 'y'"),
        ({}, "Traceback\n  File x\ntorch.OutOfMemoryError: CUDA\n", 1, "torch.OutOfMemoryError: CUDA"),
        ({}, "last words\n\n", 1, "last words"),
        ({}, "", 1, "it ended with exit code 1 and said nothing"),
        ({"state": "running"}, "epoch 3\n", -9, "killed by SIGKILL; its last words: epoch 3"),
    ],
)
def test_the_first_line_of_an_error(tmp_path: Path, status: dict[str, str], console: str, code: int, said: str) -> None:
    (tmp_path / "status.json").write_text(json.dumps(status))
    (tmp_path / "console.txt").write_text(console)
    assert error_of(tmp_path, code) == said
