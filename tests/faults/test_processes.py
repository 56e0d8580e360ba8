"""Runs of two processes: one that dies ends the other, its cause is told once, and a stopped run is resumed exactly."""

from __future__ import annotations

import json
import socket
import time

import pandas as pd
import psutil
import pytest

from lungseg.callbacks.preemption import Preemption
from tests.faults.lab import Lab, hashes, results, same_end, state_of, status, table

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TWO = ("trainer=ddp_cpu", "trainer.max_epochs=2", "data.batch_size=1")
ACT = """
import os, signal
from lightning.pytorch import Callback

class Act(Callback):
    def __init__(self, *, rank: int, step: int, what: str) -> None:
        self.rank, self.step, self.what = rank, step, what

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_rank == self.rank and trainer.global_step == self.step:
            if self.what == "fail":
                raise ValueError("failed on purpose")
            os.kill(os.getppid() if self.what == "parent" else os.getpid(), signal.SIGKILL)
"""


def act(lab: Lab, rank: int, step: int, what: str) -> str:
    """Return the override that makes one of the processes do something in a step."""
    (lab.folder / "acts.py").write_text(ACT)
    return f"callbacks.act={{_target_: acts.Act, rank: {rank}, step: {step}, what: {what}}}"


def at_work(lab: Lab) -> list[psutil.Process]:
    """Return the processes that run in a lab's working folder."""
    return [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(lab.folder)]


@pytest.fixture(scope="module")
def together(server, straight, tmp_path_factory):
    """An uninterrupted run of two processes."""
    lab = Lab(tmp_path_factory.mktemp("together"), server, straight.parents[2] / "store")
    ended = lab.start(*lab.tiny(*TWO)).wait(200)
    assert ended.code == 0, ended.err
    assert lab.only_run()
    return lab, ended


def test_two_processes_write_one_run(together):
    lab, ended = together
    run = lab.only_run()
    assert ended.out.count("epoch   1/2") == 1
    assert "2 processes with batches of 1: 2 images a step" in ended.out
    assert "batch norms take their statistics" in ended.out
    assert (status(run)["state"], status(run)["exit_code"]) == ("done", 0)
    assert sorted(path.name for path in run.glob("checkpoints/*")) == ["best.ckpt", "last.ckpt"]
    assert len(table(run)) == 3
    assert not list(run.glob(".samples.arrow*"))
    frame = pd.read_parquet(run / "per_sample.parquet")
    split = pd.read_parquet(run / "split.parquet")
    assert frame["sample_id"].tolist() == split.loc[split["part"] == "test", "sample_id"].tolist()


def test_two_processes_evaluate_as_one(together):
    lab, _ = together
    for count, name in ((1, "one"), (2, "two")):
        ended = lab.start(
            "evaluate", f"checkpoint={lab.only_run()}", "device=cpu", f"devices={count}", "parts=[train,val,test]",
            "n_boot=20", "report=false", f"paths.store={lab.store}", f"hydra.run.dir={name}",
        ).wait(200)  # fmt: skip
        assert ended.code == 0, ended.err
    one, two = (pd.read_parquet(lab.folder / name / "per_sample.parquet") for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two, rtol=0, atol=1e-12)
    assert json.dumps(results(lab.folder / "one")) == json.dumps(results(lab.folder / "two"))


def test_a_signal_stops_both_at_one_step_and_the_resumed_run_ends_as_if_it_never_came(together, server, tmp_path):
    straight, _ = together
    lab = Lab(tmp_path, server, straight.store)
    running = lab.start(*lab.tiny(*TWO))
    until = time.monotonic() + 200
    while "epoch   1/2" not in running.said("out"):
        assert time.monotonic() < until, running.said("err")
        time.sleep(0.05)
    running.send("SIGTERM")
    stopped = running.wait(100)
    run = lab.only_run()
    if stopped.code == 0:
        pytest.skip("the run was over before the signal came")
    assert stopped.code == 75, stopped.err
    assert stopped.err.count("Go on with") == 1
    assert status(run)["state"] == "interrupted"
    resumed = lab.start(f"resume={run}").wait(200)
    assert resumed.code == 0, resumed.err
    assert same_end(run, straight.only_run())


@pytest.mark.parametrize(("rank", "what", "code"), [(1, "kill", 4), (0, "kill", 4), (1, "fail", 1)])
def test_a_process_that_dies_ends_the_other_and_its_cause_is_told_once(lab, rank, what, code):
    ended = lab.start(*lab.tiny(*TWO, act(lab, rank, 3, what))).wait(200)
    run = lab.only_run()
    assert ended.code == code, ended.err
    said = "ValueError: failed on purpose" if what == "fail" else f"process {rank + 1} of 2 was ended by SIGKILL"
    assert ended.err.count(said) == 1, ended.err
    assert (status(run)["state"], status(run)["exit_code"]) == ("failed", code)
    assert said in status(run)["error"]
    assert not at_work(lab)


def test_processes_end_when_the_one_that_started_them_is_killed(lab):
    running = lab.start(*lab.tiny(*TWO, "trainer.max_epochs=500", act(lab, 0, 4, "parent")))
    assert running.wait(200).code == -9
    until = time.monotonic() + 60
    while left := at_work(lab):
        assert time.monotonic() < until, left
        time.sleep(0.2)
    assert int(state_of(lab.only_run())["step"]) >= 4  # saved before it ended


def test_more_processes_than_images_are_refused_once(lab):
    ended = lab.start(*lab.tiny("trainer=ddp_cpu", "trainer.devices=3", "split.val=0.1", "split.test=0.2")).wait(200)
    assert ended.code == 2, ended.err
    assert ended.says("the val part has", "there are 3 processes", "trainer.devices to")
    assert ended.err.count("ConfigError") == 1


def test_a_port_that_is_taken_is_refused_before_anything_starts(lab):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = lab.train(*TWO, MASTER_PORT=str(port))
    assert ended.code == 4
    assert ended.says(f"MASTER_PORT={port}", "unset it")


def test_a_sweep_of_runs_of_two_processes_keeps_them_apart(lab):
    ended = lab.start("-m", *lab.tiny(*TWO, "trainer.max_epochs=1", "test=none", "model.dropout=0.1,0.3")).wait(250)
    assert ended.code == 0, ended.err
    (sweep,) = (lab.folder / "outputs" / "sweeps").iterdir()
    runs = [sweep / "0", sweep / "1"]
    assert [status(run)["state"] for run in runs] == ["done", "done"]
    assert hashes(runs[0] / "checkpoints") != hashes(runs[1] / "checkpoints")


def test_a_signal_to_any_process_is_seen(monkeypatch):
    monkeypatch.setattr("lungseg.distributed.any_says", lambda mine: True)
    assert Preemption()._agreed()
