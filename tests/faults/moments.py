"""Faults at exact moments: each function is called in a process before its command line runs."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any


def at_step(number: int, *names: str) -> None:
    """Send signals, one after the other, in a training step (from 1)."""
    _at_call(_task(), "training_step", number, lambda: [_send(name) for name in names])


def while_building(name: str) -> None:
    """Send a signal when the network is built."""
    from lungseg import build

    _at_call(build, "network", 1, lambda: _send(name))


def while_testing(name: str) -> None:
    """Send a signal in the first test step."""
    _at_call(_task(), "test_step", 1, lambda: _send(name))


def while_reporting(name: str) -> None:
    """Send a signal when the report is written."""
    from lungseg.report import html

    _at_call(html, "write_report", 1, lambda: _send(name))


def while_filling(number: int, name: str) -> None:
    """Send a signal to all processes of the command, as Ctrl-C does, when a number of samples reached the store."""
    from lungseg.data import store_writer

    _at_call(store_writer._Writer, "add", number, lambda: os.killpg(0, signal.Signals[name]))


def while_writing(number: int) -> None:
    """Kill the process when half of a checkpoint's bytes (of the `number`-th written) are on the disk."""
    from lungseg.callbacks.checkpoint_file import CheckpointFile

    original = CheckpointFile.save_checkpoint
    calls = 0

    def cut(self: Any, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        nonlocal calls
        calls += 1
        original(self, checkpoint, path, storage_options)
        if calls == number:
            os.truncate(path, Path(path).stat().st_size // 2)
            _send("SIGKILL")

    CheckpointFile.save_checkpoint = cut


def full_at_checkpoint(number: int, folder: str) -> None:
    """Fill the disk of a folder to its last byte when a checkpoint (the `number`-th) is about to be written."""
    from lungseg.callbacks.checkpoint_file import CheckpointFile

    def fill() -> None:
        with contextlib.suppress(OSError), open(f"{folder}/filler", "wb", buffering=0) as file:  # noqa: PTH123
            while file.write(bytes(4096)):
                pass

    _at_call(CheckpointFile, "save_checkpoint", number, fill)


def no_room_at_checkpoint(number: int) -> None:
    """Let the disk be full when half of a checkpoint's bytes are written, where no small disk can be mounted."""
    from lungseg.callbacks.checkpoint_file import CheckpointFile

    original = CheckpointFile.save_checkpoint
    calls = 0

    def cut(self: Any, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        nonlocal calls
        calls += 1
        original(self, checkpoint, path, storage_options)
        if calls == number:
            os.truncate(path, Path(path).stat().st_size // 2)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    CheckpointFile.save_checkpoint = cut


def no_number_at_step(number: int) -> None:
    """Make the loss of a training step (from 1) not a number."""
    from lungseg.losses.bce import BCELoss

    original = BCELoss.forward
    calls = 0

    def spoilt(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        loss = original(self, *args, **kwargs)
        calls += self.training
        return loss * float("nan") if calls == number else loss

    BCELoss.forward = spoilt


def same_second() -> None:
    """Let the clock show the same second to every process."""
    from lungseg.cli import runs

    runs.STAMP = "2031-05-06_07-08-09"


def _task() -> Any:
    from lungseg.tasks.segmentation import SegmentationTask

    return SegmentationTask


def _send(name: str) -> None:
    os.kill(os.getpid(), signal.Signals[name])


def _at_call(owner: Any, name: str, number: int, act: Callable[[], Any]) -> None:
    """Let `act` happen at the start of the `number`-th call (from 1) of a function."""
    original = getattr(owner, name)
    calls = 0

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            act()
        return original(*args, **kwargs)

    setattr(owner, name, counted)
