"""`sweep=shortcut` from the command line to its report: it finds the mark that is planted, and none where none is."""

from __future__ import annotations

import json

import pytest

from lungseg.__main__ import main

TINY_RUN = [
    "experiment=phantom_shortcut", "sweep=shortcut", "seed=0", "lungs=full,border_only", "data.sources.phantom.n=126",
    "data.sources.phantom.size=[32,32]", "preprocess.steps.resize.size=[32,32]", "preprocess.steps.equalize=null",
    "preprocess.steps.blur=null", "data.batch_size=8", "split.train=0.5", "split.val=0.15", "split.test=0.35",
    "~model.backbone", "model._target_=tests.toy_classes.SpanClassifier", "trainer.max_epochs=12",
    "trainer.accelerator=cpu", "optimizer.lr=0.05", "logger=csv", "n_boot=200",
]  # fmt: skip
PLANTED = [f"data.sources.phantom.{line}" for line in ("hints=mark", "mark_chance=1", "mark_chance_others=0")]


@pytest.mark.slow
@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize(("lines", "verdict"), [(PLANTED, "a shortcut is shown"), ([], "no shortcut is found")])
def test_a_mark_is_found_where_one_is_planted_and_none_where_none_is(tmp_path, monkeypatch, lines, verdict):
    monkeypatch.chdir(tmp_path)
    assert main([*TINY_RUN, *lines, f"paths.store={tmp_path / 'store'}", f"hydra.sweep.dir={tmp_path / 'sweep'}"]) == 0
    frame = json.loads((tmp_path / "sweep" / "1" / "metrics.json").read_text())["parts"]["test"]["all"]
    auroc = frame["metrics"]["auroc"]
    assert (auroc["low"] > 0.6) if lines else (auroc["low"] <= 0.5 <= auroc["high"])
    report = (tmp_path / "sweep" / "report.md").read_text()
    assert f"{verdict}." in report
    assert "**What is left of the picture**" in report
