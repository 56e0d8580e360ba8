"""Fixtures of the fault tests."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.lab import Lab, start_server


@pytest.fixture(scope="session")
def server() -> Iterator[subprocess.Popen[str]]:
    """The process that all others are forked from."""
    process = start_server()
    yield process
    process.stdin.close()
    process.wait(timeout=30)
    process.stdout.close()


@pytest.fixture(scope="session")
def straight(server, tmp_path_factory) -> Path:
    """The run folder of an uninterrupted tiny run; beside it lies `store`."""
    folder = tmp_path_factory.mktemp("straight")
    lab = Lab(folder, server, folder / "store")
    ended = lab.train()
    assert ended.code == 0, ended.err
    return lab.only_run()


@pytest.fixture
def lab(tmp_path, server, straight) -> Lab:
    """A working folder of its own and a store that is filled."""
    return Lab(tmp_path, server, straight.parents[2] / "store")
