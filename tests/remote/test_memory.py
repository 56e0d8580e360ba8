from __future__ import annotations

import pytest

from lungseg.errors import DataError
from lungseg.remote.memory import Memory
from lungseg.remote.storage import Entry, Storage


class Account:
    """A storage with files, by path below the container `images`."""

    protocol = "abfs"

    def __init__(self, *files):
        self.files = files
        self.asked = []

    def _strip_protocol(self, url):
        return url.partition("://")[2]

    def info(self, path):
        self.asked.append(("info", path))
        if path in ("images", "images@lungs.x"):
            return {"name": path, "type": "directory"}
        if path.removeprefix("images/") in self.files:
            return {"name": path, "type": "file", "size": 1, "etag": "v"}
        raise FileNotFoundError(path)

    def ls(self, path, detail):
        self.asked.append(("ls", path))
        found = {}
        for file in self.files:
            inside = f"images/{file}"
            if inside.startswith(f"{path}/"):
                name, _, more = inside.removeprefix(f"{path}/").partition("/")
                whole = f"{path}/{name}"
                found[whole] = (
                    {"name": whole, "type": "directory"}
                    if more
                    else {"name": whole, "type": "file", "size": 1, "etag": "v"}
                )
        if not found:
            raise FileNotFoundError(path)
        return list(found.values())

    def find(self, path, detail):
        self.asked.append(("find", path))
        names = [f"images/{file}" for file in self.files]
        return {
            name: {"name": name, "type": "file", "size": 1, "etag": "v"}
            for name in names
            if name.startswith(f"{path}/")
        }


@pytest.fixture
def account(monkeypatch):
    made = Account("a.png", "set/in/b.png", "set/c.png")
    monkeypatch.setattr(Storage, "of", classmethod(lambda cls, url: cls(made, "lungs")))
    return made


def test_a_missing_container_is_named_with_its_account(account):
    for url in ("abfs://imges/set", "abfs://imges@lungs.dfs.core.windows.net/set"):
        with pytest.raises(DataError, match=r"there is no container imges in the account lungs \(abfs://imges"):
            Memory().children(url)
        with pytest.raises(DataError, match="there is no container imges"):
            Memory().entry(url)
        with pytest.raises(DataError, match="there is no container imges"):
            Memory().list_below(url)


def test_a_missing_bucket_is_called_one(account):
    with pytest.raises(DataError, match="there is no bucket imges"):
        Memory().entry("s3://imges/set")


def test_a_missing_folder_of_a_container_is_none(account):
    assert Memory().children("abfs://images/no") is None
    assert Memory().entry("abfs://images/no") is None
    Memory().list_below("abfs://images/no")


def test_a_file_is_no_folder(account):
    account.ls = lambda path, detail: [{"name": path, "type": "file", "size": 1}]  # as services answer
    assert Memory().children("abfs://images/a.png") is None


def test_a_folder_s_own_marker_is_not_in_it(account):
    listed = [
        {"name": "images/set/", "type": "file", "size": 0},
        {"name": "images/set/c.png", "type": "file", "size": 1},
    ]
    account.ls = lambda path, detail: listed
    account.find = lambda path, detail: {item["name"]: item for item in listed}
    assert list(Memory().children("abfs://images/set")) == ["c.png"]
    memory = Memory()
    memory.list_below("abfs://images/set")
    assert list(memory.children("abfs://images/set")) == ["c.png"]


def test_one_request_lists_a_tree_with_its_folders(account):
    memory = Memory()
    memory.list_below("abfs://images/set")
    memory.list_below("abfs://images/set")
    assert memory.children("abfs://images/set") == {"in": Entry(None), "c.png": Entry(1, "v")}
    assert memory.children("abfs://images/set/in") == {"b.png": Entry(1, "v")}
    assert memory.entry("abfs://images/set/in/b.png") == Entry(1, "v")
    assert memory.entry("abfs://images/set/in/d.png") is None
    assert account.asked == [("find", "images/set")]


def test_a_single_file_is_asked_for_once(account):
    memory = Memory()
    assert memory.entry("abfs://images/a.png") == memory.entry("abfs://images/a.png") == Entry(1, "v")
    assert account.asked == [("info", "images/a.png")]
    memory.forget()
    memory.entry("abfs://images/a.png")
    assert len(account.asked) == 2
