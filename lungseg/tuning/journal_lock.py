"""The lock of a journal: of the system, so that a killed driver gives it back at once."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from optuna.storages.journal import JournalFileOpenLock


class JournalLock(JournalFileOpenLock):
    """Holds `<journal>.turn` while the journal is written.

    Optuna's own locks are files that a killed process leaves behind; the others then wait for half a minute.

    Args:
        journal: path of the journal.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._path = journal.with_name(f"{journal.name}.turn")
        self._handle: IO[str] | None = None

    def acquire(self) -> bool:
        """Wait for the lock and take it."""
        self._handle = self._path.open("w")
        fcntl.lockf(self._handle, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None


def mend(journal: Path) -> None:
    """Cut off half a line that a full disk has left at the end: Optuna could read no line after it.

    Args:
        journal: path of the journal; it may not be there yet.
    """
    if not journal.exists():
        return
    lock = JournalLock(journal)
    lock.acquire()
    try:
        with journal.open("rb+") as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                file.truncate(whole)
    finally:
        lock.release()
