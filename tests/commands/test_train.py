"""`train` through the real config: the run folder's contract, resuming, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from lightning.pytorch import Callback

from lungseg import checkpoint
from lungseg.commands import train
from lungseg.errors import CheckpointError, ConfigError, PreemptedError
from tests.toy import phantom_config

pytestmark = pytest.mark.usefixtures("one_process")


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_text())


class TestRunFolder:
    """What the report, and everybody else, may rely on."""

    def test_every_file_of_the_contract_is_there(self, trained_run):
        files = {path.relative_to(trained_run).as_posix() for path in trained_run.rglob("*") if path.is_file()}
        assert {
            "config.yaml", "overrides.yaml", "status.json", "env.json", "data.json", "split.parquet", "epochs.csv",
            "model.json", "metrics.json", "per_sample.parquet", "overlays/index.json", "checkpoints/best.ckpt",
            "checkpoints/last.ckpt",
        } <= files  # fmt: skip
        assert not [name for name in files if name.endswith(".part")]

    def test_status_says_how_it_ended(self, trained_run):
        found = read(trained_run, "status.json")
        assert (found["verb"], found["state"], found["exit_code"], found["error"]) == ("train", "done", 0, None)

    def test_config_is_resolved_and_overrides_are_as_given(self, trained_run):
        config = yaml.safe_load((trained_run / "config.yaml").read_text())
        assert config["preprocess"]["steps"]["resize"]["size"] == [32, 32]
        assert config["trainer"]["max_epochs"] == 2
        assert "data.batch_size=2" in yaml.safe_load((trained_run / "overrides.yaml").read_text())

    def test_data_says_what_was_used_and_how_it_was_split(self, trained_run):
        found = read(trained_run, "data.json")
        split = pd.read_parquet(trained_run / "split.parquet")
        assert found["sources"]["phantom"]["n"] == len(split) == 12
        assert found["sources"]["phantom"]["n_subjects"] == split["subject_id"].nunique()
        assert found["split"]["strategy"] == "HoldoutSplit"
        assert {part: n for part, n in found["split"]["counts"].items() if n} == split["part"].value_counts().to_dict()
        assert len(found["split"]["hash"]) == 64
        assert found["structures"] == ["lungs"]

    def test_no_patient_is_in_two_parts(self, trained_run):
        split = pd.read_parquet(trained_run / "split.parquet")
        assert (split.groupby("subject_id")["part"].nunique() == 1).all()

    def test_the_model_is_counted(self, trained_run):
        found = read(trained_run, "model.json")
        weights = checkpoint.load(trained_run).weights
        buffers = ("running_mean", "running_var", "num_batches_tracked")
        counted = sum(tensor.numel() for name, tensor in weights.items() if not name.endswith(buffers))
        assert {key: found[key] for key in ("class", "parameters", "trainable", "in_channels", "input_size")} == {
            "class": "ResUNet", "parameters": counted, "trainable": counted, "in_channels": 1, "input_size": [32, 32],
        }  # fmt: skip
        assert found["macs"] > 32 * 32 * counted / 16  # most weights are at a quarter of each side

    def test_a_row_an_epoch(self, trained_run):
        assert pd.read_csv(trained_run / "epochs.csv")["epoch"].tolist() == [1, 2]

    def test_every_test_image_has_its_row(self, trained_run):
        split = pd.read_parquet(trained_run / "split.parquet")
        rows = pd.read_parquet(trained_run / "per_sample.parquet")
        assert sorted(rows["sample_id"]) == sorted(split.loc[split["part"] == "test", "sample_id"])
        assert (rows["height"].unique().tolist(), rows["part"].unique().tolist()) == ([32], ["test"])

    def test_results_say_which_checkpoint_they_are_of(self, trained_run):
        found = read(trained_run, "metrics.json")
        best = checkpoint.load(trained_run / "checkpoints/best.ckpt")
        assert found["checkpoint"] == {
            "file": "checkpoints/best.ckpt", "which": "best", "epoch": best.epoch, "step": best.step,
        }  # fmt: skip
        assert found["trained_on"] == ["phantom"]
        assert found["parts"]["test"]["all"]["lungs"]["n"] == len(pd.read_parquet(trained_run / "per_sample.parquet"))

    def test_the_best_epoch_is_that_of_the_best_validation_dice(self, trained_run):
        table = pd.read_csv(trained_run / "epochs.csv")
        assert checkpoint.load(trained_run).epoch == table.loc[table["val/dice"].idxmax(), "epoch"]


class TestCheckpoint:
    def test_it_holds_all_that_evaluate_and_predict_need(self, trained_run):
        record = checkpoint.load(trained_run).record
        assert {"config", "structures", "normalize", "size", "threshold", "trained_on", "split_hash"} <= set(record)
        assert record["normalize"] == {"mean": 0.0, "std": 1.0}
        assert record["size"] == [32, 32]
        assert record["split_hash"] == read(trained_run, "data.json")["split"]["hash"]

    def test_the_record_is_plain(self, trained_run):
        record = checkpoint.load(trained_run).record
        assert json.loads(json.dumps(record)) == record


class StopAfter(Callback):
    """Ends the run after some batches, with the state of before."""

    def __init__(self, *, batches: int) -> None:
        self.batches = batches

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.fit_loop.epoch_loop.batch_progress.total.processed == self.batches:
            raise PreemptedError("stopped by the test")


def stopped(folder: Path, monkeypatch, *overrides: str) -> Path:
    """A run killed in its second epoch: last.ckpt is of the end of the first."""
    with monkeypatch.context() as patch:
        build = train.build.callbacks
        patch.setattr(train.build, "callbacks", lambda cfg: {**build(cfg), "stop": StopAfter(batches=6)})
        with pytest.raises(PreemptedError):
            train.run(phantom_config("train", folder, *overrides))
    return folder


class TestResume:
    def test_a_resumed_run_ends_as_the_one_that_was_not_stopped(self, tmp_path, trained_run, monkeypatch):
        folder = stopped(tmp_path / "run", monkeypatch)
        assert read(folder, "status.json")["state"] == "interrupted"
        train.run(phantom_config("train", folder, f"resume={folder}"))
        one, other = (torch.load(run / "checkpoints/last.ckpt", weights_only=True) for run in (trained_run, folder))
        for name, tensor in one["state_dict"].items():
            assert torch.equal(tensor, other["state_dict"][name]), name
        tables = [pd.read_csv(run / "epochs.csv").drop(columns="seconds") for run in (trained_run, folder)]
        pd.testing.assert_frame_equal(*tables, check_exact=True)
        assert read(folder, "metrics.json")["parts"] == read(trained_run, "metrics.json")["parts"]
        status = read(folder, "status.json")
        assert (status["state"], len(status["resumed"])) == ("done", 1)

    @pytest.mark.parametrize(
        ("change", "key"),
        [
            (["model.features=[4,16]"], "config.model.features"),
            (["optimizer.lr=0.5"], "config.optimizer.lr"),
            (["data.batch_size=3"], "config.data.batch_size"),
            (["seed=1"], "config.seed"),
            (["split.train=0.5", "split.test=0.4"], "split_hash"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_change_that_makes_it_another_run_is_refused_by_name(self, tmp_path, monkeypatch, change, key):
        folder = stopped(tmp_path / "run", monkeypatch)
        with pytest.raises(CheckpointError, match=f"cannot be resumed.*{key}: .* before, .* now"):
            train.run(phantom_config("train", folder, f"resume={folder}", *change))

    def test_a_run_without_a_checkpoint_yet_starts_from_the_beginning(self, tmp_path, caplog):
        folder = tmp_path / "run"
        folder.mkdir()
        train.run(phantom_config("train", folder, f"resume={folder}", "trainer.max_epochs=1", "test=none"))
        assert "starts from the beginning" in caplog.text
        assert checkpoint.load(folder / "checkpoints/last.ckpt").epoch == 1


class TestParts:
    def test_nothing_is_tested_when_nothing_is_asked_for(self, tmp_path):
        train.run(phantom_config("train", tmp_path / "run", "test=none", "trainer.max_epochs=1"))
        assert not (tmp_path / "run" / "metrics.json").exists()
        assert read(tmp_path / "run", "status.json")["state"] == "done"

    def test_the_last_checkpoint_is_tested_when_asked_for(self, tmp_path):
        train.run(phantom_config("train", tmp_path / "run", "test=last", "test_parts=[val]", "trainer.max_epochs=1"))
        found = read(tmp_path / "run", "metrics.json")
        assert (found["checkpoint"]["which"], found["checkpoint"]["epoch"]) == ("last", 1)
        assert list(found["parts"]) == ["val"]

    def test_without_a_validation_part_the_last_is_tested_and_that_is_said(self, tmp_path, caplog):
        run = phantom_config(
            "train", tmp_path / "run", "split.train=0.8", "split.val=0", "split.test=0.2", "trainer.max_epochs=1"
        )
        train.run(run)
        assert "no validation part" in caplog.text
        assert read(tmp_path / "run", "metrics.json")["checkpoint"]["which"] == "last"
        assert not (tmp_path / "run" / "checkpoints" / "best.ckpt").exists()

    def test_early_stopping_without_a_validation_part_is_refused(self, tmp_path):
        run = phantom_config(
            "train", tmp_path / "run", "split.train=0.8", "split.val=0", "split.test=0.2", "callbacks=early_stopping"
        )
        with pytest.raises(ConfigError, match=r"callbacks\.early_stopping watches val/dice"):
            train.run(run)

    def test_an_empty_part_to_test_is_refused_before_training(self, tmp_path):
        run = phantom_config("train", tmp_path / "run", "split.train=0.8", "split.val=0.2", "split.test=0")
        with pytest.raises(ConfigError, match="no sample in the test part"):
            train.run(run)
        assert not (tmp_path / "run" / "epochs.csv").exists()
        assert read(tmp_path / "run", "status.json")["state"] == "failed"

    def test_constants_of_the_training_part_travel_in_the_checkpoint(self, tmp_path):
        run = phantom_config(
            "train", tmp_path / "run", "preprocess.normalize.mean=train", "preprocess.normalize.std=train",
            "trainer.max_epochs=1", "test=none",
        )  # fmt: skip
        train.run(run)
        constants = checkpoint.load(tmp_path / "run").record["normalize"]
        assert 0 < constants["mean"] < 1
        assert 0 < constants["std"] < 0.5
        assert read(tmp_path / "run", "data.json")["normalize"] == constants


def test_two_runs_of_one_config_are_bit_identical(tmp_path, trained_run):
    train.run(phantom_config("train", tmp_path / "run"))
    one, other = (checkpoint.load(run / "checkpoints/last.ckpt").weights for run in (trained_run, tmp_path / "run"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_loggers_get_no_path():
    cfg = {
        "seed": 0, "paths": {"data": "/home/me"}, "run_dir": "/home/me/run",
        "data": {"sources": {"own": {"_target_": "x", "root": "/home/me/own", "search": "/home/me"}}, "batch_size": 2},
    }  # fmt: skip
    assert train._for_loggers(cfg) == {"seed": 0, "data": {"sources": {"own": {"_target_": "x"}}, "batch_size": 2}}


def test_a_report_is_written_where_it_is_asked_for(tmp_path):
    train.run(phantom_config("train", tmp_path / "run", "report=true", "trainer.max_epochs=1"))
    assert "<html" in (tmp_path / "run" / "report.html").read_text()[:500]


class TestWandb:
    @pytest.fixture(scope="class", name="folder")
    @classmethod
    def _folder(cls, tmp_path_factory):
        folder = tmp_path_factory.mktemp("outputs") / "run"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train, "cores", lambda: 1)
            train.run(phantom_config("train", folder, "logger=default", "callbacks.overlays.logged=2"))
        return folder / "wandb"

    def test_an_offline_run_leaves_values_and_pictures(self, folder):
        data = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        assert b"val/dice" in data
        assert b"val/overlays" in data
        assert list(folder.rglob("*.png"))

    def test_no_file_of_it_names_a_sample_or_a_patient(self, folder):
        # samples are phantom/00003, patients phantom/p0003 or the like: both begin so
        for path in folder.rglob("*"):
            if path.is_file():
                assert b"phantom/0" not in path.read_bytes(), path
                assert b"phantom/p" not in path.read_bytes(), path

    def test_the_run_is_closed(self):
        import wandb

        assert wandb.run is None
