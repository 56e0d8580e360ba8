"""Checkpoints from disk: damage is named, foreign code is never run."""

from __future__ import annotations

import os
import random
import zipfile
from pathlib import Path

import pytest
import torch

from lungseg.checkpoint import RECORD_FORMAT, find, load, load_weights
from lungseg.errors import CheckpointError, ConfigError
from lungseg.models.resunet import ResUNet


def content(**changed) -> dict:
    network = torch.nn.Module()
    network.model = ResUNet(in_channels=1, features=(4, 8))
    return {
        "lungseg": {"format": RECORD_FORMAT, "lungseg": "0.1.0", "config": {"model": {"features": [4, 8]}}},
        "state_dict": network.state_dict(), "epoch": 2, "global_step": 30, **changed,
    }  # fmt: skip


@pytest.fixture
def whole(tmp_path) -> Path:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(content(), folder / "best.ckpt")
    return folder / "best.ckpt"


class TestLoad:
    def test_a_whole_checkpoint_gives_its_record_weights_and_counters(self, whole):
        loaded = load(whole)
        assert loaded.record["config"] == {"model": {"features": [4, 8]}}
        assert set(loaded.weights) == set(content()["state_dict"])
        assert (loaded.epoch, loaded.step) == (3, 30)  # epoch 2 counted from 0, written as its validation ended

    def test_whole_epochs_are_taken_where_they_are_counted(self, tmp_path):
        torch.save(content(epochs_done=2), tmp_path / "last.ckpt")
        assert load(tmp_path / "last.ckpt").epoch == 2

    @pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99], ids=str)
    def test_a_truncated_file_is_named_with_its_size_and_the_way_out(self, whole, keep):
        size = int(whole.stat().st_size * keep) if isinstance(keep, float) else keep
        os.truncate(whole, size)
        with pytest.raises(CheckpointError, match=rf"{whole} \({size} bytes\) is cut off .*Use the other one"):
            load(whole)

    def test_a_flipped_byte_among_the_weights_is_found(self, whole):
        data = bytearray(whole.read_bytes())
        with zipfile.ZipFile(whole) as archive:
            entry = max(archive.infolist(), key=lambda info: info.file_size)
        data[entry.header_offset + 200 + entry.file_size // 2] ^= 1
        whole.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"is damaged: .* does not match its sum"):
            load(whole)

    def test_a_byte_flipped_anywhere_is_an_error_of_ours_or_does_no_harm(self, whole):
        good = whole.read_bytes()
        expected = load(whole)
        chosen = random.Random(0).sample(range(len(good)), 60) + list(range(len(good) - 100, len(good), 7))
        for at in chosen:
            data = bytearray(good)
            data[at] ^= 0xFF
            whole.write_bytes(data)
            try:
                found = load(whole)
            except CheckpointError:
                continue
            # a byte of padding
            assert all(torch.equal(found.weights[name], tensor) for name, tensor in expected.weights.items()), at

    def test_a_file_that_is_no_archive_is_named(self, tmp_path):
        (tmp_path / "page.ckpt").write_text("<html>not found</html>")
        with pytest.raises(CheckpointError, match=r"page\.ckpt \(22 bytes\) is cut off or no checkpoint at all"):
            load(tmp_path / "page.ckpt")

    def test_an_archive_of_something_else_is_named(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "other.ckpt", "w") as archive:
            archive.writestr("readme.txt", "hello")
        with pytest.raises(CheckpointError, match=r"other\.ckpt cannot be read"):
            load(tmp_path / "other.ckpt")

    @pytest.mark.parametrize("missing", ["lungseg", "state_dict", "epoch", "global_step"])
    def test_a_checkpoint_without_our_record_is_none_of_ours(self, tmp_path, missing):
        held = content()
        del held[missing]
        torch.save(held, tmp_path / "other.ckpt")
        with pytest.raises(CheckpointError, match="is no checkpoint of lungseg"):
            load(tmp_path / "other.ckpt")

    @pytest.mark.parametrize("held", [[1, 2], {"lungseg": "text", "state_dict": {}}, torch.zeros(2)], ids=repr)
    def test_other_content_is_none_of_ours(self, tmp_path, held):
        torch.save(held, tmp_path / "other.ckpt")
        with pytest.raises(CheckpointError, match="is no checkpoint of lungseg"):
            load(tmp_path / "other.ckpt")

    @pytest.mark.parametrize("number", [RECORD_FORMAT + 1, "later", None])
    def test_another_format_names_the_version_that_wrote_it(self, tmp_path, number):
        record = {"format": number, "lungseg": "9.9.9"}
        torch.save(content(lungseg=record), tmp_path / "new.ckpt")
        with pytest.raises(CheckpointError, match=r"written by lungseg 9\.9\.9 in format"):
            load(tmp_path / "new.ckpt")


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


