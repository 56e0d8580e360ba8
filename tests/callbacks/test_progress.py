from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from lungseg.callbacks.progress import ProgressLines
from tests.toy import toy_data, toy_task, toy_trainer


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def shown(folder, store, *, terminal: bool = False, epochs: int = 2, **options) -> str:
    lines, out = ProgressLines(**options), io.StringIO()
    lines.console = Console(file=out, force_terminal=terminal, width=200, color_system=None)
    toy_trainer(folder, lines, epochs=epochs).fit(toy_task(), datamodule=toy_data(store, n=8))
    return out.getvalue()


def test_a_line_an_epoch_with_its_values(tmp_path, store):
    lines = shown(tmp_path, store).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("epoch   1/2  train/loss 0.")
    assert "val/dice 0." in lines[1]
    assert lines[1].endswith(" s")


def test_only_the_values_asked_for_and_measured_are_shown(tmp_path, store):
    (line,) = shown(tmp_path, store, epochs=1, values=("val/iou", "val/nothing")).splitlines()
    assert "val/iou" in line
    assert "val/nothing" not in line
    assert "train/loss" not in line


def test_a_terminal_gets_a_bar_that_leaves_nothing_behind_but_the_lines(tmp_path, store):
    text = shown(tmp_path, store, terminal=True, epochs=1, per_second=1e9)
    assert "3/3" in text
    assert re.sub(r"\x1b\[[?0-9]*[A-Za-z]|\r", "", text).splitlines()[-1].startswith("epoch   1/1  train/loss")


def test_without_a_terminal_there_is_no_bar(tmp_path, store):
    assert "\x1b" not in shown(tmp_path, store, epochs=1)


def test_the_bar_is_taken_away_when_the_run_fails():
    lines = ProgressLines()
    stopped = []
    lines._bar = type("Bar", (), {"stop": lambda self: stopped.append(True)})()
    lines.on_exception(None, None, RuntimeError())
    assert stopped == [True]
    assert lines._bar is None
