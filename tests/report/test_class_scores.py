"""What metrics.json says of each class."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lungseg.report.class_scores import class_scores, confusion_of, thresholds_of
from lungseg.report.reader import CLASSES, read_run

MakeRun = Callable[..., Path]


def changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    found = json.loads((folder / "metrics.json").read_text())
    change(found)
    (folder / "metrics.json").write_text(json.dumps(found))
    return folder


def test_a_whole_run_is_read_without_a_note(make_class_run: MakeRun):
    run = read_run(make_class_run())
    assert run.notes == ()
    assert (run.kind, run.classes) == ("multiclass", ("normal", "bacterial", "viral"))
    assert run.samples is not None
    assert run.embedding is not None
    main = run.main()
    assert main is not None
    assert (main.part, main.source, main.structure, main.n, main.n_subjects) == ("test", "all", CLASSES, 90, 45)
    assert 0 < main.metric("macro_f1").low < main.metric("macro_f1").mean


def test_a_run_without_metrics_is_known_by_its_config(make_class_run: MakeRun):
    run = read_run(make_class_run(state="failed"))
    assert (run.kind, run.classes, run.scores()) == ("multiclass", ("normal", "bacterial", "viral"), [])


def test_a_segmentation_has_no_classes(make_run: MakeRun):
    run = read_run(make_run())
    assert (run.kind, run.classes) == ("segmentation", ())


def test_classes_come_in_their_order_with_their_images(make_class_run: MakeRun):
    run = read_run(make_class_run())
    found = class_scores(run, "test")
    assert [each.name for each in found] == ["normal", "bacterial", "viral"]
    assert sum(each.n_positive or 0 for each in found) == 90
    assert [each.n_known for each in found] == [90, 90, 90]
    assert found[0].metric("f1").mean > 0
    assert math.isnan(found[0].metric("never measured").mean)


def test_rows_of_the_confusion_matrix_are_the_true_classes(make_class_run: MakeRun):
    run = read_run(make_class_run())
    cells = confusion_of(run, "test")
    assert cells is not None
    assert cells.sum(axis=1).tolist() == [each.n_positive for each in class_scores(run, "test")]


def test_labels_have_a_table_each_and_their_thresholds(make_class_run: MakeRun):
    run = read_run(make_class_run(kind="multilabel", thresholds={"normal": 0.2, "bacterial": 0.5, "viral": 0.7}))
    cells = confusion_of(run, "test")
    assert cells is not None
    assert cells.shape == (3, 2, 2)
    assert thresholds_of(run)["viral"] == 0.7


@pytest.mark.parametrize("cells", [None, [[1, 2], [3]], [[1, 2], [3, 4]], [["a"] * 3] * 3, [[-1] * 3] * 3, 7])
def test_counts_that_do_not_fit_the_classes_are_none(make_class_run: MakeRun, cells: object):
    def change(found: dict[str, Any]) -> None:
        found["parts"]["test"]["all"]["confusion"] = cells

    assert confusion_of(read_run(changed(make_class_run(), change)), "test") is None


@pytest.mark.parametrize("odd", [None, 3, [], {"normal": 4}, {"normal": {"metric": [1]}}])
def test_classes_of_another_kind_are_left_out(make_class_run: MakeRun, odd: object):
    def change(found: dict[str, Any]) -> None:
        found["parts"]["test"]["all"]["classes"] = odd

    found = class_scores(read_run(changed(make_class_run(), change)), "test")
    assert [each.name for each in found] in ([], ["normal"])
    assert all(math.isnan(each.metric("f1").mean) for each in found)


def test_a_table_of_images_without_the_truth_is_damage(make_class_run: MakeRun):
    folder = make_class_run()
    frame = pd.read_parquet(folder / "per_sample.parquet").drop(columns="t_viral")
    frame.to_parquet(folder / "per_sample.parquet")
    run = read_run(folder)
    assert run.samples is None
    assert run.notes == ("per_sample.parquet is damaged and was left out (it has no column named t_viral).",)