class TestForeignCode:
    def test_a_pickle_payload_is_refused_by_name_and_not_executed(self, tmp_path):
        mark = tmp_path / "executed"
        torch.save(content(evil=Payload(str(mark))), tmp_path / "evil.ckpt")
        with pytest.raises(CheckpointError, match=r"holds more than tensors .*system.* was not loaded"):
            load(tmp_path / "evil.ckpt")
        assert not mark.exists()

    def test_the_payload_works_where_it_is_not_refused(self, tmp_path):
        # or the test above would prove nothing
        mark = tmp_path / "executed"
        torch.save(Payload(str(mark)), tmp_path / "evil.ckpt")
        torch.load(tmp_path / "evil.ckpt", weights_only=False)
        assert mark.exists()

    def test_a_bare_pickle_is_not_executed(self, tmp_path):
        import pickle

        mark = tmp_path / "executed"
        (tmp_path / "evil.ckpt").write_bytes(pickle.dumps(Payload(str(mark))))
        with pytest.raises(CheckpointError):
            load(tmp_path / "evil.ckpt")
        assert not mark.exists()


class TestOtherVersion:
    def test_a_preprocessing_step_that_this_version_lacks_names_step_key_and_the_version_to_install(self, tmp_path):
        steps = {"denoise": {"_target_": "lungseg.data.preprocess.denoise.Denoise"}}
        record = {"format": RECORD_FORMAT, "lungseg": "9.2.0", "config": {"preprocess": {"steps": steps}}}
        torch.save(content(lungseg=record), tmp_path / "new.ckpt")
        with pytest.raises(
            CheckpointError, match=r"denoise\.Denoise \(config\.preprocess\.steps\.denoise\).*lungseg==9\.2\.0"
        ):
            load(tmp_path / "new.ckpt")


class TestFind:
    def test_a_run_folder_gives_its_best(self, whole):
        assert find(whole.parents[1]) == whole

    def test_a_run_folder_without_a_best_gives_its_last(self, whole):
        whole.rename(whole.with_name("last.ckpt"))
        assert find(whole.parents[1]) == whole.with_name("last.ckpt")

    def test_the_folder_of_checkpoints_will_do(self, whole):
        assert find(whole.parent) == whole

    def test_a_relative_name_becomes_absolute(self, whole, monkeypatch):
        monkeypatch.chdir(whole.parent)
        assert find("best.ckpt") == whole

    def test_a_home_is_expanded(self, whole, monkeypatch):
        monkeypatch.setenv("HOME", str(whole.parent))
        assert find("~/best.ckpt") == whole

    def test_a_folder_without_any_says_what_it_looked_for(self, tmp_path):
        with pytest.raises(ConfigError, match=r"is a folder without checkpoints/best\.ckpt"):
            find(tmp_path)

    def test_a_mistyped_name_suggests_the_near_one(self, whole):
        with pytest.raises(ConfigError, match=rf"does not exist; did you mean {whole}\?"):
            find(whole.with_name("besst.ckpt"))

    def test_a_name_near_to_nothing_says_what_to_give(self, tmp_path):
        with pytest.raises(ConfigError, match=r"does not exist\. Give a \.ckpt file or a run folder"):
            find(tmp_path / "no" / "where")


class TestWeights:
    def holder(self, **model) -> torch.nn.Module:
        holder = torch.nn.Module()
        holder.model = ResUNet(**{"in_channels": 1, "features": (4, 8), **model})
        return holder

    def test_the_same_network_takes_them(self, whole):
        holder, loaded = self.holder(), load(whole)
        load_weights(holder, loaded)
        assert all(torch.equal(tensor, loaded.weights[name]) for name, tensor in holder.state_dict().items())

    def test_tensors_of_other_shapes_are_named_with_both(self, whole):
        with pytest.raises(CheckpointError, match=r"tensors of other shapes: .*\(4, 1, 3, 3\).* wants \(4, 3, 3, 3\)"):
            load_weights(self.holder(in_channels=3), load(whole))

    def test_missing_and_unknown_tensors_are_named_and_counted(self, whole):
        loaded = load(whole)
        loaded.weights["model.extra"] = torch.zeros(1)
        first = next(name for name in loaded.weights if name.startswith("model."))
        del loaded.weights[first]
        with pytest.raises(CheckpointError, match=f"1 tensors are not in it: {first}; 1 are unknown.*: model.extra"):
            load_weights(self.holder(), loaded)

    def test_the_message_tells_the_model_it_was_trained_with(self, whole):
        with pytest.raises(CheckpointError, match=r"trained with model=\{'features': \[4, 8\]\}"):
            load_weights(self.holder(features=(4, 8, 16)), load(whole))

    def test_a_refused_checkpoint_changes_no_weight(self, whole):
        holder = self.holder(in_channels=3)
        before = {name: tensor.clone() for name, tensor in holder.state_dict().items()}
        with pytest.raises(CheckpointError):
            load_weights(holder, load(whole))
        assert all(torch.equal(tensor, before[name]) for name, tensor in holder.state_dict().items())
