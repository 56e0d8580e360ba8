"""A lock on a run folder: two processes never write into one run."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from pathlib import Path
from types import TracebackType

from lungseg.errors import ResourceError

log = logging.getLogger(__name__)

_TAKEN = {errno.EACCES, errno.EAGAIN}


class FolderLock:
    """Holds `<folder>/.lock` while its body runs; the file is gone afterwards.

    It is a POSIX record lock: the system gives it back when the process ends in whatever way, and no forked loader
    process keeps it, so that a killed run can be resumed at once. A process number alone would not do, since another
    process may bear the number by then.

    Args:
        folder: that is to be locked; it exists.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / ".lock"
        self._handle: int | None = None

    @staticmethod
    def holder(folder: Path) -> str | None:
        """Return who holds a folder's lock, None when nobody does."""
        try:
            handle = os.open(folder / ".lock", os.O_RDWR)
        except OSError:
            return None
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _TAKEN:
                return os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
        finally:
            os.close(handle)
        return None

    def __enter__(self) -> FolderLock:
        """Take the lock.

        Raises:
            ResourceError: another process holds it.
            OSError: the folder cannot be written.
        """
        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                who = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
                os.close(handle)
                if error.errno in _TAKEN:
                    msg = f"{self.folder} is in use by {who}. Wait for it to end, or stop it; or start a new run"
                    raise ResourceError(msg) from None
                log.warning("%s cannot be locked (%s); do not start a second process in it", self.folder, error)
                return self
            if _is(handle, self.path):
                break
            os.close(handle)  # the one who held it took it away between our opening and locking it
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
        self._handle = handle
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back."""
        if self._handle is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = None


def _is(handle: int, path: Path) -> bool:
    """Tell whether an open file is the one that a path names."""
    try:
        named, opened = path.stat(), os.fstat(handle)
    except FileNotFoundError:
        return False
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)
