"""Copies of remote files on this machine, the longest unused of which make room for new ones.

Layout of the folder:

    files/ab/abcd...   copies, named after URL and version: a changed file is another copy, no copy is ever stale
    parts/             downloads under way; one that was cut off is gone on with where it stopped
    index.sqlite       copy -> size and time of its last use; facts about files, such as an image's size

The time of a copy's last use is its file's own (`mtime`), which costs no lock; the index learns of it when room is
made. Any number of processes share a folder: one downloads a file, the others wait for it.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lungseg.errors import ResourceError

log = logging.getLogger(__name__)

BLOCK = 4 * 2**20
"""Bytes of one request; a connection that breaks costs at most so much."""
_TOUCH_S = 60.0
_FORGOTTEN_S = 24 * 3600.0
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS copies (name TEXT PRIMARY KEY, size INTEGER, used REAL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS by_use ON copies (used)",
    "CREATE TABLE IF NOT EXISTS facts (name TEXT, kind TEXT, value TEXT, PRIMARY KEY (name, kind)) WITHOUT ROWID",
)


class Cache:
    """The copies in one folder.

    Args:
        folder: made at the first download.
        limit: of all copies together, bytes; downloads under way come on top. 0 keeps none.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._swept = False

    def read(
        self, name: str, size: int, load: Callable[[int, int], bytes], approve: Callable[[Path], None], what: str
    ) -> bytes:
        """Return a file's bytes: those of its copy, else downloaded and copied.

        Args:
            name: of the copy; another for every version of every file.
            size: bytes of the file.
            load: returns bytes `start` to `end` (exclusive) of the file.
            approve: is called with the finished download; raises where it must not be kept.
            what: the file, for messages.

        Raises:
            ResourceError: the folder cannot be written, or is full.
        """
        path = self._path(name)
        held = _held(path, size)
        if held is not None:
            return held
        if size == 0:
            return b""
        try:
            return self._download(path, name, size, load, approve)
        except sqlite3.Error as error:
            raise self._unusable(error, what) from error
        except OSError as error:
            if isinstance(error, FileNotFoundError) and error.filename == what:
                raise  # the remote file, not one of ours
            raise self._unusable(error, what) from error

    def holds(self, name: str, size: int) -> bool:
        """Tell whether there is a whole copy."""
        try:
            return self._path(name).stat().st_size == size
        except OSError:
            return False

    def fact(self, name: str, kind: str) -> str | None:
        """Return what was noted about a file, None where nothing was."""
        if not (self.folder / "index.sqlite").exists():
            return None
        try:
            with self._index() as index:
                found = index.execute("SELECT value FROM facts WHERE name = ? AND kind = ?", (name, kind)).fetchone()
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error, "what is known of files") from error
        return None if found is None else str(found[0])

    def note(self, name: str, kind: str, value: str) -> None:
        """Note something about a file, so that it need not be read again for it."""
        try:
            with self._index() as index:
                index.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (name, kind, value))
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error, "what is known of files") from error

    def size(self) -> int:
        """Return the bytes of all copies."""
        return sum(path.stat().st_size for path in (self.folder / "files").glob("*/*"))

    def _path(self, name: str) -> Path:
        return self.folder / "files" / name[:2] / name

    def _download(
        self, path: Path, name: str, size: int, load: Callable[[int, int], bytes], approve: Callable[[Path], None]
    ) -> bytes:
        parts = self.folder / "parts"
        parts.mkdir(parents=True, exist_ok=True)
        self._sweep(parts)
        part = parts / name
        while True:
            with part.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # the second process to want this file waits here
                held = _held(path, size)
                if held is not None:
                    _drop_if_same(part, file.fileno())
                    return held
                if not _is_same(part, file.fileno()):
                    continue  # it was finished and its copy has made room already
                if file.seek(0, os.SEEK_END) > size:
                    file.truncate(0)
                elif file.tell():
                    log.info("going on with a download at byte %d of %d", file.tell(), size)
                while (start := file.seek(0, os.SEEK_END)) < size:
                    file.write(load(start, min(start + BLOCK, size)))
                    file.flush()
                try:
                    approve(part)
                except BaseException:
                    part.unlink(missing_ok=True)
                    raise
                data = part.read_bytes()
                if size > self.limit:
                    part.unlink()
                    return data
                path.parent.mkdir(parents=True, exist_ok=True)
                with self._index() as index:
                    self._make_room(index, size)
                    index.execute("INSERT OR REPLACE INTO copies VALUES (?, ?, ?)", (name, size, time.time()))
                    part.replace(path)
                return data

    def _make_room(self, index: sqlite3.Connection, size: int) -> None:
        """Delete the longest unused copies until `size` more bytes fit; the index is locked."""
        total = int(index.execute("SELECT COALESCE(SUM(size), 0) FROM copies").fetchone()[0])
        used_since: list[tuple[float, str, int]] = []
        if total + size <= self.limit:
            return
        for name, held, used in index.execute("SELECT name, size, used FROM copies ORDER BY used").fetchall():
            if total + size <= self.limit:
                break
            try:
                touched = self._path(name).stat().st_mtime
            except OSError:
                touched = 0.0
            if touched > used + 1.0:
                used_since.append((touched, name, held))
                index.execute("UPDATE copies SET used = ? WHERE name = ?", (touched, name))
                continue
            total -= self._delete(index, name, held)
        for _, name, held in sorted(used_since):
            if total + size <= self.limit:
                break
            total -= self._delete(index, name, held)

    def _delete(self, index: sqlite3.Connection, name: str, held: int) -> int:
        self._path(name).unlink(missing_ok=True)
        index.execute("DELETE FROM copies WHERE name = ?", (name,))
        return held

    def _sweep(self, parts: Path) -> None:
        """Delete downloads that were given up long ago; once a process."""
        if self._swept:
            return
        self._swept = True
        for path in parts.iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _FORGOTTEN_S:
                    path.unlink()

    @contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        """Open the index, locked against all others; one that is damaged is made anew."""
        try:
            connection = self._locked()
        except sqlite3.OperationalError:
            raise  # the disk, or a lock that is never given back
        except sqlite3.DatabaseError as error:
            log.warning(
                "the index of the cache %s is damaged (%s); it is made anew from the copies", self.folder, error
            )
            for ending in ("", "-journal"):
                (self.folder / f"index.sqlite{ending}").unlink(missing_ok=True)
            connection = self._locked()
        try:
            yield connection
            connection.commit()
        finally:
            connection.close()

    def _locked(self) -> sqlite3.Connection:
        path = self.folder / "index.sqlite"
        new = not path.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=60, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = OFF")  # all of it can be made anew
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                connection.execute(statement)
            if new:
                self._count_copies(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _count_copies(self, index: sqlite3.Connection) -> None:
        """Enter the copies that are there, after the index was lost."""
        for path in (self.folder / "files").glob("*/*"):
            with suppress(OSError):
                stat = path.stat()
                index.execute("INSERT OR IGNORE INTO copies VALUES (?, ?, ?)", (path.name, stat.st_size, stat.st_mtime))

    def _unusable(self, error: Exception, what: str) -> ResourceError:
        return ResourceError(
            f"{what} cannot be kept in the cache {self.folder}: {error}. Free some space, lower paths.cache_gb, or set "
            "paths.cache to another folder"
        )


def name_of(identity: str, version: str, size: int) -> str:
    """Return the name of the copy of one version of a file."""
    return hashlib.blake2b(f"{identity}\n{version}\n{size}".encode(), digest_size=20).hexdigest()


def _held(path: Path, size: int) -> bytes | None:
    """Return a copy's bytes and mark it as used; None where there is no whole one."""
    try:
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
            if stat.st_size != size:
                return None
            if time.time() - stat.st_mtime > _TOUCH_S:
                with suppress(OSError):
                    os.utime(path)
            return file.read()
    except OSError:  # most often there is none
        return None


def _is_same(path: Path, handle: int) -> bool:
    """Tell whether a path still names an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _drop_if_same(path: Path, handle: int) -> None:
    """Delete the empty file that was made by opening it, when another process finished the download meanwhile."""
    if _is_same(path, handle):
        path.unlink(missing_ok=True)
