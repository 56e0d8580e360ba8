"""Checkpoints: whole or not there, plain values only, the best chosen by validation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback

from lungseg import checkpoint
from lungseg.callbacks.checkpoints import Checkpoints, refuse_not_finite
from lungseg.errors import ConfigError, DivergedError, ResourceError
from tests.callbacks.test_resume import assert_same, fit
from tests.toy import toy_data, toy_task, toy_trainer


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


class Scores(Callback):
    """Puts given values where the validation's stand, epoch by epoch."""

    def __init__(self, *scores: float) -> None:
        self.scores = scores

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.given = self.scores[trainer.current_epoch]

    def on_validation_end(self, trainer, pl_module):
        pl_module.epoch_values["val/loss"] = self.scores[trainer.current_epoch]


def run(folder: Path, store: Path, *callbacks: Callback, epochs: int = 1, saver: Checkpoints | None = None, **trainer):
    task = toy_task()
    task.record = {"format": 1, "config": {"seed": 0, "model": {"features": [4, 8]}}, "note": None}
    trainer_ = toy_trainer(folder, *callbacks, epochs=epochs, **trainer)
    if saver is not None:
        trainer_.callbacks[-1] = saver
    trainer_.fit(task, datamodule=toy_data(store, n=8))
    return task


def load(path: Path) -> dict:
    return torch.load(path, weights_only=True)


class TestContent:
    @pytest.fixture(scope="class", name="folder")
    @classmethod
    def _folder(cls, tmp_path_factory, store):
        folder = tmp_path_factory.mktemp("run")
        run(folder, store, epochs=2)
        return folder / "checkpoints"

    @pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
    def test_both_load_with_weights_only_and_hold_the_plain_record(self, folder, name):
        content = load(folder / name)
        assert content["lungseg"] == {"format": 1, "config": {"seed": 0, "model": {"features": [4, 8]}}, "note": None}

    def test_the_last_holds_what_a_resumed_run_needs_and_the_best_does_not(self, folder):
        last, best = load(folder / "last.ckpt"), load(folder / "best.ckpt")
        assert {"optimizer_states", "loops", "callbacks"} <= set(last)
        assert not {"optimizer_states", "callbacks"} & set(best)

    def test_whole_epochs_are_counted(self, folder):
        assert checkpoint.load(folder / "last.ckpt").epoch == 2
        assert checkpoint.load(folder / "best.ckpt").epoch in (1, 2)

    def test_nothing_else_is_left_in_the_folder(self, folder):
        assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", "last.ckpt"]


class TestBest:
    @pytest.mark.parametrize(
        ("mode", "scores", "epoch"),
        [
            ("max", (0.5, 0.9, 0.7), 2),
            ("min", (0.5, 0.9, 0.3), 3),
            ("max", (0.5, 0.5, 0.5), 1),
            ("max", (float("nan"), 0.1, float("nan")), 2),
        ],
        ids=["most", "least", "first-of-equals", "nan-is-ignored"],
    )
    def test_the_best_epoch_is_kept(self, tmp_path, store, mode, scores, epoch):
        saver = Checkpoints(monitor="val/loss", mode=mode)
        run(tmp_path, store, Scores(*scores), epochs=3, saver=saver)
        assert saver.best_epoch == epoch
        assert checkpoint.load(tmp_path / "checkpoints/best.ckpt").epoch == epoch

    def test_a_score_that_never_was_a_number_keeps_no_best(self, tmp_path, store):
        run(tmp_path, store, Scores(float("nan")), saver=Checkpoints(monitor="val/loss", mode="max"))
        assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]

    def test_a_mistyped_monitor_suggests_the_near_name(self, tmp_path, store):
        with pytest.raises(ConfigError, match=r"monitor=val/dise is not measured\. Did you mean val/dice\?"):
            run(tmp_path, store, saver=Checkpoints(monitor="val/dise"))

    def test_no_monitor_keeps_no_best(self, tmp_path, store):
        run(tmp_path, store, saver=Checkpoints(monitor=None))
        assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]

    def test_an_unknown_mode_is_refused(self):
        with pytest.raises(ConfigError, match="mode=maximum"):
            Checkpoints(mode="maximum")

    def test_a_resumed_run_remembers_its_best(self, tmp_path):
        saver = Checkpoints()
        saver.load_state_dict({"best_score": 0.8, "best_epoch": 3})
        assert saver.state_dict() == {"best_score": 0.8, "best_epoch": 3}


