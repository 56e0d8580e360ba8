from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from lungseg.errors import DataError
from lungseg.remote import settings
from lungseg.remote.path import RemotePath, forget, hand_over, place, take_over
from lungseg.remote.storage import Storage


@pytest.fixture
def filled(bucket):
    """bucket/a.txt, bucket/in/b.txt, bucket/in/deep/c.txt"""
    filesystem = Storage.of(str(bucket)).filesystem
    for name, text in {"a.txt": b"one\n", "in/b.txt": b"two", "in/deep/c.txt": b"three"}.items():
        filesystem.pipe_file(f"/bucket/{name}", text)
    return bucket


@pytest.fixture
def asked(monkeypatch):
    """What is asked of the storage."""
    seen = []
    for name in ("children", "below", "entry", "read"):
        before = getattr(Storage, name)

        def wrapped(self, url, *rest, _name=name, _before=before):
            seen.append((_name, url.removeprefix("memory://bucket")))
            return _before(self, url, *rest)

        monkeypatch.setattr(Storage, name, wrapped)
    return seen


def test_names_behave_as_those_of_paths():
    path = RemotePath("abfs://images/covid") / "a" / "b.png"
    assert str(path) == "abfs://images/covid/a/b.png"
    assert (path.name, path.stem, path.suffix, str(path.parent)) == ("b.png", "b", ".png", "abfs://images/covid/a")
    assert path.relative_to(RemotePath("abfs://images")).as_posix() == "covid/a/b.png"
    assert str(path.with_suffix(".gif")) == "abfs://images/covid/a/b.gif"
    assert path.absolute() == path.resolve() == path.expanduser() == path
    assert sorted([path / "z", path / "a"]) == [path / "a", path / "z"]
    assert f"{path}" == str(path)


@pytest.mark.parametrize("again", [copy.copy, lambda path: pickle.loads(pickle.dumps(path))], ids=["copy", "pickle"])
def test_a_copy_is_the_same_path(again):
    path = RemotePath("abfs://images/covid")
    assert again(path) == path
    assert type(again(path)) is RemotePath
    assert hash(again(path)) == hash(path)


def test_it_is_never_taken_for_a_local_file():
    with pytest.raises(TypeError, match="abfs://images is not a file of this machine"):
        open(RemotePath("abfs://images"))  # noqa: SIM115, PTH123


def test_an_absolute_local_path_stays_local():
    assert type(RemotePath("abfs://images") / "/store/mask.png") is type(Path())


def test_texts_become_local_or_remote_paths():
    assert type(place("images/a.png")) is type(Path())
    assert place("file:///data/a.png") == Path("/data/a.png")
    assert type(place("s3://bucket/a.png")) is RemotePath
    path = Path("x")
    assert place(path) is path


def test_asking_and_listing(filled):
    assert filled.is_dir()
    assert not filled.is_file()
    assert (filled / "a.txt").is_file()
    assert not (filled / "a.txt").is_dir()
    assert not (filled / "no").exists()
    assert sorted(path.name for path in filled.iterdir()) == ["a.txt", "in"]
    assert filled.names(folders=True) == ["in"]
    assert sorted(path.relative_to(filled).as_posix() for path in filled.rglob("*")) == [
        "a.txt", "in/b.txt", "in/deep/c.txt",
    ]  # fmt: skip
    assert (filled / "a.txt").stat().st_size == 4


def test_a_folder_is_listed_once(filled, asked):
    list(filled.iterdir())
    assert (filled / "a.txt").is_file()
    assert (filled / "in").is_dir()
    assert not (filled / "no").is_file()
    assert asked == [("children", "")]
    forget()
    list(filled.iterdir())
    assert asked == [("children", "")] * 2


def test_a_whole_tree_is_listed_at_once(filled, asked):
    list(filled.rglob("*"))
    list(filled.rglob("*"))
    assert (filled / "in" / "deep" / "c.txt").is_file()
    assert asked == [("below", "")]


def test_what_is_not_there(filled):
    with pytest.raises(FileNotFoundError):
        (filled / "no").names(folders=True)
    with pytest.raises(FileNotFoundError):
        (filled / "no.txt").read_bytes()
    with pytest.raises(FileNotFoundError):
        (filled / "no.txt").stat()
    with pytest.raises(IsADirectoryError):
        (filled / "in").read_bytes()


def test_reading(filled, asked):
    assert (filled / "a.txt").read_bytes() == b"one\n"
    assert (filled / "a.txt").read_text(encoding="utf-8") == "one\n"
    with (filled / "a.txt").open("rb") as file:
        assert file.read(2) == b"on"
    assert [what for what, _ in asked if what == "read"] == ["read"]


