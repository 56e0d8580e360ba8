from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from lungseg.errors import ConfigError, ResourceError
from lungseg.remote import storage as module
from lungseg.remote.storage import Entry, Storage


class Flaky:
    """A file system of one file whose first requests fail."""

    protocol = "flaky"

    def __init__(self, *errors):
        self.errors = list(errors)
        self.asked = 0

    def _strip_protocol(self, url):
        return url.partition("://")[2]

    def cat_file(self, path, start, end):
        self.asked += 1
        if self.errors:
            error = self.errors.pop(0)
            if isinstance(error, bytes):
                return error
            raise error
        return b"0123456789"[start:end]


def test_a_request_that_is_cut_off_is_made_again_and_told(caplog):
    flaky = Flaky(ConnectionResetError("reset"), TimeoutError())
    with caplog.at_level(logging.WARNING):
        assert Storage(flaky, "").read("flaky://a", 2, 5) == b"234"
    assert flaky.asked == 3
    assert "reading flaky://a was cut off (reset); trying again in 0.0 s" in caplog.text


def test_an_answer_that_is_too_short_is_asked_for_again():
    flaky = Flaky(b"01")
    assert Storage(flaky, "").read("flaky://a", 0, 5) == b"01234"


def test_waits_grow(monkeypatch):
    waits = []
    monkeypatch.setattr(module, "_WAIT_S", 0.5)
    monkeypatch.setattr(module.time, "sleep", waits.append)
    Storage(Flaky(*[ConnectionResetError("reset")] * 5), "").read("flaky://a", 0, 1)
    # 0.5, 1, 2, 4, 8 s, each up to a quarter shorter or longer
    for wait, middle in zip(waits, [0.5, 1, 2, 4, 8], strict=True):
        assert 0.75 * middle <= wait <= 1.25 * middle


def test_in_the_end_it_is_given_up_with_what_to_do():
    flaky = Flaky(*[ConnectionResetError("reset")] * 20)
    with pytest.raises(ResourceError, match=r"reading flaky://a failed 6 times \(reset\).*run the same command again"):
        Storage(flaky, "").read("flaky://a", 0, 5)
    assert flaky.asked == module.TRIES


def test_what_never_answered_is_given_up_sooner_than_what_did(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    slow = [ConnectionResetError("reset") for _ in range(9)]

    class Slow(Flaky):
        def cat_file(self, path, start, end):
            now[0] += 40.0  # the service's package tries again itself
            return super().cat_file(path, start, end)

    stranger = Slow(*slow)
    with pytest.raises(ResourceError, match=r"failed \(reset\)"):
        Storage(stranger, "").read("flaky://a", 0, 1)
    assert stranger.asked == 1  # 40 s are more than 30
    known = Slow()
    storage = Storage(known, "")
    storage.read("flaky://a", 0, 1)
    known.errors = list(slow)
    with pytest.raises(ResourceError, match="failed 6 times"):
        storage.read("flaky://a", 0, 1)


def test_a_refusal_is_not_tried_again_and_says_where_credentials_come_from():
    flaky = Flaky(PermissionError("Forbidden"))
    with pytest.raises(ResourceError, match=r"was refused \(Forbidden\).*AWS_ACCESS_KEY_ID.*s3:GetObject"):
        Storage(flaky, "")._tried("reading x", "s3://a/b", lambda: flaky.cat_file("x", 0, 1))
    assert flaky.asked == 1


def test_a_refusal_by_azure_names_the_variables_that_were_used(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "a")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sig=c2VjcmV0")
    with pytest.raises(ResourceError) as caught:
        Storage(Flaky(), "")._tried("reading x", "abfs://a/b", lambda: Flaky(PermissionError("no")).cat_file("", 0, 1))
    assert "taken from AZURE_STORAGE_SAS_TOKEN and AZURE_STORAGE_ACCOUNT_NAME" in str(caught.value)
    assert "c2VjcmV0" not in str(caught.value)


def test_a_secret_in_an_error_reaches_neither_message_nor_traceback():
    import traceback

    error = ValueError("bad answer from https://a/b?sv=1&sig=c2VjcmV0")
    with pytest.raises(ResourceError) as caught:
        Storage(Flaky(error), "").read("flaky://a", 0, 1)
    assert "sig=***" in str(caught.value)
    assert "c2VjcmV0" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(("scheme", "package", "extra"), [("abfs", "adlfs", "azure"), ("s3", "s3fs", "s3")])
def test_a_missing_extra_is_named(monkeypatch, scheme, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ResourceError, match=rf"needs the package {package}.*pip install 'lungseg\[{extra}\]'"):
        Storage.of(f"{scheme}://images/covid")


def test_azure_without_an_account_says_what_to_set():
    pytest.importorskip("adlfs")
    with pytest.raises(ResourceError, match=r"names no account.*AZURE_STORAGE_CONNECTION_STRING.*az login"):
        Storage.of("abfs://images/covid")


def test_a_connection_string_that_is_none_is_refused(monkeypatch):
    pytest.importorskip("adlfs")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "nonsense")
    with pytest.raises(ResourceError, match=r"cannot be opened .*malformed.*AZURE_STORAGE_CONNECTION_STRING"):
        Storage.of("abfs://images/covid")


