from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from lungseg.errors import DataError, ResourceError
from lungseg.remote import cache as module
from lungseg.remote.cache import Cache, name_of


class Remote:
    """Files by name; counts what is downloaded."""

    def __init__(self, cache, **files):
        self.cache = cache
        self.files = files
        self.ranges = []

    def load(self, key):
        def load(start, end):
            self.ranges.append((key, start, end))
            return self.files[key][start:end]

        return load

    def read(self, key, approve=lambda _: None):
        return self.cache.read(name_of(key, "v1", 0), len(self.files[key]), self.load(key), approve, key)


def last_used(cache, key, seconds_ago):
    """Put the last use of a copy into the past, as the index and the file say it."""
    name, when = name_of(key, "v1", 0), time.time() - seconds_ago
    os.utime(cache._path(name), (when, when))
    with cache._index() as index:
        index.execute("UPDATE copies SET used = ? WHERE name = ?", (when, name))


def test_a_file_is_downloaded_once(tmp_path):
    remote = Remote(Cache(tmp_path, 100), a=b"hello")
    assert [remote.read("a"), remote.read("a")] == [b"hello", b"hello"]
    assert remote.ranges == [("a", 0, 5)]


def test_a_large_file_comes_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 4)
    remote = Remote(Cache(tmp_path, 100), a=b"0123456789")
    assert remote.read("a") == b"0123456789"
    assert remote.ranges == [("a", 0, 4), ("a", 4, 8), ("a", 8, 10)]


def test_a_download_that_was_cut_off_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 4)
    remote = Remote(Cache(tmp_path, 100), a=b"0123456789")
    whole = remote.load("a")

    def cut(start, end):
        if start == 8:
            raise ResourceError("gone away")
        return whole(start, end)

    with pytest.raises(ResourceError, match="gone away"):
        remote.cache.read(name_of("a", "v1", 0), 10, cut, lambda _: None, "a")
    # another process, or the same later
    remote.cache = Cache(tmp_path, 100)
    assert remote.read("a") == b"0123456789"
    assert remote.ranges == [("a", 0, 4), ("a", 4, 8), ("a", 8, 10)]


def test_another_version_is_another_copy():
    assert len({name_of("a", "1", 5), name_of("a", "2", 5), name_of("b", "1", 5), name_of("a", "1", 6)}) == 4


def test_the_longest_unused_make_room(tmp_path):
    remote = Remote(Cache(tmp_path, 13), a=b"aaaa", b=b"bbbb", c=b"cccc", d=b"dddd")
    for key, ago in {"a": 3000, "b": 2000, "c": 1000}.items():
        remote.read(key)
        last_used(remote.cache, key, ago)
    remote.read("a")  # so that b is the longest unused, which only the file of a tells
    remote.read("d")  # 12 of 13 bytes are taken
    assert remote.cache.size() == 12
    remote.ranges.clear()
    for key in "acd":
        remote.read(key)
    assert remote.ranges == []
    remote.read("b")
    assert remote.ranges == [("b", 0, 4)]


def test_copies_that_are_all_in_use_go_in_the_order_of_their_last_use(tmp_path):
    remote = Remote(Cache(tmp_path, 8), a=b"aaaa", b=b"bbbb", c=b"cccc")
    for key, ago in {"a": 3000, "b": 2000}.items():
        remote.read(key)
        last_used(remote.cache, key, ago)
    for key, ago in {"a": 100, "b": 200}.items():  # used since, b before a
        os.utime(remote.cache._path(name_of(key, "v1", 0)), (time.time() - ago,) * 2)
    remote.read("c")
    remote.ranges.clear()
    remote.read("a")
    assert remote.ranges == []
    assert not remote.cache.holds(name_of("b", "v1", 0), 4)


def test_the_limit_is_never_passed(tmp_path):
    sizes = [3, 9, 1, 7, 10, 2, 8, 4, 6, 5] * 3
    cache = Cache(tmp_path, 20)
    remote = Remote(cache, **{f"f{i}": bytes(size) for i, size in enumerate(sizes)})
    for key in remote.files:
        remote.read(key)
        assert cache.size() <= 20
    with sqlite3.connect(tmp_path / "index.sqlite") as index:
        # the index knows every copy, and no other
        assert index.execute("SELECT SUM(size) FROM copies").fetchone()[0] == cache.size()
    index.close()


def test_a_file_larger_than_the_limit_is_read_and_not_kept(tmp_path):
    remote = Remote(Cache(tmp_path, 4), a=b"hello")
    assert remote.read("a") == b"hello"
    assert remote.cache.size() == 0
    assert not list((tmp_path / "parts").iterdir())


def test_an_empty_file_needs_no_download(tmp_path):
    remote = Remote(Cache(tmp_path, 4), a=b"")
    assert remote.read("a") == b""
    assert remote.ranges == []


