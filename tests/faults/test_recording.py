"""What a run folder keeps when a run is stopped or refused, and what a checkpoint's config may name."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from lungseg.checkpoint import refuse_foreign_targets
from lungseg.errors import CheckpointError, DataError, Stopped
from lungseg.run_folder import recording


def config(folder, *overrides, **more):
    return {"verb": "train", "run_dir": str(folder), "overrides": list(overrides), "name": "x", **more}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_outside_training_is_recorded_as_an_interruption(tmp_path, number, code):
    with pytest.raises(Stopped), recording(config(tmp_path)):
        raise Stopped(number)
    found = json.loads((tmp_path / "status.json").read_text())
    assert (found["state"], found["exit_code"]) == ("interrupted", code)


def test_a_run_whose_resumption_is_refused_keeps_its_status_and_config(tmp_path):
    with recording(config(tmp_path, "seed=1")):
        pass
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(DataError), recording(config(tmp_path, "seed=2", resume=str(tmp_path))):
        raise DataError("another split")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "target",
    [
        "os.mkdir", "pathlib.Path", "subprocess.Popen", "torch.hub.load", "torch.load", "numpy.load",
        "lungseg.run_folder.write_text", "lungseg.run_folder.subprocess.Popen",
        "lungseg.models.resunet.nn.Linear", "no_such_package.nets.Net", "Net", "", 5,
    ],
)  # fmt: skip
def test_a_checkpoint_may_not_name_what_is_no_class_of_its_module(target):
    config = {"model": {"blocks": [{"_target_": target}]}}
    with pytest.raises(CheckpointError, match=r"config\.model\.blocks\.0\._target_"):
        refuse_foreign_targets(Path("a.ckpt"), config)


@pytest.mark.parametrize(
    "target",
    [
        "lungseg.models.resunet.ResUNet", "lungseg.metrics.summary.summarise", "torch.optim.Adam", "lightning.Trainer",
        "torch.nn.Conv2d", "albumentations.Affine",
    ],
)  # fmt: skip
def test_a_checkpoint_may_name_what_our_configs_name(target):
    refuse_foreign_targets(Path("a.ckpt"), {"model": {"_target_": target}})
