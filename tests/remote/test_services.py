"""Azure Blob storage and S3, as real servers on the loopback: index, prepare, train, results, and what goes wrong."""

from __future__ import annotations

import base64
import logging
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from lungseg import build
from lungseg.__main__ import main
from lungseg.commands import prepare
from lungseg.config import compose
from lungseg.data.io import read_bytes
from lungseg.data.phantom.layouts import write_layout
from lungseg.errors import DataError, ResourceError
from lungseg.remote import cache as cache_module
from lungseg.remote import settings
from lungseg.remote.delivery import upload
from lungseg.remote.path import RemotePath, forget
from lungseg.remote.storage import Storage
from tests.remote.conftest import Azurite

SMALL = ["preprocess.steps.resize.size=[32,32]", "jobs=1"]
N = 4


@pytest.fixture(params=["azure", "s3"])
def place(request):
    """An empty container or bucket, and the proxy before its server."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def montgomery(tmp_path):
    """Four radiographs as they are published: per radiograph two masks and a text file."""
    return write_layout("montgomery", tmp_path / "set", n=N, size=(64, 64)).root


def config(root: RemotePath | Path, tmp_path: Path, *more: str) -> dict:
    lines = ["data=montgomery", f"data.sources.montgomery.root={root}", f"paths.outputs={tmp_path / 'outputs'}"]
    return compose("prepare", [*lines, f"paths.cache={tmp_path / 'cache'}", *SMALL, *more])


def filled(cfg):
    samples, homes, _ = build.table(cfg)
    return build.store(cfg, samples, homes, jobs=1)


def test_a_remote_set_fills_the_store_as_a_local_one_and_is_downloaded_once(place, montgomery, put, tmp_path):
    top, proxy = place
    put(montgomery, top / "set")
    far = filled(config(top / "set", tmp_path))
    near = filled(config(montgomery, tmp_path, f"paths.store={tmp_path / 'near'}"))
    at = np.arange(N)
    np.testing.assert_array_equal(far.images(at), near.images(at))
    np.testing.assert_array_equal(far.masks(at), near.masks(at))
    # N radiographs, 2 N masks and N texts, each once
    assert len(proxy.downloads()) == 4 * N
    forget()
    proxy.requests.clear()
    filled(config(top / "set", tmp_path))
    assert proxy.downloads() == []
    assert proxy.requests  # the folders are listed


def test_an_unchanged_set_is_not_downloaded_again_where_the_cache_is_too_small_for_it(place, montgomery, put, tmp_path):
    top, proxy = place
    put(montgomery, top / "set")
    small = "paths.cache_gb=1e-6"  # 1,073 bytes: a text and little more
    filled(config(top / "set", tmp_path, small))
    forget()
    proxy.requests.clear()
    filled(config(top / "set", tmp_path, small))
    assert {Path(name).suffix for name in proxy.downloads()} <= {".txt"}
    assert sum(path.stat().st_size for path in (tmp_path / "cache" / "files").glob("*/*")) <= 1073


def test_of_a_changed_file_one_sample_is_made_again(place, montgomery, put, tmp_path, caplog):
    top, proxy = place
    filesystem = put(montgomery, top / "set")
    filled(config(top / "set", tmp_path))
    changed = next(montgomery.glob("CXR_png/*.png"))
    other = sorted(montgomery.glob("CXR_png/*.png"))[-1].read_bytes()
    filesystem.pipe_file(Storage.of(str(top))._path(f"{top}/set/CXR_png/{changed.name}"), other)
    forget()
    proxy.requests.clear()
    with caplog.at_level(logging.INFO):
        filled(config(top / "set", tmp_path))
    assert f"1 of {N} samples to prepare" in caplog.text
    assert set(proxy.downloads()) == {changed.name}


@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")  # aiohttp on how azure uploads
def test_connections_that_break_in_the_middle_are_taken_up_where_they_stopped(place, tmp_path, put, monkeypatch):
    top, proxy = place
    monkeypatch.setattr(cache_module, "BLOCK", 1 << 18)
    folder = tmp_path / "set"
    folder.mkdir()
    content = np.random.default_rng(0).bytes((1 << 20) + 7)  # 5 blocks, the last of 7 bytes
    (folder / "a.png").write_bytes(content)
    put(folder, top)
    proxy.requests.clear()
    proxy.cut(3, after=1 << 17)
    assert read_bytes(top / "a.png") == content
    assert proxy.cuts == 0
    # each break costs one block; from the beginning it would be 1 + 2 + 3 + 5 requests at the least
    assert len(proxy.downloads()) == 5 + 3


def test_prepare_goes_through_broken_connections(place, montgomery, put, tmp_path):
    top, proxy = place
    put(montgomery, top / "set")
    near = filled(config(montgomery, tmp_path, f"paths.store={tmp_path / 'near'}"))
    cfg = config(top / "set", tmp_path)
    samples, homes, _ = build.table(cfg)
    settings.use({"cache": str(tmp_path / "other")})  # nothing of the set is here
    proxy.cut(4, after=600)
    far = build.store(cfg, samples, homes, jobs=1)
    assert proxy.cuts == 0
    at = np.arange(N)
    np.testing.assert_array_equal(far.images(at), near.images(at))


def test_a_missing_container_is_named(place, tmp_path):
    top, _ = place
    lost = RemotePath(f"{top}x")
    with pytest.raises(DataError, match=rf"there is no (container|bucket) {top.name}x .*check its name"):
        build.table(config(lost / "set", tmp_path))
    with pytest.raises(DataError, match=r"there is no (container|bucket)"):
        build.table(compose("prepare", ["data=montgomery", f"paths.data={lost}"]))


def test_a_folder_that_is_not_there(place, tmp_path):
    top, _ = place
    with pytest.raises(DataError, match=rf"root={top}/no is not a folder"):
        build.table(config(top / "no", tmp_path))


def test_files_that_vanish_after_the_index_are_named_and_the_others_are_done(place, montgomery, put, tmp_path):
    top, _ = place
    filesystem = put(montgomery, top / "set")
    cfg = config(top / "set", tmp_path)
    samples, homes, _ = build.table(cfg)
    settings.use({"cache": str(tmp_path / "other")})
    gone = samples.row(1)["image"]
    filesystem.rm_file(Storage.of(str(top))._path(str(homes["montgomery"][1] / gone)))
    with pytest.raises(DataError, match=rf"1 of {N} radiographs cannot be used: .*{gone} is not there any more"):
        build.store(cfg, samples, homes, jobs=1)
    filesystem.put_file(str(montgomery / gone), Storage.of(str(top))._path(str(homes["montgomery"][1] / gone)))
    forget()
    assert len(filled(cfg)) == N


@pytest.fixture
def new_workers():
    """Worker processes that get this test's environment, and leave it to no other."""
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)
    yield
    get_reusable_executor().shutdown(wait=True)