class SpoilWeights(Callback):
    """Makes one weight not finite after an epoch's training."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            with torch.no_grad():
                next(pl_module.parameters()).view(-1)[0] = float("nan")


class TestNotFinite:
    def test_weights_that_are_not_finite_are_never_written(self, tmp_path, store):
        with pytest.raises(DivergedError, match=r"weights model\..* are not finite"):
            run(tmp_path, store, SpoilWeights(1), epochs=3)
        # the state after the first epoch is still there, and whole
        content = load(tmp_path / "checkpoints/last.ckpt")
        assert content["epochs_done"] == 1
        refuse_not_finite(content["state_dict"], 0)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_the_tensor_is_named(self, value):
        with pytest.raises(DivergedError, match="weights b are not finite at step 7"):
            refuse_not_finite({"a": torch.zeros(2), "b": torch.tensor([0.0, value])}, 7)

    def test_whole_numbers_pass(self):
        refuse_not_finite({"steps": torch.tensor(3)}, 0)


class TestWriting:
    def test_a_full_disk_keeps_the_old_file_and_says_how_to_go_on(self, tmp_path, store, monkeypatch):
        run(tmp_path, store)
        before = (tmp_path / "checkpoints/last.ckpt").read_bytes()

        def full(self, path, **options):
            Path(path).write_bytes(b"half a file")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("lightning.pytorch.Trainer.save_checkpoint", full)
        with pytest.raises(ResourceError, match=rf"last\.ckpt .*No space left.* MiB are free.*resume={tmp_path}"):
            run(tmp_path, store, saver=Checkpoints(monitor=None))
        assert (tmp_path / "checkpoints/last.ckpt").read_bytes() == before
        assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]

    def test_a_folder_that_cannot_be_made_is_a_lack_of_resources(self, tmp_path, store):
        (tmp_path / "checkpoints").write_text("a file in the way")
        with pytest.raises(ResourceError, match="cannot be written"):
            run(tmp_path, store)

    def test_between_epochs_it_writes_when_its_minutes_are_over(self, tmp_path, store):
        saver, written = Checkpoints(monitor=None, every_minutes=0.0), []
        saver.save_last = lambda trainer: written.append(trainer.global_step)  # type: ignore[assignment, func-returns-value]
        run(tmp_path, store, saver=saver)
        assert written == [1, 2, 3]  # 3 batches: two inside the epoch, one at its end

    def test_without_minutes_it_writes_at_epoch_ends_only(self, tmp_path, store):
        saver, written = Checkpoints(monitor=None, every_minutes=None), []
        saver.save_last = lambda trainer: written.append(trainer.global_step)  # type: ignore[assignment, func-returns-value]
        run(tmp_path, store, epochs=2, saver=saver)
        assert written == [3, 6]


class StopsItself(Callback):
    """Asks to stop inside an epoch, as Lightning's timer does; after the checkpoints in the order of callbacks."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 7:
            trainer.should_stop = True


class TestCutOff:
    """5 batches an epoch: a run that ends after 7 steps ends inside its second epoch."""

    @pytest.fixture(scope="class", name="straight")
    @classmethod
    def _straight(cls, tmp_path_factory):
        return fit(tmp_path_factory.mktemp("straight") / "run")

    def test_a_run_cut_off_by_max_steps_goes_on_bit_identically(self, tmp_path, straight):
        fit(tmp_path / "run", max_steps=7)
        assert load(tmp_path / "run/checkpoints/last.ckpt")["epochs_done"] == 1
        assert_same(fit(tmp_path / "run", resume=True), straight)

    def test_a_run_cut_off_by_time_goes_on_bit_identically(self, tmp_path, straight):
        fit(tmp_path / "run", StopsItself())
        assert_same(fit(tmp_path / "run", resume=True), straight)

    def test_a_run_that_ends_by_max_steps_at_an_epoch_s_end_goes_on_bit_identically(self, tmp_path, straight):
        fit(tmp_path / "run", max_steps=10)
        assert load(tmp_path / "run/checkpoints/last.ckpt")["epochs_done"] == 2
        assert_same(fit(tmp_path / "run", resume=True), straight)
