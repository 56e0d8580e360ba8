"""The store's index: which sample lies where, and which file had which content."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungseg.data.guides import Guides
from lungseg.data.preprocess.lungs import DISK
from lungseg.data.sources.base import Source
from lungseg.data.structures import paths_for
from lungseg.data.table import SamplesTable
from lungseg.errors import DataError, ResourceError, first_five
from lungseg.remote.path import RemotePath

log = logging.getLogger(__name__)

_OF_THE_DISK = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
}  # fmt: skip
"""Codes by which sqlite blames the disk and not the file's content."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER);
CREATE TABLE IF NOT EXISTS samples (
    key BLOB PRIMARY KEY, depth INTEGER, row INTEGER, masked INTEGER, bits INTEGER, inverted INTEGER,
    top REAL, left REAL, height REAL, width REAL, image_height INTEGER, image_width INTEGER,
    mask_height INTEGER, mask_width INTEGER, planes INTEGER, offset INTEGER, length INTEGER,
    total INTEGER, square INTEGER, left_out INTEGER, overlap INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, share REAL) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS places ON samples (depth, row);
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER, mtime INTEGER, ctime INTEGER, inode INTEGER, hash BLOB
) WITHOUT ROWID;
"""


@contextmanager
def open_index(home: Path) -> Iterator[sqlite3.Connection]:
    """Open the index; a sqlite file that is none is a damaged store."""
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(home / "index.sqlite", timeout=60)
        yield connection
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_DISK:
            msg = f"the store {home} cannot be used: {error}. Free some space or set paths.store to another folder"
            raise ResourceError(msg) from error
        msg = f"the store's index {home / 'index.sqlite'} is damaged ({error}). Delete the folder {home}; it is rebuilt"
        raise DataError(msg) from error
    finally:
        if connection is not None:
            connection.close()


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Hold the folder's lock, so that two runs never fill one store or folder of masks at once; the second waits."""
    with (home / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another run is filling %s; waiting for it", home)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def drop_unwritten(home: Path, index: sqlite3.Connection, structures: int) -> None:
    """Forget samples whose bytes are not all there, so that they are made again."""
    meta = dict(index.execute("SELECT name, value FROM meta"))
    if not meta:
        return
    pixels = meta["height"] * meta["width"]
    for depth in (8, 16):
        limits = []
        for kind, bytes_per_row in (("grey", pixels * depth // 8), ("mask", pixels * structures)):
            path = home / f"{kind}{depth}.bin"
            if bytes_per_row:
                limits.append((path.stat().st_size if path.exists() else 0) // bytes_per_row)
        cursor = index.execute("DELETE FROM samples WHERE depth = ? AND row >= ?", (depth, min(limits)))
        if cursor.rowcount:
            log.warning("%d samples of the store %s were cut off; they are made again", cursor.rowcount, home)
    path = home / "published.bin"
    index.execute("DELETE FROM samples WHERE offset + length > ?", (path.stat().st_size if path.exists() else 0,))
    index.commit()


def content_keys(
    table: SamplesTable,
    sources: Mapping[str, tuple[Source, Path]],
    structures: Sequence[str],
    index: sqlite3.Connection,
    guides: Guides | None = None,
) -> NDArray[np.void]:
    """Return the content key of every sample: 16 bytes each."""
    known = {
        path: tuple(rest) for path, *rest in index.execute("SELECT path, size, mtime, ctime, inode, hash FROM files")
    }
    seen: list[tuple[Any, ...]] = []
    missing: list[str] = []
    out = np.zeros(len(table), "V16")
    for i, row in enumerate(table.rows()):
        source, root = sources[row["source"]]
        digest = hashlib.blake2b(digest_size=16)
        fingerprint = source.fingerprint(row)
        if fingerprint is not None:
            digest.update(fingerprint.encode())
        else:
            for name in [row["image"], *(p for s in structures for p in paths_for(row["masks"], s))]:
                digest.update(_file_hash(root / name, known, seen, missing))
        digest.update(source.reading().encode())
        if guides is not None:
            digest.update(guides.origin(row).encode())
            # a set whose content is a text has no files, and its own masks are part of that text
            own = fingerprint is not None and guides.origin(row) == DISK
            for name in [] if own else guides.files(row):
                digest.update(_file_hash(root / name, known, seen, missing))
        out[i] = np.void(digest.digest())
    if missing:
        msg = (
            f"{len(missing)} files of the samples table cannot be read: {first_five(missing)}. Were they moved or "
            "renamed since the run began? Otherwise check their permissions"
        )
        raise DataError(msg)
    index.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", seen)
    index.commit()
    return out


def _file_hash(
    path: Path, known: Mapping[str, tuple[Any, ...]], seen: list[tuple[Any, ...]], missing: list[str]
) -> bytes:
    """Hash a file's bytes, or take the hash from last time when nothing about the file changed.

    The change time is part of the comparison since the modification time can be set back and it cannot. A remote file
    goes by its URL, size and ETag instead, so that nothing is downloaded to find that it is unchanged.
    """
    try:
        if isinstance(path, RemotePath):
            told = path.version()
            content = path.read_bytes() if told is None else told.encode()
            return hashlib.blake2b(content, digest_size=16).digest()
        stat = path.stat()
        now = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        before = known.get(str(path))
        if before is not None and before[:4] == now:
            return bytes(before[4])
        digest = hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    except OSError as error:
        missing.append(f"{path} ({error.strerror or error})")
        return b""
    seen.append((str(path), *now, digest))
    return digest
