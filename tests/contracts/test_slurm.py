"""The batch script of docs/slurm, with stand-ins for the cluster's commands; and the preset of the launcher."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hydra.core.plugins import Plugins

from lungseg.cli.composition import Composer
from lungseg.config import config_dir

SCRIPT = Path(__file__).parents[2] / "docs" / "slurm" / "lungseg.sbatch"


def submit(folder: Path, code: int, **environment: str) -> tuple[int, str, str]:
    """Run the script where `srun` ends with a code; gives its exit code, what was run and what was queued again."""
    programs = {"srun": f'echo "$@" > ran\nexit {code}', "scontrol": 'echo "$@" > queued'}
    for name, body in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "41", **environment}
    done = subprocess.run(["bash", str(SCRIPT), "loss=dice", "name=a b"], cwd=folder, env=env, check=False)
    queued = folder / "queued"
    return done.returncode, (folder / "ran").read_text().strip(), queued.read_text().strip() if queued.exists() else ""


@pytest.mark.parametrize(("code", "queued"), [(75, "requeue 41"), (0, ""), (3, ""), (130, "")])
def test_a_job_that_has_saved_itself_is_queued_again_and_no_other(tmp_path: Path, code: int, queued: str) -> None:
    assert submit(tmp_path, code) == (code, "python -m lungseg loss=dice name=a b", queued)


def test_of_an_array_the_task_is_queued_again(tmp_path: Path) -> None:
    found = submit(tmp_path, 75, SLURM_ARRAY_JOB_ID="40", SLURM_ARRAY_TASK_ID="2")
    assert found[2] == "requeue 40_2"


def test_the_script_asks_for_the_signal_by_which_a_training_saves_itself() -> None:
    from lungseg.callbacks.preemption import SIGNALS

    asked = next(line for line in SCRIPT.read_text().splitlines() if "--signal=" in line)
    assert f"SIG{asked.partition('=')[2].partition('@')[0]}" in {number.name for number in SIGNALS}


def test_the_preset_of_the_launcher_composes_and_lets_a_job_be_queued_again() -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs submitit: pip install 'lungseg[sweep]'")
    Plugins.instance()
    composer = Composer("train", config_dir())
    lines = ["seed=0,1", "hydra/launcher=slurm", "hydra.launcher.timeout_min=30"]
    first, _ = composer.plan(lines, multirun=True)
    assert first.multirun
    hydra = composer._loader.load_configuration("train", lines[1:], composer_mode()).hydra
    assert hydra.launcher._target_.endswith("SlurmLauncher")
    assert (hydra.launcher.timeout_min, hydra.launcher.max_num_timeout) == (30, 100)


def composer_mode() -> object:
    from hydra.types import RunMode

    return RunMode.RUN
