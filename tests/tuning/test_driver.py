"""Trials in processes: at once or one after the other, failed, killed, taken over, stopped early."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="needs Optuna: pip install 'lungseg[sweep]'")

from lungseg.errors import Stopped
from lungseg.tuning.driver import Driver, set_aside
from lungseg.tuning.trial_process import at_work
from tests.tuning.bench import book_of, drive, fake, plan_of, search_of, start, starts

GRID = {"method": "grid", "trials": None, "space": {"x": [0.1, 0.3], "y": {"low": 1, "high": 3}}}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Tell the fake trials of this process what to do."""

    def tell(**what: Any) -> dict[str, Any]:
        monkeypatch.setenv("FAKE", json.dumps(what))
        return what

    return tell


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Drivers in processes of their own, which end with the test."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate(timeout=30)


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that happens in another process."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)


def results(record: Any) -> list[tuple[int, Any, Any]]:
    """What may not depend on the order of the trials."""
    return [(trial["number"], trial["params"], trial["values"]) for trial in record["trials"]]


@pytest.mark.parametrize("search", [{}, GRID], ids=["random", "grid"])
def test_trials_and_results_are_the_same_one_after_the_other_and_two_at_a_time(
    tmp_path: Path, told: Callable[..., Any], search: dict[str, Any]
) -> None:
    told(epochs=2)
    one = drive(tmp_path / "one", search_of(**search))
    two = drive(tmp_path / "two", search_of(**search), workers=2)
    assert results(one) == results(two)
    assert [trial["state"] for trial in one["trials"]] == ["complete"] * (12 if not search else 6)
    # the value is 1 - (x - 0.3)^2 - 0.1 / 2 at the second and last epoch
    assert all(t["values"][0] == pytest.approx(0.95 - (float(t["params"]["x"]) - 0.3) ** 2) for t in one["trials"])


def test_the_trials_number_is_its_seed_and_the_split_is_that_of_the_study(
    tmp_path: Path, told: Callable[..., Any]
) -> None:
    told(epochs=1)
    plan = plan_of(search_of(trials=2), seed=40)
    Driver(plan, book_of(tmp_path, plan), command=fake, pause=0.005).run()
    given = [json.loads((tmp_path / "trials" / name / "given.json").read_text()) for name in ("0000", "0001")]
    assert [(one["seed"], one["split_seed"]) for one in given] == [("40", "40"), ("41", "40")]
    assert {(one["test"], one["report"], one["given"]) for one in given} == {("none", "false", "1")}


def test_two_trials_are_at_work_at_once_each_on_a_gpu_of_its_own(tmp_path: Path, told: Callable[..., Any]) -> None:
    told(epochs=2, pause=0.2)
    seen: list[int] = []
    folder = tmp_path / "study"

    class Watched(Driver):
        def _look(self) -> None:
            seen.append(sum(at_work(path) for path in (folder / "trials").iterdir()))
            super()._look()

    plan = plan_of(search_of(trials=4))
    Watched(plan, book_of(folder, plan), workers=2, gpus=["0", "2,3"], command=fake, pause=0.01).run()
    assert max(seen) == 2
    gpus = [file.read_text().split()[1] for file in sorted(folder.glob("trials/*/starts.txt"))]
    assert sorted(gpus[:2]) == ["0", "2,3"]


@pytest.mark.parametrize(
    ("threads", "given", "expected"), [(3, "1", "3"), (None, "1", "1"), (None, None, "2")], ids=["key", "own", "shared"]
)
def test_threads_are_shared_out_unless_they_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int | None, given: str | None, expected: str
) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    if given:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setattr("lungseg.tuning.driver.cores", lambda: 5)
    plan = plan_of(search_of())
    driver = Driver(plan, book_of(tmp_path, plan), workers=2, threads=threads)
    assert driver.environment(0)["OMP_NUM_THREADS"] == expected