def test_a_url_of_another_account_than_the_connection_string_is_refused(monkeypatch):
    pytest.importorskip("adlfs")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=mine;AccountKey=c2VjcmV0")
    with pytest.raises(ConfigError, match="in the account yours, but AZURE_STORAGE_CONNECTION_STRING is of mine"):
        Storage.of("abfs://images@yours.dfs.core.windows.net/covid")


def test_a_url_with_a_secret_is_refused():
    with pytest.raises(ConfigError, match=r"sig=\*\*\* holds a key"):
        Storage.of("abfs://images/covid?sig=c2VjcmV0")


def test_one_account_is_opened_once(bucket):
    assert Storage.of("memory://bucket/a") is Storage.of("memory://bucket/b/c")


ITEMS = {
    "folder": ({"type": "directory", "size": 0}, Entry(None)),
    "azure": (
        {"type": "file", "size": 3, "etag": '"0x8D"', "content_settings": {"content_md5": bytearray(b"\x01\xff")}},
        Entry(3, "0x8D", "01ff"),
    ),
    "azure without md5": ({"type": "file", "size": 3, "etag": '"0x8D"', "content_settings": {}}, Entry(3, "0x8D")),
    "s3": ({"type": "file", "size": 3, "ETag": '"%s"' % ("a" * 32)}, Entry(3, "a" * 32, "a" * 32)),
    "s3 in parts": ({"type": "file", "size": 3, "ETag": '"%s-2"' % ("a" * 32)}, Entry(3, "a" * 32 + "-2")),
    "time": ({"type": "file", "size": 3, "mtime": 1.5}, Entry(3, "1.5")),
    "date": ({"type": "file", "size": 3, "created": datetime.fromtimestamp(1.5, UTC)}, Entry(3, "1.5")),
    "nothing": ({"type": "file", "size": 3}, Entry(3)),
}


@pytest.mark.parametrize(("item", "entry"), ITEMS.values(), ids=ITEMS)
def test_what_a_listing_says(item, entry):
    assert module._entry(item) == entry
    assert entry.is_folder == (item["type"] == "directory")


def test_two_urls_of_one_file_have_one_identity():
    of = SimpleNamespace(protocol=["abfs", "az"], _strip_protocol=lambda url: "images/a.png")
    storage = Storage(of, "lungs")
    assert storage.identity("az://images/a.png") == storage.identity("abfs://images@lungs.x/a.png")
    assert storage.identity("az://images/a.png") != Storage(of, "other").identity("az://images/a.png")