def test_a_download_that_is_not_approved_is_not_kept(tmp_path):
    remote = Remote(Cache(tmp_path, 100), a=b"hello")

    def refuse(_):
        raise DataError("changed")

    with pytest.raises(DataError, match="changed"):
        remote.read("a", refuse)
    assert remote.read("a") == b"hello"
    assert len(remote.ranges) == 2


def test_a_copy_that_was_cut_short_is_downloaded_again(tmp_path):
    remote = Remote(Cache(tmp_path, 100), a=b"hello")
    remote.read("a")
    remote.cache._path(name_of("a", "v1", 0)).write_bytes(b"hel")
    assert remote.read("a") == b"hello"


def test_a_use_marks_the_copy_at_most_once_a_minute(tmp_path):
    remote = Remote(Cache(tmp_path, 100), a=b"hello")
    remote.read("a")
    path = remote.cache._path(name_of("a", "v1", 0))
    os.utime(path, (time.time() - 30,) * 2)
    before = path.stat().st_mtime
    remote.read("a")
    assert path.stat().st_mtime == before
    os.utime(path, (time.time() - 90,) * 2)
    remote.read("a")
    assert path.stat().st_mtime > before


def test_facts_are_kept_and_survive_their_file(tmp_path):
    cache = Cache(tmp_path, 0)
    assert cache.fact("a", "size") is None
    cache.note("a", "size", "3x4")
    assert Cache(tmp_path, 0).fact("a", "size") == "3x4"
    assert cache.fact("a", "sha256") is None


def test_a_damaged_index_is_made_anew_and_the_copies_are_still_counted(tmp_path, caplog):
    remote = Remote(Cache(tmp_path, 10), a=b"hello", b=b"world", c=b"again")
    remote.read("a")
    remote.read("b")
    (tmp_path / "index.sqlite").write_bytes(b"no sqlite" * 1000)
    remote.cache = Cache(tmp_path, 10)
    with caplog.at_level(logging.WARNING):
        remote.read("c")
    assert "is damaged" in caplog.text
    assert remote.cache.size() == 10


def test_an_index_that_was_deleted_is_filled_from_the_copies(tmp_path):
    remote = Remote(Cache(tmp_path, 10), a=b"hello", b=b"world", c=b"again")
    remote.read("a")
    remote.read("b")
    (tmp_path / "index.sqlite").unlink()
    remote.cache = Cache(tmp_path, 10)
    remote.read("c")
    assert remote.cache.size() == 10


def test_downloads_given_up_a_day_ago_are_swept(tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    for name, age in (("old", 25 * 3600), ("young", 3600)):
        (parts / name).write_bytes(b"x")
        os.utime(parts / name, (time.time() - age,) * 2)
    Remote(Cache(tmp_path, 10), a=b"hello").read("a")
    assert [path.name for path in parts.iterdir()] == ["young"]


def test_a_cache_that_cannot_be_written_names_its_keys(tmp_path):
    (tmp_path / "file").write_text("in the way")
    remote = Remote(Cache(tmp_path / "file" / "cache", 10), a=b"hello")
    with pytest.raises(ResourceError, match=r"cannot be kept in the cache .*paths\.cache_gb.*paths\.cache"):
        remote.read("a")


def test_threads_that_want_one_file_download_it_once(tmp_path):
    remote = Remote(Cache(tmp_path, 100), a=bytes(50))
    whole = remote.load("a")

    def slowly(start, end):
        time.sleep(0.05)
        return whole(start, end)

    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(remote.cache.read(name_of("a", "v1", 0), 50, slowly, lambda _: None, "a"))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [bytes(50)] * 8
    assert len(remote.ranges) == 1


_CHILD = """
import random, sys
from pathlib import Path
from lungseg.remote.cache import Cache, name_of
cache = Cache(Path(sys.argv[1]), 2000)
draw = random.Random(int(sys.argv[2]))
for _ in range(150):
    i = draw.randrange(30)
    data = bytes([i]) * (50 + 10 * i)
    found = cache.read(name_of(str(i), "", 0), len(data), lambda a, b: data[a:b], lambda p: None, str(i))
    assert found == data, i
    with cache._index():  # nobody changes anything meanwhile
        assert cache.size() <= 2000, cache.size()
"""


def test_processes_share_a_cache_within_its_limit(tmp_path):
    children = [
        subprocess.Popen([sys.executable, "-c", _CHILD, str(tmp_path), str(seed)], stderr=subprocess.PIPE, text=True)
        for seed in range(3)
    ]
    ends = [child.communicate()[1] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], ends
    # 30 files of 50 to 340 bytes take 5850, so copies had to go; what is left is whole and known
    with sqlite3.connect(tmp_path / "index.sqlite") as index:
        (known,) = index.execute("SELECT SUM(size) FROM copies").fetchone()
    index.close()
    assert known == Cache(tmp_path, 2000).size() <= 2000
