"""The bytes of a checkpoint: on the disk when the call returns, and the disk's own error when they cannot be."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from lungseg.callbacks.checkpoint_file import CheckpointFile

CONTENT = {"epoch": 3, "state_dict": {"w": torch.arange(4.0)}, "note": None}


def test_what_was_written_is_read_back(tmp_path):
    CheckpointFile().save_checkpoint(CONTENT, tmp_path / "a.ckpt")
    found = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert found["epoch"] == 3
    assert found["note"] is None
    assert torch.equal(found["state_dict"]["w"], torch.tensor([0.0, 1.0, 2.0, 3.0]))


def test_lightnings_reader_reads_it(tmp_path):
    file = CheckpointFile()
    file.save_checkpoint(CONTENT, str(tmp_path / "a.ckpt"))
    assert file.load_checkpoint(tmp_path / "a.ckpt", weights_only=True)["epoch"] == 3


def test_a_longer_file_of_that_name_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "a.ckpt"
    path.write_bytes(b"x" * 1_000_000)
    CheckpointFile().save_checkpoint(CONTENT, path)
    # four floats take 16 bytes and the archive around them some kilobytes
    assert path.stat().st_size < 10_000
    assert torch.load(path, weights_only=True)["epoch"] == 3


def test_the_bytes_are_on_the_disk_when_it_returns(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda number: sizes.append(os.fstat(number).st_size))
    CheckpointFile().save_checkpoint(CONTENT, tmp_path / "a.ckpt")
    # all bytes had been handed to the system before it was asked to write them out
    assert sizes == [(tmp_path / "a.ckpt").stat().st_size]


def test_nothing_is_laid_into_another_folder(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    scratch.chmod(0o500)  # a system folder that cannot be written does not matter
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    CheckpointFile().save_checkpoint(CONTENT, tmp_path / "a.ckpt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ckpt", "scratch"]
    assert list(scratch.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_named_as_what_it_is():
    with pytest.raises(OSError, match="No space left") as caught:
        CheckpointFile().save_checkpoint(CONTENT, Path("/dev/full"))
    assert caught.value.errno == errno.ENOSPC


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        CheckpointFile().save_checkpoint(CONTENT, tmp_path / "gone" / "a.ckpt")
