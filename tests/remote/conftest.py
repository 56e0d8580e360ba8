"""Remote files for the tests: fsspec's file system in memory, and real servers of Azure Blob storage and S3."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lungseg.remote import settings
from lungseg.remote.path import RemotePath, forget
from lungseg.remote.storage import Storage
from tests.remote.proxy import Proxy

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "lungs"


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is known of remote folders, the cache is empty, and tests do not wait between tries."""
    for name in [name for name in os.environ if name.startswith(("AZURE_STORAGE_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(settings, "_used", settings.Settings(tmp_path / "cache", 2**30))
    monkeypatch.setattr(Storage, "_opened", {})
    monkeypatch.setattr("lungseg.remote.storage._WAIT_S", 0.001)
    forget()
    yield
    forget()


@pytest.fixture
def bucket() -> Iterator[RemotePath]:
    """An empty folder of fsspec's file system in memory."""
    import fsspec

    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]
    yield RemotePath("memory://bucket")
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]


class Azurite(NamedTuple):
    """A server of Azure Blob storage on this machine.

    Attributes:
        port: on the loopback.
        key: of the account `ACCOUNT`, base64.
    """

    port: int
    key: str

    def connection_string(self, *, port: int | None = None, key: str | None = None) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key or self.key};"
            f"BlobEndpoint=http://127.0.0.1:{port or self.port}/{ACCOUNT};"
        )


def azurite_program() -> str | None:
    """Where Azurite's blob server is: named by LUNGSEG_AZURITE, on the PATH, or where .ci/run installs it."""
    named = os.environ.get("LUNGSEG_AZURITE")
    ours = ROOT / ".azurite" / "node_modules" / ".bin" / "azurite-blob"
    return named or shutil.which("azurite-blob") or (str(ours) if ours.exists() else None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """A running Azurite with an account of its own, or a skip that says what is missing."""
    pytest.importorskip("adlfs", reason="the package adlfs is not there: pip install 'lungseg[azure]'")
    program = azurite_program()
    if program is None:
        pytest.skip("Azurite is not there: npm install --prefix .azurite azurite (or set LUNGSEG_AZURITE)")
    key, port, folder = base64.b64encode(os.urandom(32)).decode(), free_port(), tmp_path_factory.mktemp("azurite")
    command = [
        program, "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent",
        "--blobHost", "127.0.0.1", "--blobPort", str(port),
    ]  # fmt: skip
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"}
    log = (folder / "log.txt").open("w")
    server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if server.poll() is not None:
                break
            time.sleep(0.1)
        else:
            pytest.fail(f"Azurite did not start: {(folder / 'log.txt').read_text()}")
        if server.poll() is not None:
            pytest.fail(f"Azurite ended: {(folder / 'log.txt').read_text()}")
        yield Azurite(port, key)
    finally:
        server.terminate()
        server.wait(20)
        log.close()


@pytest.fixture
def azure(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[RemotePath, Proxy]]:
    """An empty container, and the proxy through which the environment's credentials reach it."""
    import adlfs

    direct = adlfs.AzureBlobFileSystem(
        connection_string=azurite.connection_string(), skip_instance_cache=True, use_listings_cache=False
    )
    name = f"c{time.time_ns()}"
    direct.mkdir(name)
    with Proxy(azurite.port) as proxy:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string(port=proxy.port))
        yield RemotePath(f"abfs://{name}"), proxy
    direct.rm(name, recursive=True)


@pytest.fixture(scope="session")
def moto_port() -> Iterator[int]:
    """A running S3 server, or a skip that says what is missing."""
    pytest.importorskip("s3fs", reason="the package s3fs is not there: pip install 'lungseg[s3]'")
    server = pytest.importorskip("moto.server", reason="the package moto is not there: pip install 'lungseg[dev]'")
    running = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    yield int(running.get_host_and_port()[1])
    running.stop()


@pytest.fixture
def s3(moto_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[RemotePath, Proxy]]:
    """An empty bucket, and the proxy through which the environment's credentials reach it."""
    import s3fs

    name = f"b{time.time_ns()}"
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "for-the-test-server")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    direct = s3fs.S3FileSystem(endpoint_url=f"http://127.0.0.1:{moto_port}", skip_instance_cache=True)
    direct.mkdir(name)
    with Proxy(moto_port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        yield RemotePath(f"s3://{name}"), proxy


@pytest.fixture
def put() -> Callable[[Path, RemotePath], Any]:
    """Copy a local folder to a URL, and give the file system that can change it afterwards."""

    def copy(folder: Path, target: RemotePath) -> Any:
        filesystem = Storage.of(str(target)).filesystem
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                filesystem.put_file(
                    str(file), Storage.of(str(target))._path(str(target / file.relative_to(folder).as_posix()))
                )
        return filesystem

    return copy
