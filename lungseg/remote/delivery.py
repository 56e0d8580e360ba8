"""Copying what a run wrote to a URL."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from lungseg.errors import DataError, ResourceError
from lungseg.remote.memory import MEMORY
from lungseg.remote.path import RemotePath
from lungseg.remote.storage import Storage

log = logging.getLogger(__name__)

_THREADS = 4


def upload(folder: Path, target: RemotePath, *, recursive: bool = True) -> int:
    """Copy files of a local folder to a URL, in place of those that are there.

    Hidden files (locks, files that are being written) are left out.

    Args:
        folder: on this machine.
        target: gets the same tree.
        recursive: also what lies in folders.

    Returns:
        How many files were copied.

    Raises:
        ResourceError: the service cannot be reached, refuses, or has no such container.
    """
    files = _files(folder, recursive=recursive)
    storage = Storage.of(str(target))

    def copy(file: Path) -> None:
        storage.write(file, str(target / file.relative_to(folder).as_posix()))

    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(copy, files))
    except (ResourceError, DataError, FileNotFoundError) as error:
        why = f"there is no such container ({target})" if isinstance(error, FileNotFoundError) else str(error)
        msg = f"{folder} could not be copied to {target}: {why}. All of it is still in {folder}"
        raise ResourceError(msg) from error
    return len(files)


@contextmanager
def delivering(output: Path, stage: Path) -> Iterator[Path]:
    """Give a folder to write into: `output` where it is local, else `stage`, which is copied there at the end.

    It is copied too when single radiographs could not be read (`DataError`), since all others are done then.

    Yields:
        The folder.

    Raises:
        DataError: there is no such container; told before anything is done.
        ResourceError: it could not be copied; all of it is in `stage` still.
    """
    if not isinstance(output, RemotePath):
        yield output
        return
    check_target(str(output))
    try:
        yield stage
    except DataError:
        if stage.is_dir():
            log.info("%d files copied to %s", upload(stage, output), output)
        raise
    log.info("%d files copied to %s", upload(stage, output), output)


def check_target(url: str) -> None:
    """Refuse a URL to write to whose container, or bucket, is not there, before hours of work.

    Raises:
        ConfigError: its scheme is not known, or it holds a secret.
        DataError: there is no such container.
        ResourceError: the service refuses or cannot be reached.
    """
    Storage.of(url)
    MEMORY.require_container(url)


def send_run(folder: Path, outputs: Path, results: str, *, recursive: bool = True) -> RemotePath:
    """Copy a run folder to where results go, under the name it has below the outputs.

    Args:
        folder: of the run.
        outputs: `paths.outputs`.
        results: `paths.results`, a URL.
        recursive: False copies the files of the folder itself only.

    Returns:
        Where it is now.

    Raises:
        ResourceError: it could not be copied.
    """
    try:
        name = folder.absolute().relative_to(outputs.expanduser().absolute()).as_posix()
    except ValueError:
        name = folder.name
    target: RemotePath = RemotePath(results) / name
    count = upload(folder, target, recursive=recursive)
    log.info("%d files copied to %s", count, target)
    return target


def _files(folder: Path, *, recursive: bool) -> list[Path]:
    found = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(
        file
        for file in found
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