def test_failed_trials_do_not_stop_the_others_and_are_told_with_their_error(
    tmp_path: Path, told: Callable[..., Any]
) -> None:
    told(epochs=1, fail=[1, 3])
    record = drive(tmp_path, search_of(trials=5), workers=2)
    assert [trial["state"] for trial in record["trials"]] == ["complete", "failed", "complete", "failed", "complete"]
    failed = record["trials"][3]
    assert (failed["exit_code"], failed["error"]) == (3, "DataError: image 3 is broken")
    assert failed["overrides"][0] == "given=1"
    assert f"x={failed['params']['x']:.12g}" in failed["overrides"]


def test_a_trial_that_diverged_is_told_apart_and_not_done_again(tmp_path: Path, told: Callable[..., Any]) -> None:
    told(epochs=1, diverge=[0], fail=[1])
    drive(tmp_path, search_of(trials=3))
    record = drive(tmp_path, search_of(trials=3))
    assert [trial["state"] for trial in record["trials"]] == ["diverged", "failed", "complete"]
    assert starts(tmp_path) == {0: ["fresh"], 1: ["fresh", "fresh"], 2: ["fresh"]}


def test_a_trial_without_the_objective_fails_by_name(tmp_path: Path, told: Callable[..., Any]) -> None:
    told(epochs=1)
    record = drive(tmp_path, search_of(trials=1, objectives={"val/iou": "max"}))
    assert record["trials"][0]["state"] == "failed"
    assert "has no number of val/iou at epoch 1; it has: val/dice, val/loss" in record["trials"][0]["error"]


def test_several_objectives_give_their_pareto_front(tmp_path: Path, told: Callable[..., Any]) -> None:
    told(epochs=1)
    search = search_of(
        method="grid", trials=None, space={"x": [0.1, 0.3, 0.9]}, objectives={"val/dice": "max", "macs": "min"}
    )
    record = drive(tmp_path, search)
    # dice .86, .90, .54 and macs 100, 300, 900: the third is beaten in both
    assert [trial["values"][1] for trial in record["trials"]] == [100, 300, 900]
    assert record["best"] == [0, 1]


def test_a_trial_that_falls_behind_is_stopped_and_saved(tmp_path: Path, told: Callable[..., Any]) -> None:
    told(epochs=3, pause=0.05, hang=[4])
    search = search_of(
        method="grid", trials=None, pruner="median", pruner_startup=3, pruner_warmup=0,
        space={"x": [0.2, 0.25, 0.3, 0.35, 0.99]},
    )  # fmt: skip
    record = drive(tmp_path, search)
    last = record["trials"][4]
    assert [trial["state"] for trial in record["trials"]] == ["complete"] * 4 + ["pruned"]
    # 1 - 0.69^2 - 0.1 after the first epoch, where the median is above .89
    assert last["curve"] == [[1, pytest.approx(0.4239)]]
    assert json.loads((tmp_path / "trials" / "0004" / "status.json").read_text())["state"] == "interrupted"


