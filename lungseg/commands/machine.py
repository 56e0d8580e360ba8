"""What the verbs that fill the store ask of the machine; imports nothing heavy."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any


def store_progress() -> Callable[[int, int], None] | None:
    """Return a progress bar for filling the store, where there is a terminal to show it."""
    if not sys.stdout.isatty():
        return None
    from rich.progress import Progress

    bar = Progress(transient=True)
    ids: list[Any] = []

    def show(done: int, total: int) -> None:
        if not ids:
            bar.start()
            ids.append(bar.add_task("preparing radiographs", total=total))
        bar.update(ids[0], completed=done)
        if done == total:
            bar.stop()

    return show


def cores() -> int:
    """Return the processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
