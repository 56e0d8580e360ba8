"""The store's index: content keys of files, and an index that is damaged."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from lungseg.data import store_index
from lungseg.data.store import Store
from lungseg.data.table import SamplesTable
from lungseg.errors import DataError, ResourceError
from tests.data.store_sources import FileSource, MemorySource, build, numbered


@pytest.fixture
def files(tmp_path) -> tuple[Path, list[str]]:
    """Three 8 x 8 PNG files of grey 10, 20, 30."""
    folder = tmp_path / "files"
    folder.mkdir()
    names = ["a.png", "b.png", "c.png"]
    for i, name in enumerate(names, 1):
        cv2.imwrite(str(folder / name), np.full((8, 8), 10 * i, np.uint8))
    return folder, names


class TestFiles:
    def test_a_changed_file_is_the_only_one_read_again(self, tmp_path, files):
        folder, names = files
        build(tmp_path / "store", FileSource(folder, names))
        cv2.imwrite(str(folder / "b.png"), np.full((8, 8), 99, np.uint8))
        again = FileSource(folder, names)
        store = build(tmp_path / "store", again)
        assert again.reads == ["b.png"]
        assert store.images([0, 1, 2])[:, 0, 0].tolist() == [10, 99, 30]

    def test_a_change_is_seen_though_size_and_modification_time_are_as_before(self, tmp_path, files):
        folder, names = files
        before = (folder / "b.png").stat()
        build(tmp_path / "store", FileSource(folder, names))
        cv2.imwrite(str(folder / "b.png"), np.full((8, 8), 21, np.uint8))  # one grey level: a file of the same length
        assert (folder / "b.png").stat().st_size == before.st_size
        os.utime(folder / "b.png", ns=(before.st_atime_ns, before.st_mtime_ns))
        again = FileSource(folder, names)
        store = build(tmp_path / "store", again)
        assert again.reads == ["b.png"]
        assert store.images([1])[0, 0, 0] == 21

    def test_a_file_that_was_only_touched_is_not_read_again(self, tmp_path, files):
        folder, names = files
        build(tmp_path / "store", FileSource(folder, names))
        (folder / "b.png").touch()
        again = FileSource(folder, names)
        build(tmp_path / "store", again)
        assert again.reads == []

    def test_an_unchanged_file_is_not_even_hashed_again(self, tmp_path, files, monkeypatch):
        folder, names = files
        build(tmp_path / "store", FileSource(folder, names))
        monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail(f"{self} was read"))
        build(tmp_path / "store", FileSource(folder, names))

    def test_files_that_vanished_are_named_together(self, tmp_path, files):
        folder, names = files
        source = FileSource(folder, names)
        table = SamplesTable.from_rows(source.index().rows)
        for name in names[:2]:
            (folder / name).unlink()
        with pytest.raises(DataError, match=r"2 files .* cannot be read: .*a\.png .*b\.png"):
            Store.build(table, {"files": (source, folder)}, steps={}, structures=[], folder=tmp_path / "store")


class TestDamaged:
    def test_a_damaged_index_is_named_with_its_folder(self, tmp_path):
        home = build(tmp_path, MemorySource(numbered(2))).folder
        (home / "index.sqlite").write_bytes(b"this is no database at all " * 100)
        with pytest.raises(DataError, match=f"index.* is damaged .*Delete the folder {home}"):
            build(tmp_path, MemorySource(numbered(2)))

    def test_a_disk_that_sqlite_finds_full_is_no_damaged_index(self, tmp_path):
        home = build(tmp_path, MemorySource(numbered(1))).folder

        def fill() -> None:
            with store_index.open_index(home) as index:
                index.execute("PRAGMA max_page_count = 1")
                rows = [(str(key), bytes(1000)) for key in range(200)]
                index.executemany("INSERT INTO files VALUES (?, 0, 0, 0, 0, ?)", rows)

        with pytest.raises(ResourceError, match="full"):
            fill()