@pytest.mark.slow
@pytest.mark.usefixtures("new_workers")
def test_worker_processes_read_through_the_same_cache(azure, montgomery, put, tmp_path):
    top, proxy = azure
    put(montgomery, top / "set")
    cfg = config(top / "set", tmp_path)
    samples, homes, _ = build.table(cfg)
    build.store(cfg, samples, homes, jobs=2)
    assert len(proxy.downloads()) == 4 * N


def test_results_are_written_through_broken_connections(place, tmp_path):
    top, proxy = place
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    content = os.urandom(300_000)
    (folder / "checkpoints" / "best.ckpt").write_bytes(content)
    (folder / "report.html").write_text("<html>")
    Storage.of(str(top))  # the connection is there
    proxy.refuse(1)
    assert upload(folder, top / "results") == 2
    assert proxy.refused == 0
    assert (top / "results" / "checkpoints" / "best.ckpt").read_bytes() == content


def test_wrong_credentials_of_azure_are_refused_at_once(azurite: Azurite, azure, tmp_path, monkeypatch):
    top, proxy = azure
    wrong = base64.b64encode(b"not the key of this account").decode()
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string(port=proxy.port, key=wrong))
    with pytest.raises(ResourceError) as caught:
        build.table(config(top / "set", tmp_path))
    assert "was refused (AuthorizationFailure" in str(caught.value)
    assert "taken from AZURE_STORAGE_CONNECTION_STRING" in str(caught.value)
    assert wrong not in str(caught.value)
    assert len(proxy.requests) == 1


