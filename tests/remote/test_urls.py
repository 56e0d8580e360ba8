from __future__ import annotations

import sys

import pytest

from lungseg.errors import ConfigError
from lungseg.remote.urls import check_scheme, holds_secret, is_url, problems, scrubbed

SECRETS = {
    "connection string": "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2VjcmV0;EndpointSuffix=b",
    "signature": "https://a.blob.core.windows.net/images?sv=2024-11-04&sig=c2VjcmV0",
    "signature in a string": "BlobEndpoint=https://a;SharedAccessSignature=c2VjcmV0",
    "password": "s3://user:c2VjcmV0@bucket/images",
    "presigned": "https://bucket.s3.amazonaws.com/a?X-Amz-Signature=c2VjcmV0",
    "s3 key": "aws_secret_access_key=c2VjcmV0",
}
PLAIN = {
    "azure": "abfs://images@account.dfs.core.windows.net/covid",
    "s3": "s3://bucket/jsrt",
    "port": "http://127.0.0.1:10000/account/images",
    "port and at": "http://127.0.0.1:10000/a@b",
    "path": "/data/sig=/x",
    "windows": "C:/data",
    "word": "significant",
}


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS)
def test_keys_signatures_and_passwords_are_found_and_blotted_out(text):
    assert holds_secret(text)
    assert "c2VjcmV0" not in scrubbed(text)
    assert "***" in scrubbed(text)


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN)
def test_what_only_looks_like_one_is_left(text):
    assert not holds_secret(text)
    assert scrubbed(text) == text


@pytest.mark.parametrize("value", [None, 3, "/data", "data/a:b", "://x", "a://"[1:]])
def test_what_is_no_url(value):
    assert not is_url(value)


def config(**keys):
    return {"verb": "train", "paths": {"data": "data", "outputs": "outputs", "store": "s", "cache": "c"}, **keys}


def test_local_paths_are_no_problem_and_fsspec_is_not_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.registry", None)
    assert list(problems(config())) == []


def test_a_secret_is_refused_once_without_repeating_it():
    url = "abfs://images/covid?sig=c2VjcmV0"
    cfg = config(data={"sources": {"jsrt": {"root": url, "search": url}}}, overrides=[f"data.sources.jsrt.root={url}"])
    found = list(problems(cfg))
    assert "c2VjcmV0" not in "".join(found)
    assert found[0].startswith("data.sources.jsrt.root holds a key, signature or password")
    assert "AZURE_STORAGE_CONNECTION_STRING" in found[0]
    # the override is another text than the value
    assert len(found) == 2


def test_a_secret_is_found_anywhere():
    cfg = config(logger={"wandb": {"tags": ["a", "AccountKey=c2VjcmV0"]}})
    assert [text.partition(" ")[0] for text in problems(cfg)] == ["logger.wandb.tags.1"]


@pytest.mark.parametrize("key", ["outputs", "store", "cache"])
def test_folders_that_are_written_in_place_must_be_local(key):
    cfg = config()
    cfg["paths"][key] = "abfs://images/x"
    (found,) = problems(cfg)
    assert found.startswith(f"paths.{key}=abfs://images/x must be a folder on this machine")
    assert "paths.results=<URL>" in found


def test_reports_are_of_runs_on_this_machine():
    (found,) = problems({"verb": "report", "runs": ["outputs/a", "abfs://images/b"]})
    assert found == "runs.1=abfs://images/b must be a run folder on this machine; copy the run here first"


def test_only_predict_writes_its_output_to_a_url():
    assert list(problems({**config(), "verb": "predict", "output": "abfs://images/x"})) == []
    (found,) = problems({**config(), "verb": "check", "output": "abfs://images/x"})
    assert found.startswith("output=abfs://images/x must be a folder on this machine")


def test_a_mistyped_scheme_is_named_with_the_near_one():
    cfg = config(data={"sources": {"jsrt": {"root": "abf://images"}}})
    assert list(problems(cfg)) == [
        "data.sources.jsrt.root=abf://images: abf:// is no scheme that can be read; did you mean abfs://?"
    ]


def test_a_scheme_like_no_other_gets_the_list():
    with pytest.raises(ConfigError, match=r"qqqqqq:// is no scheme that can be read; known are abfs://"):
        check_scheme("qqqqqq://x")


def test_chained_urls_are_refused():
    with pytest.raises(ConfigError, match="chained"):
        check_scheme("simplecache::abfs://images")


def test_other_texts_may_hold_any_url():
    assert list(problems(config(logger={"wandb": {"base_url": "weird://host"}}))) == []