def test_three_of_twenty_fail_and_the_driver_is_killed_then_only_what_is_missing_is_done(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    mended = tmp_path / "mended"
    folder, told = tmp_path / "study", {"epochs": 2, "fail": [2, 5, 8], "hang": [11], "once": str(mended)}
    first = start(folder, told, search={"trials": 20}, workers=2)
    started.append(first)
    # trial 11 hangs at its second epoch; the other worker goes on to the end
    until(lambda: (folder / "trials" / "0019" / "status.json").exists())
    until(lambda: json.loads((folder / "trials" / "0019" / "status.json").read_text())["state"] == "done")
    first.kill()
    first.wait(timeout=30)
    hanging = json.loads((folder / "trials" / "0011" / "status.json").read_text())["pid"]
    os.kill(hanging, signal.SIGTERM)  # as a cluster that ends what a job has left
    until(lambda: not at_work(folder / "trials" / "0011"))
    done_before = {n for n, found in starts(folder).items() if found == ["fresh"]} - {2, 5, 8, 11}
    assert len(done_before) == 16
    mended.touch()
    second = start(folder, told, search={"trials": 20}, workers=2)
    started.append(second)
    assert second.communicate(timeout=60)[0] is not None
    assert second.returncode == 0
    again = starts(folder)
    assert {n for n, found in again.items() if found == ["fresh", "fresh"]} == {2, 5, 8}
    assert again[11] == ["fresh", "resumed"]
    assert {n for n, found in again.items() if found == ["fresh"]} == done_before
    # and nothing tells the study from one that was never broken off
    straight = drive_straight(tmp_path / "straight", {"epochs": 2}, {"trials": 20})
    assert results(json.loads((folder / "tuning.json").read_text())) == results(straight)


def drive_straight(folder: Path, told: dict[str, Any], search: dict[str, Any]) -> Any:
    """Run a study to its end in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAKE", json.dumps(told))
        return drive(folder, search_of(**search))


def test_a_trial_that_outlived_its_driver_is_waited_for(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    folder, told = tmp_path / "study", {"epochs": 3, "pause": 0.5}
    first = start(folder, told, search={"trials": 2}, workers=1)
    started.append(first)
    until(lambda: (folder / "trials" / "0000" / "epochs.csv").exists())
    first.kill()
    first.wait(timeout=30)
    assert at_work(folder / "trials" / "0000")
    record = drive_straight(folder, told, {"trials": 2})
    assert [trial["state"] for trial in record["trials"]] == ["complete", "complete"]
    assert starts(folder) == {0: ["fresh"], 1: ["fresh"]}


def test_a_signal_saves_the_trials_and_the_same_command_goes_on(tmp_path: Path, told: Callable[..., Any]) -> None:
    told(epochs=3, hang=[0])
    plan = plan_of(search_of(trials=2))

    def interrupt() -> None:
        if (tmp_path / "trials" / "0000" / "epochs.csv").exists():
            os.kill(os.getpid(), signal.SIGINT)

    class Interrupted(Driver):
        def _look(self) -> None:
            interrupt() if self._signal is None else None
            super()._look()

    with pytest.raises(Stopped, match="SIGINT"):
        Interrupted(plan, book_of(tmp_path, plan), command=fake, pause=0.01).run()
    assert json.loads((tmp_path / "trials" / "0000" / "status.json").read_text())["state"] == "interrupted"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    told(epochs=3)
    record = drive(tmp_path, search_of(trials=2))
    assert starts(tmp_path) == {0: ["fresh", "resumed"], 1: ["fresh"]}
    assert [trial["state"] for trial in record["trials"]] == ["complete", "complete"]
    assert [epoch for epoch, _ in record["trials"][0]["curve"]] == [1, 2, 3]


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_two_drivers_share_one_study_and_no_trial_is_done_twice(
    tmp_path: Path, started: list[subprocess.Popen[str]], storage: str
) -> None:
    folder, told = tmp_path / "study", {"epochs": 1, "pause": 0.3}
    started += [start(folder, told, search={"trials": 8}, storage=storage) for _ in range(2)]
    said = [process.communicate(timeout=100)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert starts(folder) == {number: ["fresh"] for number in range(8)}
    plan = plan_of(search_of(trials=8))
    book = book_of(folder, plan, storage=storage)
    drivers = {trial.user_attrs["driver"] for trial in book.study.get_trials()}
    assert len(drivers) == 2
    assert book.others() == 0
    assert len(book.study.get_trials()) == 8


def test_failed_trials_are_left_alone_where_it_is_asked(tmp_path: Path, told: Callable[..., Any]) -> None:
    told(epochs=1, fail=[0])
    drive(tmp_path, search_of(trials=2))
    drive(tmp_path, search_of(trials=2), retry=False)
    assert starts(tmp_path)[0] == ["fresh"]


def test_more_trials_may_be_asked_for_later(tmp_path: Path, told: Callable[..., Any]) -> None:
    told(epochs=1)
    few = drive(tmp_path / "a", search_of(trials=2))
    more = drive(tmp_path / "a", search_of(trials=5))
    assert results(more)[:2] == results(few)
    assert results(more) == results(drive(tmp_path / "b", search_of(trials=5)))


def test_a_failed_attempt_is_kept_beside_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "0003"
    assert set_aside(folder) is None
    for number in (1, 2):
        folder.mkdir()
        assert set_aside(folder) == tmp_path / f"0003_failed_{number}"
