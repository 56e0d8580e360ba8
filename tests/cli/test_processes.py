"""How many processes a job has, and which of several failures is told."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lungseg.cli import processes
from lungseg.cli.processes import Failure, wanted
from lungseg.errors import ConfigError, DataError, ResourceError


def first_cause(folder: Path, codes: list[int], died: dict[int, float], **reports: Failure) -> Failure | None:
    for rank, failure in reports.items():
        (folder / f"{rank.removeprefix('rank')}.json").write_text(json.dumps(vars(failure)))
    started: list[Any] = [SimpleNamespace(returncode=code) for code in codes]
    return processes._first_cause(started, died, folder, "Go on.")


def test_without_a_failure_there_is_no_cause(tmp_path):
    assert first_cause(tmp_path, [0, 0], {}) is None


def test_the_first_of_two_errors_is_told(tmp_path):
    early, late = Failure(3, "DataError: early", 10.0), Failure(3, "DataError: late", 11.0)
    assert first_cause(tmp_path, [3, 3], {0: 12.0, 1: 12.0}, rank0=late, rank1=early) == early


def test_an_error_of_ours_goes_before_one_that_nobody_foresaw(tmp_path):
    """The other process only finds that its neighbour is gone, and may say so first."""
    ours, theirs = Failure(3, "DataError: broken", 11.0), Failure(1, "RuntimeError: closed", 10.0, known=False)
    assert first_cause(tmp_path, [1, 3], {0: 10.0, 1: 11.0}, rank0=theirs, rank1=ours) == ours


def test_a_process_that_was_killed_goes_before_what_its_end_did_to_others(tmp_path):
    theirs = Failure(1, "RuntimeError: closed", 10.1, known=False)
    found = first_cause(tmp_path, [1, -signal.SIGKILL], {0: 10.5, 1: 10.0}, rank0=theirs)
    assert found is not None
    assert found.code == ResourceError.exit_code
    assert "process 2 of 2 was ended by SIGKILL" in found.text
    assert "Go on." in found.text


def test_an_abort_is_taken_for_a_consequence(tmp_path):
    ours = Failure(3, "DataError: broken", 12.0)
    assert first_cause(tmp_path, [-signal.SIGABRT, 3], {0: 10.0, 1: 12.0}, rank1=ours) == ours


def test_a_process_that_left_no_word_is_told_by_its_last_lines(tmp_path):
    (tmp_path / "1.txt").write_text("one\ntwo\nthree\n")
    found = first_cause(tmp_path, [0, 9], {1: 10.0})
    assert found is not None
    assert found.code == 9
    assert found.text.endswith("Go on.\n  one\n  two\n  three")


def test_what_a_process_reports_is_read_back(tmp_path, monkeypatch):
    monkeypatch.setenv(processes.REPORTS, str(tmp_path))
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert processes.is_watched()
    failure = processes.failure_of(DataError("broken"))
    processes.report(failure)
    assert (failure.code, failure.text) == (3, "DataError: broken")
    assert processes._reported(tmp_path / "1.json") == failure


@pytest.mark.parametrize(
    ("environment", "is_rank"),
    [
        ({}, False), ({"LOCAL_RANK": "0"}, True), ({"RANK": "1"}, True), ({"SLURM_PROCID": "0"}, False),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "2"}, True),
    ],
)  # fmt: skip
def test_processes_of_schedulers_are_known_by_their_environment(monkeypatch, environment, is_rank):
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert processes.is_rank() == is_rank


@pytest.mark.parametrize(
    ("trainer", "count"),
    [
        ({"devices": 1}, 1), ({"devices": 3}, 3), ({"devices": [0, 2]}, 2), ({"devices": "0,1"}, 2),
        ({"devices": "auto", "accelerator": "cpu"}, 1), ({}, 1),
    ],
)  # fmt: skip
def test_devices_say_how_many_processes_there_are(trainer, count):
    assert wanted({"trainer": trainer}) == count


def test_an_evaluation_says_it_with_a_key_of_its_own():
    assert wanted({"devices": 2, "device": "cpu"}) == 2


@pytest.mark.parametrize("devices", ["many", 0, -3])
def test_devices_that_are_no_number_are_refused(devices):
    with pytest.raises(ConfigError, match=r"trainer\.devices="):
        wanted({"trainer": {"devices": devices}})


def test_all_gpus_of_a_machine_without_any_are_refused(monkeypatch):
    monkeypatch.setattr("lungseg.cli.processes._gpus", lambda: 0)
    with pytest.raises(ConfigError, match="finds no GPU"):
        wanted({"trainer": {"devices": "auto", "accelerator": "gpu"}})


def test_all_gpus_of_a_machine_get_a_process_each(monkeypatch):
    monkeypatch.setattr("lungseg.cli.processes._gpus", lambda: 4)
    assert wanted({"trainer": {"devices": "auto", "accelerator": "gpu"}}) == 4


def test_several_machines_need_a_scheduler():
    with pytest.raises(ConfigError, match="torchrun"):
        wanted({"trainer": {"devices": 2, "num_nodes": 2}})
