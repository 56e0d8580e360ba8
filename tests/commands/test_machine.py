"""What the verbs ask of the machine."""

from __future__ import annotations

import os
import subprocess
import sys

from lungseg.commands import machine


def test_only_the_cores_that_the_process_may_use_are_counted(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert machine.cores() == 3


def test_there_is_no_bar_without_a_terminal(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert machine.store_progress() is None


def test_it_imports_neither_torch_nor_lightning():
    code = "import sys, lungseg.commands.machine\nassert not {'torch', 'lightning'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
