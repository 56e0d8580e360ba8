"""Ctrl-C, SIGTERM and kill -9, at any moment: what was written stays, and the resumed run ends bit for bit as one
that was never stopped.

The tiny run has three epochs of three steps, the fourth to sixth being the second epoch.
"""

from __future__ import annotations

import random

import pytest

from tests.faults.lab import hashes, same_end, state_of, status

STEPS = 9


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_a_signal_during_training_saves_and_the_resumed_run_ends_as_if_it_never_came(lab, straight, name):
    stopped = lab.train(before=(("at_step", 5, name),))
    run = lab.only_run()
    assert stopped.code == 75
    assert stopped.says(f"stopped by {name} at step 5", f"the state is in {run.relative_to(lab.folder)}/checkpoints")
    assert stopped.says(f"Go on with: python -m lungseg resume={run.relative_to(lab.folder)}")
    assert (status(run)["state"], status(run)["exit_code"]) == ("interrupted", 75)
    assert int(state_of(run)["step"]) == 5
    resumed = lab.run(f"resume={run.relative_to(lab.folder)}")
    assert resumed.code == 0, resumed.err
    assert (status(run)["state"], len(status(run)["resumed"])) == ("done", 1)
    assert same_end(run, straight)


def test_a_signal_in_the_last_step_stops_before_the_test_and_the_resumed_run_only_tests(lab, straight):
    stopped = lab.train(before=(("at_step", STEPS, "SIGTERM"),))
    run = lab.only_run()
    assert stopped.code == 75
    assert stopped.says("resume=")
    assert not (run / "metrics.json").exists()
    assert lab.run(f"resume={run}").code == 0
    assert same_end(run, straight)


def test_a_second_signal_ends_the_run_at_once_and_the_last_checkpoint_stays(lab):
    stopped = lab.train(before=(("at_step", 5, "SIGTERM", "SIGTERM"),))
    assert stopped.code == 75
    assert stopped.says("second SIGTERM", "the last checkpoint written stays")
    assert int(state_of(lab.only_run())["step"]) == 3  # of the first epoch's end
    assert status(lab.only_run())["state"] == "interrupted"


@pytest.mark.parametrize(
    ("moment", "name", "code"),
    [("while_building", "SIGTERM", 75), ("while_testing", "SIGTERM", 75), ("while_testing", "SIGINT", 130)],
)
def test_a_signal_outside_training_ends_the_run_tidily_and_it_can_be_resumed(lab, straight, moment, name, code):
    stopped = lab.train(before=((moment, name),))
    run = lab.only_run()
    assert stopped.code == code
    assert stopped.says(f"stopped by {name}. Go on with: python -m lungseg resume={run.relative_to(lab.folder)}")
    assert (status(run)["state"], status(run)["exit_code"]) == ("interrupted", code)
    assert lab.run(f"resume={run}").code == 0
    assert same_end(run, straight)


def test_a_signal_while_the_report_is_written_leaves_a_finished_run(lab, straight):
    stopped = lab.train("report=true", before=(("while_reporting", "SIGTERM"),))
    assert stopped.code == 75
    assert stopped.says("stopped by SIGTERM")
    assert status(lab.only_run())["state"] == "done"
    assert same_end(lab.only_run(), straight)


@pytest.mark.parametrize(("how", "workers"), [("folder", 0), ("auto", 0), ("auto", 2)])
def test_a_run_killed_at_a_random_step_is_resumed_bit_for_bit(lab, straight, how, workers):
    seed = random.SystemRandom().randrange(10**6)
    step = random.Random(seed).randint(1, STEPS)
    print(f"seed {seed}: killed in step {step}")  # noqa: T201  (shown when the test fails)
    overrides = [f"data.num_workers={workers}"] if workers else []
    killed = lab.train(*overrides, before=(("at_step", step, "SIGKILL"),))
    assert killed.code == -9
    run = lab.only_run()
    assert status(run)["state"] == "running"  # nobody could say otherwise
    resumed = lab.train(*overrides, "resume=auto") if how == "auto" else lab.run(f"resume={run}")
    assert resumed.code == 0, resumed.err
    assert lab.only_run() == run
    assert same_end(run, straight)


def test_a_run_killed_while_it_writes_a_checkpoint_goes_on_from_the_one_before(lab, straight):
    # per epoch best.ckpt (if better) and last.ckpt: the third write is in the second epoch
    killed = lab.train(before=(("while_writing", 3),))
    assert killed.code == -9
    run = lab.only_run()
    assert int(state_of(run)["step"]) == 3  # reads: it is whole
    assert lab.run(f"resume={run}").code == 0
    assert same_end(run, straight)


def test_ctrl_c_while_the_store_is_filled_keeps_what_was_decoded(lab):
    prepare = [
        "prepare", "data.sources.phantom.n=80", "data.sources.phantom.size=[32,32]", "jobs=2",
        "preprocess.steps.resize.size=[32,32]", "paths.store=store",
    ]  # fmt: skip
    stopped = lab.run(*prepare, before=(("while_filling", 50, "SIGINT"),))
    assert stopped.code == 130
    assert stopped.says("stopped by SIGINT", "Run the same command again")
    again = lab.run(*prepare)
    assert again.code == 0, again.err
    assert "31 of 80 samples to prepare" in again.out  # the signal came before the 50th was added: 49 are kept


def test_two_runs_of_the_same_second_get_two_folders(lab):
    same = (("same_second",),)
    runs = [lab.start(*lab.tiny("trainer.max_epochs=1", "test=none"), before=same) for _ in range(2)]
    assert [run.wait().code for run in runs] == [0, 0]
    folders = sorted(path.name for path in (lab.folder / "outputs" / "phantom").iterdir())
    assert folders == ["2031-05-06_07-08-09", "2031-05-06_07-08-09-2"]


def test_a_second_process_is_kept_out_of_a_run_folder_and_the_first_goes_on(lab, straight):
    first = lab.start(*lab.tiny(), before=(("at_step", 5, "SIGSTOP"),))
    first.until_stopped()
    run = lab.only_run()
    before = hashes(run)
    second = lab.run(f"resume={run}")
    assert second.code == 4
    assert second.says(f"{run.name} is in use by process {first.pid} on", "start a new run")
    assert status(run)["pid"] == first.pid
    assert hashes(run) == before
    fresh = lab.train("resume=auto", "test=none", "trainer.max_epochs=1")
    assert fresh.code == 0, fresh.err  # a run at work is not taken up: this is a new one
    first.send("SIGCONT")
    assert first.wait().code == 0
    assert same_end(run, straight)
