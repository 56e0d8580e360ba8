"""Filling the store: builds cut off, broken radiographs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from lungseg.data import store_writer
from lungseg.data.store import Store
from lungseg.data.table import SamplesTable
from lungseg.errors import DataError, ResourceError
from tests.data.store_sources import MemorySource, build, numbered


class TestInterrupted:
    def test_a_stopped_build_goes_on_with_the_rest(self, tmp_path):
        first = MemorySource(numbered(6))
        first.stop_at = 4
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path, first)
        second = MemorySource(numbered(6))
        store = build(tmp_path, second)
        assert second.reads == ["004", "005"]
        assert store.images(range(6))[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]

    def test_a_build_killed_between_two_commits_keeps_the_first(self, tmp_path, monkeypatch):
        monkeypatch.setattr(store_writer, "CHUNK", 2)
        # killed: nothing runs after the fifth image, not even the writer's exit
        monkeypatch.setattr(store_writer._Writer, "__exit__", lambda *_: None)
        first = MemorySource(numbered(6))
        first.stop_at = 5
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path, first)
        monkeypatch.undo()
        second = MemorySource(numbered(6))
        store = build(tmp_path, second)
        assert second.reads == ["004", "005"]  # 0-3 were committed in twos
        assert store.images(range(6))[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]

    @pytest.mark.parametrize("name", ["grey8.bin", "mask8.bin", "published.bin"])
    def test_samples_cut_off_at_a_file_s_end_are_made_again(self, tmp_path, name):
        def source() -> MemorySource:
            masks = {f"{i:03d}": {"lungs": np.eye(8, dtype=bool)} for i in range(3)}
            return MemorySource(numbered(3), masks)

        first = build(tmp_path, source(), structures=["lungs"])
        path = first.folder / name
        os.truncate(path, path.stat().st_size - 1)
        again = source()
        store = build(tmp_path, again, structures=["lungs"])
        assert again.reads == ["002"]
        assert store.images([2])[0].tolist() == np.full((8, 8), 2).tolist()
        assert store.masks([2])[0, 0].tolist() == np.eye(8).tolist()
        assert store.published(2)[0][0].tolist() == np.eye(8, dtype=bool).tolist()

    @pytest.mark.parametrize("name", ["grey8.bin", "mask8.bin", "published.bin"])
    def test_a_deleted_file_is_made_again(self, tmp_path, name):
        masks = {f"{i:03d}": {"lungs": np.ones((8, 8), bool)} for i in range(2)}
        first = build(tmp_path, MemorySource(numbered(2), masks), structures=["lungs"])
        (first.folder / name).unlink()
        again = MemorySource(numbered(2), masks)
        store = build(tmp_path, again, structures=["lungs"])
        assert again.reads == ["000", "001"]
        assert store.published(1)[0].all()

    def test_a_folder_that_cannot_be_made_is_a_lack_of_resources(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(ResourceError, match=r"cannot be written.*paths\.store"):
            build(tmp_path / "file", MemorySource(numbered(1)))

    def test_a_full_disk_keeps_what_was_committed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(store_writer, "CHUNK", 2)
        written = store_writer._write_at

        def full(path: Path, offset: int, data: bytes) -> None:
            if path.name == "grey8.bin" and offset >= 2 * 64:  # the third sample of 8 x 8 pixels
                raise OSError(28, "No space left on device")
            written(path, offset, data)

        monkeypatch.setattr(store_writer, "_write_at", full)
        with pytest.raises(ResourceError, match="No space left"):
            build(tmp_path, MemorySource(numbered(4)))
        monkeypatch.undo()
        again = MemorySource(numbered(4))
        build(tmp_path, again)
        assert again.reads == ["002", "003"]


class TestBroken:
    def test_broken_radiographs_are_collected_and_the_good_ones_stay(self, tmp_path):
        images = numbered(9)
        images |= {name: np.zeros(0, np.uint8) for name in ("001", "002", "003", "004", "005", "006")}
        with pytest.raises(DataError, match=r"6 of 9 radiographs cannot be used: 001 .*005 .* and 1 more"):
            build(tmp_path, MemorySource(images))
        mended = MemorySource(numbered(9))
        build(tmp_path, mended)
        assert mended.reads == ["001", "002", "003", "004", "005", "006"]

    def test_images_of_different_sizes_ask_for_a_resize_step(self, tmp_path):
        images = {"a": np.zeros((8, 8), np.uint8), "b": np.zeros((8, 9), np.uint8)}
        with pytest.raises(DataError, match=r"8x8 and 8x9.*resize"):
            build(tmp_path, MemorySource(images))

    def test_a_colour_image_asks_for_a_grey_step(self, tmp_path):
        with pytest.raises(DataError, match="memory/a: the image still has 3 channels; add a grey step"):
            build(tmp_path, MemorySource({"a": np.zeros((8, 8, 3), np.uint8)}))

    def test_an_empty_table_is_refused(self, tmp_path):
        with pytest.raises(DataError, match="table is empty"):
            Store.build(SamplesTable.from_rows([]), {}, steps={}, structures=[], folder=tmp_path)