def test_a_beginning_is_read_alone_and_from_the_copy_where_there_is_one(filled, asked):
    path = filled / "in" / "deep" / "c.txt"
    assert path.fetch(2) == b"th"
    assert path.fetch() == b"three"
    asked.clear()
    assert path.fetch(3) == b"thr"
    assert path.fetch(100) == b"three"
    assert asked == []


def test_a_file_that_vanishes_after_it_was_listed(filled):
    list(filled.iterdir())
    Storage.of(str(filled)).filesystem.rm_file("/bucket/a.txt")
    with pytest.raises(DataError, match=r"a\.txt is not there any more: it was listed, and deleted or renamed"):
        (filled / "a.txt").read_bytes()


def test_a_file_that_changes_after_it_was_listed_is_not_mixed_in(filled, tmp_path):
    list(filled.iterdir())
    Storage.of(str(filled)).filesystem.pipe_file("/bucket/a.txt", b"ONE\n")
    with pytest.raises(DataError, match=r"a\.txt was changed since it was listed"):
        (filled / "a.txt").read_bytes()
    forget()
    assert (filled / "a.txt").read_bytes() == b"ONE\n"


def test_a_content_sum_spares_asking_again(filled, asked, monkeypatch):
    import hashlib

    from lungseg.remote.memory import MEMORY
    from lungseg.remote.storage import Entry

    list(filled.iterdir())
    url = str(filled / "a.txt")
    MEMORY.take({url: Entry(4, "v", hashlib.md5(b"one\n").hexdigest())})
    assert (filled / "a.txt").read_bytes() == b"one\n"
    assert asked == [("children", ""), ("read", "/a.txt")]


def test_without_a_version_nothing_is_kept(filled, asked):
    from lungseg.remote.memory import MEMORY
    from lungseg.remote.storage import Entry

    MEMORY.take({str(filled / "a.txt"): Entry(4)})
    assert (filled / "a.txt").version() is None
    for _ in range(2):
        assert (filled / "a.txt").read_bytes() == b"one\n"
    assert asked == [("read", "/a.txt")] * 2
    assert (filled / "a.txt").remembered("length", lambda: "4") == "4"


def test_a_version_changes_with_the_content_and_needs_no_reading(filled, asked):
    before = (filled / "a.txt").version()
    Storage.of(str(filled)).filesystem.pipe_file("/bucket/a.txt", b"ONE\n")
    assert (filled / "a.txt").version() == before
    forget()
    assert (filled / "a.txt").version() != before
    assert "read" not in dict(asked)


def test_what_is_remembered_of_a_content_goes_with_it(filled):
    path = filled / "a.txt"
    assert path.remembered("length", lambda: str(len(path.read_bytes()))) == "4"
    assert path.remembered("length", lambda: pytest.fail("read again")) == "4"
    Storage.of(str(filled)).filesystem.pipe_file("/bucket/a.txt", b"longer")
    forget()
    assert path.remembered("length", lambda: str(len(path.read_bytes()))) == "6"


def test_a_worker_reads_the_versions_of_its_parent(filled, tmp_path):
    handed = pickle.loads(pickle.dumps(hand_over([filled / "a.txt"])))
    forget()  # what a new process knows
    settings.take(settings.Settings(tmp_path / "other", 1))
    Storage.of(str(filled)).filesystem.pipe_file("/bucket/a.txt", b"ONE\n")
    take_over(handed)
    assert settings.current().cache == tmp_path / "cache"
    with pytest.raises(DataError, match="was changed since it was listed"):
        (filled / "a.txt").read_bytes()


def test_of_local_files_nothing_is_handed_over(tmp_path):
    assert hand_over([tmp_path / "a"]) is None
    take_over(None)


def test_only_everything_can_be_listed(filled):
    with pytest.raises(ValueError, match=r"\*\.png"):
        list(filled.rglob("*.png"))
    with pytest.raises(ValueError, match=r"\*\.png"):
        filled.glob("*.png")
    assert sorted(path.name for path in filled.glob("*")) == ["a.txt", "in"]


def test_local_data_are_read_without_fsspec(tmp_path):
    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 12), np.uint8))
    code = (
        "import sys\n"
        "from lungseg.data.io import read_mask, read_size\n"
        "from lungseg.data.sources.jsrt import JsrtSource\n"
        "assert read_size(sys.argv[1]) == (9, 12) == read_mask(sys.argv[1]).mask.shape\n"
        "remote = {'fsspec', 'adlfs', 's3fs', 'lungseg.remote.storage', 'lungseg.remote.cache'}\n"
        "sys.exit(' '.join(remote & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.png")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
