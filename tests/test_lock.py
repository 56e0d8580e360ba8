"""The lock of a run folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lungseg.errors import ResourceError
from lungseg.lock import FolderLock

HOLD = (
    "import sys; from pathlib import Path; from lungseg.lock import FolderLock\n"
    "with FolderLock(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
)


@pytest.fixture
def other(tmp_path):
    """Another process that holds the folder's lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_a_folder_in_use_is_refused_with_the_process_that_uses_it(tmp_path, other):
    with pytest.raises(ResourceError, match=f"is in use by process {other.pid} on .* Wait for it to end"):
        FolderLock(tmp_path).__enter__()
    assert FolderLock.holder(tmp_path).startswith(f"process {other.pid} on ")


def test_a_killed_process_holds_nothing(tmp_path, other):
    other.kill()
    other.wait()
    assert (tmp_path / ".lock").exists()  # nobody could take it away
    assert FolderLock.holder(tmp_path) is None
    with FolderLock(tmp_path) as lock:
        assert lock.path.read_text().startswith(f"process {os.getpid()} on ")


def test_the_lock_leaves_no_file_behind(tmp_path):
    with FolderLock(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_held_by_nobody(tmp_path: Path):
    assert FolderLock.holder(tmp_path / "none") is None