def test_one_file_under_two_urls_is_one(azurite, azure, montgomery, put, tmp_path):
    top, proxy = azure
    put(montgomery, top / "set")
    filled(config(top / "set", tmp_path))
    proxy.requests.clear()
    filled(config(f"abfs://{top.name}@lungs.dfs.core.windows.net/set", tmp_path))
    assert proxy.downloads() == []


def run_main(monkeypatch, *words: str) -> int:
    """Run a command line in this process, and put the logging back."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    monkeypatch.setattr(sys, "argv", ["lungseg", *words])
    try:
        return main(list(words))
    finally:
        for handler in set(root.handlers) - set(before[0]):
            handler.close()
        root.handlers[:], root.level = before


@pytest.mark.slow
def test_train_and_predict_from_azure_and_back_and_no_file_holds_the_key(
    azurite: Azurite, azure, put, tmp_path, monkeypatch, one_process
):
    top, _ = azure
    monkeypatch.chdir(tmp_path)
    put(write_layout("montgomery", tmp_path / "set", n=12, size=(32, 32)).root, top / "data" / "montgomery")
    outputs = tmp_path / "outputs"
    where = [f"paths.outputs={outputs}", f"paths.results={top}/results"]
    assert run_main(
        monkeypatch, "data=montgomery", f"paths.data={top}/data", *where, "preprocess.steps.resize.size=[32,32]",
        "model.features=[4,8]", "trainer.max_epochs=1", "trainer.accelerator=cpu", "name=remote", "n_boot=20",
        "data.batch_size=2",
    ) == 0  # fmt: skip
    (run,) = (outputs / "remote").iterdir()
    far = top / "results" / "remote" / run.name
    assert (far / "report.html").read_bytes() == (run / "report.html").read_bytes()
    assert '"state": "done"' in (far / "status.json").read_text()
    assert str(top) in (far / "config.yaml").read_text()
    assert run_main(
        monkeypatch, "predict", f"checkpoint={far}", f"input={top}/data/montgomery/CXR_png",
        f"output={top}/predicted", "device=cpu", f"paths.outputs={outputs}",
    ) == 0  # fmt: skip
    forget()
    stem = next((tmp_path / "set").rglob("CXR_png/*.png")).stem
    written = {path.relative_to(top / "predicted").as_posix() for path in (top / "predicted").rglob("*")}
    assert {"areas.csv", f"masks/{stem}_lungs.png", f"overlays/{stem}.png"} <= written
    assert len(written) == 1 + 2 * 12
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "log.txt" for path in files)
    secrets = (azurite.key.encode(), b"AccountKey")
    assert [path for path in files if any(secret in path.read_bytes() for secret in secrets)] == []
    sent = [path.read_bytes() for path in top.rglob("*")]
    assert not any(secret in content for content in sent for secret in secrets)


def test_a_key_on_the_command_line_is_refused_before_a_folder_is_made(azurite, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    string = azurite.connection_string()
    monkeypatch.setenv("MINE", string)
    for value in (f"'abfs://images?{string}'", "${oc.env:MINE}"):
        assert run_main(monkeypatch, "data=montgomery", f"paths.data={value}") == 2
        told = capsys.readouterr().err
        assert "paths.data holds a key, signature or password" in told
        assert azurite.key not in told
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_cannot_be_sent_is_told_before_the_work(azure, tmp_path, monkeypatch, capsys):
    top, _ = azure
    monkeypatch.chdir(tmp_path)
    assert run_main(monkeypatch, "name=x", f"paths.results={top}x/results", "paths.outputs=out") == 3
    assert "there is no container" in capsys.readouterr().err
    assert not (tmp_path / "out" / "store").exists()


def test_prepare_by_the_command(place, montgomery, put, tmp_path, caplog):
    top, _ = place
    put(montgomery, top / "set")
    with caplog.at_level(logging.INFO):
        assert prepare.run(config(top / "set", tmp_path)) == 0
    assert f"{N} samples at 32x32" in caplog.text
