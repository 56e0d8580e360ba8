"""Hydra's launchers that run the jobs of a sweep in other processes."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lungseg.__main__ import main

pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs the launchers: pip install 'lungseg[sweep]'")
pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the launchers: pip install 'lungseg[sweep]'")

LAUNCHERS = {
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit": ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=2"],
}
TINY = (
    "data.sources.phantom.n=12", "data.sources.phantom.size=[32,32]", "data.batch_size=2",
    "preprocess.steps.resize.size=[32,32]", "model.features=[4,8]", "trainer.accelerator=cpu", "logger=csv",
    "n_boot=20", "report=false", "test=none",
)  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder; processes that are started import what this one does."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    root.handlers[:], root.level = before


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_jobs_run_in_other_processes_and_the_one_that_failed_is_named(
    here: Path, launcher: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "run").mkdir()
    (here / "run" / "status.json").write_text('{"verb": "predict", "state": "done"}')
    sweep = here / "sweep"
    words = ["report", "-m", "runs=run,nowhere", "output=page.html", f"hydra.sweep.dir={sweep}", *LAUNCHERS[launcher]]
    assert main(words) == 1
    assert (here / "page.html").is_file()
    states = [json.loads((sweep / name / "status.json").read_text())["exit_code"] for name in ("0", "1")]
    assert states == [0, 2]
    told = capfd.readouterr().err
    assert "1 of 2 jobs failed:\n  #1  runs=nowhere output=page.html" in told
    assert "exit code 2: ConfigError: runs=nowhere is not there" in told


@pytest.mark.slow
@pytest.mark.timeout(400)  # three starts of PyTorch
def test_a_job_whose_time_is_up_saves_itself_is_queued_again_and_goes_on(here: Path) -> None:
    sweep = here / "sweep"
    words = [*TINY, "trainer.max_epochs=40", "seed=3", f"hydra.sweep.dir={sweep}", "hydra/launcher=submitit_local"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lungseg", "-m", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        end = time.monotonic() + 180
        while not (sweep / "0" / "epochs.csv").exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < end
            time.sleep(0.02)
        job = json.loads((sweep / "0" / "status.json").read_text())["pid"]
        os.kill(job, signal.SIGUSR1)  # what the cluster sends when the time is nearly up
        said = process.communicate(timeout=180)[0]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, said
    status = json.loads((sweep / "0" / "status.json").read_text())
    assert (status["state"], len(status["resumed"])) == ("done", 1)
    assert status["pid"] != job
    epochs = [line.split(",")[0] for line in (sweep / "0" / "epochs.csv").read_text().splitlines()[1:]]
    assert epochs == [str(number) for number in range(1, 41)]
