"""What a job tells of its faults."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from lungseg.cli import job
from lungseg.errors import DataError, ResourceError


def test_an_error_of_ours_is_told_as_it_is():
    error = DataError("no masks")
    assert job._known(error, None) is error


def test_a_full_memory_names_the_keys_that_help():
    found = job._known(MemoryError("cannot allocate"), None)
    assert isinstance(found, ResourceError)
    assert "data.batch_size" in str(found)


def test_a_full_disk_names_the_folder(tmp_path: Path):
    found = job._known(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "x")), tmp_path)
    assert isinstance(found, ResourceError)
    assert "the disk is full" in str(found)


def test_what_nobody_foresaw_is_no_message_for_the_user():
    assert job._known(ZeroDivisionError("division by zero"), None) is None


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    job.complain(DataError("no masks"))
    assert capsys.readouterr().err == "\x1b[31mDataError:\x1b[0m no masks\n"
    monkeypatch.setenv("NO_COLOR", "1")
    job.complain(DataError("no masks"))
    assert capsys.readouterr().err == "DataError: no masks\n"
