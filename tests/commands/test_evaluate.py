"""`evaluate`: the checkpoint is all it needs, and what was trained on is not tested by accident."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from lungseg.commands import evaluate
from lungseg.data.sources.montgomery import MontgomerySource
from lungseg.errors import CheckpointError, ConfigError
from tests.toy import phantom_config

pytestmark = pytest.mark.usefixtures("one_process")

OTHER = ["data=phantom", "data.sources.phantom.n=6", "data.sources.phantom.size=[32,32]", "data.sources.phantom.seed=9"]


def run(folder: Path, checkpoint: Path, *overrides: str) -> Path:
    evaluate.run(phantom_config("evaluate", folder, f"checkpoint={checkpoint}", *overrides))
    return folder


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def own(tmp_path_factory, trained_run) -> Path:
    """The run's best checkpoint on its own test part."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "cores", lambda: 1)
        return run(tmp_path_factory.mktemp("outputs") / "run", trained_run)


def test_its_own_test_part_gives_exactly_what_training_gave(own, trained_run):
    assert read(own, "metrics.json")["parts"] == read(trained_run, "metrics.json")["parts"]
    one, other = (pd.read_parquet(folder / "per_sample.parquet") for folder in (own, trained_run))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_it_writes_a_run_folder(own):
    files = {path.relative_to(own).as_posix() for path in own.rglob("*") if path.is_file()}
    assert {
        "config.yaml", "overrides.yaml", "status.json", "env.json", "data.json", "split.parquet", "model.json",
        "metrics.json", "per_sample.parquet", "overlays/index.json",
    } <= files  # fmt: skip
    assert (read(own, "status.json")["verb"], read(own, "status.json")["state"]) == ("evaluate", "done")


def test_it_says_which_checkpoint_of_which_run(own, trained_run):
    found = read(own, "metrics.json")
    before = read(trained_run, "metrics.json")["checkpoint"]
    assert found["checkpoint"] == {**before, "file": str(trained_run / "checkpoints/best.ckpt")}
    assert (found["trained_run"], found["trained_on"]) == (str(trained_run), ["phantom"])


def test_a_checkpoint_without_its_run_folder_has_no_trained_run(tmp_path, trained_run):
    (tmp_path / "alone.ckpt").write_bytes((trained_run / "checkpoints/best.ckpt").read_bytes())
    folder = run(tmp_path / "outputs" / "run", tmp_path / "alone.ckpt")
    assert read(folder, "metrics.json")["trained_run"] is None


def test_other_parts_can_be_tested(tmp_path, trained_run):
    folder = run(tmp_path / "run", trained_run, "parts=[val,test]")
    found = read(folder, "metrics.json")["parts"]
    counts = read(trained_run, "data.json")["split"]["counts"]
    assert {part: block["all"]["lungs"]["n"] for part, block in found.items()} == {
        "val": counts["val"], "test": counts["test"],
    }  # fmt: skip


def test_another_threshold_changes_the_masks_only_from_there_on(tmp_path, trained_run, own):
    folder = run(tmp_path / "run", trained_run, "threshold=0.2")
    found = read(folder, "metrics.json")
    assert found["threshold"] == 0.2
    predicted = [pd.read_parquet(f / "per_sample.parquet")[["tp", "fp"]].to_numpy().sum() for f in (folder, own)]
    assert predicted[0] > predicted[1]


def test_results_do_not_depend_on_the_batch_size(tmp_path, trained_run, own):
    folder = run(tmp_path / "run", trained_run, "batch_size=1")
    one, other = (pd.read_parquet(f / "per_sample.parquet") for f in (folder, own))
    pd.testing.assert_frame_equal(one, other)


class TestOtherData:
    def test_phantoms_of_another_seed_are_all_tested_when_that_is_allowed(self, tmp_path, trained_run):
        folder = run(tmp_path / "run", trained_run, *OTHER, "allow_leakage=true")
        found = read(folder, "metrics.json")
        assert found["parts"]["test"]["all"]["lungs"]["n"] == 6
        assert read(folder, "data.json")["split"]["strategy"] == "AllTestSplit"

    def test_a_set_of_another_name_is_tested_without_asking(self, tmp_path, trained_run):
        from lungseg.data.phantom.layouts import write_layout

        root = write_layout("montgomery", tmp_path / "set", n=3, size=(64, 80)).root
        folder = run(tmp_path / "run", trained_run, "data=montgomery", f"data.sources.montgomery.root={root}")
        found = read(folder, "metrics.json")
        assert found["parts"]["test"]["montgomery"]["lungs"]["n"] == 3
        # counted at the size the masks are published in
        assert pd.read_parquet(folder / "per_sample.parquet")["height"].tolist() == [64, 64, 64]
        assert found["trained_on"] == ["phantom"]

    def test_the_same_source_with_another_split_is_refused(self, tmp_path, trained_run):
        with pytest.raises(CheckpointError, match=r"trained on phantom with another split .*allow_leakage=true"):
            run(tmp_path / "run", trained_run, "split=all_test")

    def test_the_same_source_with_more_samples_is_refused(self, tmp_path, trained_run):
        with pytest.raises(CheckpointError, match="another split"):
            run(tmp_path / "run", trained_run, *OTHER)

    def test_a_set_with_the_training_patients_under_other_names_is_refused(self, tmp_path, trained_run, monkeypatch):
        from lungseg.data.phantom.layouts import write_layout

        monkeypatch.setattr(MontgomerySource, "shares_patients_with", ("phantom",))
        root = write_layout("montgomery", tmp_path / "set", n=3, size=(64, 80)).root
        with pytest.raises(CheckpointError, match=r"trained on phantom, which holds the patients of montgomery"):
            run(tmp_path / "run", trained_run, "data=montgomery", f"data.sources.montgomery.root={root}")

    def test_a_refused_test_leaves_no_result(self, tmp_path, trained_run):
        with pytest.raises(CheckpointError):
            run(tmp_path / "run", trained_run, "split=all_test")
        assert not (tmp_path / "run" / "metrics.json").exists()
        assert read(tmp_path / "run", "status.json")["state"] == "failed"


def test_limits_of_a_trial_run_do_not_shorten_the_test(tmp_path, trained_run):
    content = torch.load(trained_run / "checkpoints/best.ckpt", weights_only=True)
    content["lungseg"]["config"]["trainer"]["limit_test_batches"] = 1
    torch.save(content, tmp_path / "trial.ckpt")
    folder = run(tmp_path / "outputs" / "run", tmp_path / "trial.ckpt", "batch_size=1")
    assert read(folder, "metrics.json")["parts"] == read(trained_run, "metrics.json")["parts"]


def test_a_checkpoint_that_is_not_there_makes_no_folder(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        run(tmp_path / "run", tmp_path / "none.ckpt")
    assert not (tmp_path / "run").exists()


def test_a_network_of_another_shape_is_named(tmp_path, trained_run):
    content = torch.load(trained_run / "checkpoints/best.ckpt", weights_only=True)
    content["lungseg"]["config"]["model"]["features"] = [4, 16]
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="is of another network"):
        run(tmp_path / "outputs" / "run", tmp_path / "other.ckpt")
