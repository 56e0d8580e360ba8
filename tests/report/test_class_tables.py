"""Tables of a classification."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lungseg.metrics.classification_summary import summarise_classes
from lungseg.report.class_tables import (
    class_results_table,
    class_subgroups_table,
    classes_table,
    label_counts_table,
    losses,
    worst_table,
)
from lungseg.report.reader import read_run
from lungseg.stats.class_bootstrap import class_intervals

MakeRun = Callable[..., Path]


def test_a_single_source_is_one_row_with_its_interval(make_class_run: MakeRun):
    run = read_run(make_class_run())
    table, main = class_results_table(run, "test"), run.main()
    assert table is not None
    assert main is not None
    (row,) = table.rows
    assert [column.title for column in table.columns[:4]] == ["Set", "Images", "Macro F1", "AUROC"]
    assert [cell.text for cell in row[:3]] == ["Kermany pneumonia", "90", f"{main.metric('macro_f1').mean:.4f}"]
    assert row[1].sub == "45 patients"
    assert table.note == ""
    assert class_results_table(run, "train") is None


def test_each_class_is_a_row(make_class_run: MakeRun):
    table = classes_table(read_run(make_class_run()), "test")
    assert table is not None
    assert [row[0].text for row in table.rows] == ["normal", "bacterial", "viral"]
    assert "Threshold" not in [column.title for column in table.columns]


def test_a_label_shows_its_threshold_and_what_is_known(make_class_run: MakeRun):
    limits = {"normal": 0.25, "bacterial": 0.5, "viral": 0.5}
    table = classes_table(read_run(make_class_run(kind="multilabel", thresholds=limits, known=0.8)), "test")
    assert table is not None
    normal = table.rows[0]
    assert normal[2].text == "0.250"
    assert normal[1].sub.startswith("of ")
    assert normal[1].sub != "of 90 known"


def test_labels_of_one_kind_are_named(make_class_run: MakeRun):
    folder = make_class_run(kind="multilabel", classes=("Mass", "Hernia"), n=12)
    frame = pd.read_parquet(folder / "per_sample.parquet").assign(t_Hernia=0.0)
    found = json.loads((folder / "metrics.json").read_text())
    found["parts"] = summarise_classes(frame, kind="multilabel", classes=["Mass", "Hernia"], n_boot=5)
    (folder / "metrics.json").write_text(json.dumps(found))
    run = read_run(folder)
    table, classes = class_results_table(run, "test"), classes_table(run, "test")
    assert table is not None
    assert table.note.startswith("1 class of 2 left out of every mean over labels")
    assert table.note.endswith("Hernia.")
    assert classes is not None
    assert [row[0].sub for row in classes.rows] == ["", "one kind only"]


def test_predictions_of_a_label_are_counted(make_class_run: MakeRun):
    run = read_run(make_class_run(kind="multilabel"))
    table = label_counts_table(run, "test")
    assert table is not None
    assert sum(int(cell.text) for cell in table.rows[0][1:]) == 90
    assert label_counts_table(read_run(make_class_run("b")), "test") is None


def test_the_loss_of_a_class_is_that_of_the_true_one():
    frame = pd.DataFrame({"p_a": [0.8, 0.5], "p_b": [0.2, 0.5], "t_a": [1.0, 0.0], "t_b": [0.0, 1.0]})
    assert losses(frame, "multiclass", ["a", "b"]).to_list() == pytest.approx([-math.log(0.8), math.log(2)])


def test_the_loss_of_labels_is_the_mean_over_the_known_ones():
    frame = pd.DataFrame({"p_a": [0.8, 0.8], "p_b": [0.25, 0.5], "t_a": [1.0, np.nan], "t_b": [0.0, np.nan]})
    first, second = losses(frame, "multilabel", ["a", "b"])
    assert first == pytest.approx(-(math.log(0.8) + math.log(0.75)) / 2)
    assert math.isnan(second)


def test_a_certain_error_has_a_finite_loss():
    frame = pd.DataFrame({"p_a": [0.0], "p_b": [1.0], "t_a": [1.0], "t_b": [0.0]})
    assert losses(frame, "multiclass", ["a", "b"])[0] == pytest.approx(-math.log(1e-7))


def test_the_highest_loss_comes_first(make_class_run: MakeRun):
    run = read_run(make_class_run())
    table = worst_table(run, "test")
    assert table is not None
    assert run.samples is not None
    values = [float(row[3].text) for row in table.rows]
    assert values == sorted(values, reverse=True)
    assert len(values) == 12
    rows = run.samples[run.samples["part"] == "test"]
    assert values[0] == pytest.approx(losses(rows, "multiclass", run.classes).max(), abs=5e-4)
    assert table.rows[0][0].text.startswith("test")  # of a single set its name says nothing


def test_names_that_are_not_known_are_not_shown(make_class_run: MakeRun):
    folder = make_class_run(n=20)
    frame = pd.read_parquet(folder / "per_sample.parquet").assign(label="viral|?normal", predicted="")
    frame.to_parquet(folder / "per_sample.parquet")
    table = worst_table(read_run(folder), "test")
    assert table is not None
    assert [cell.text for cell in table.rows[0][1:3]] == ["viral", "–"]


def test_groups_are_scored_by_themselves_and_small_ones_are_not(make_class_run: MakeRun):
    run = read_run(make_class_run(n=150))
    table = class_subgroups_table(run, "test", n_boot=20)
    assert table is not None
    assert run.samples is not None
    female = run.samples[(run.samples["part"] == "test") & (run.samples["sex"] == "F")]
    p, truth = (female[[f"{start}_{name}" for name in run.classes]].to_numpy() for start in "pt")
    found = class_intervals(p, truth, female["subject_id"].to_list(), kind="multiclass", n_boot=20)
    (row,) = (row for row in table.rows if row[1].text == "female")
    assert [cell.text for cell in row[2:]] == [
        str(len(female)), f"{found.overall['macro_f1'].mean:.4f}", f"{found.overall['auroc'].mean:.4f}",
    ]  # fmt: skip
    young = next(row for row in table.rows if row[1].text == "under 18")
    assert (young[3].text, young[4].text) == ("too few", "–")


def test_images_without_the_classes_columns_give_no_table(make_class_run: MakeRun):
    folder = make_class_run()
    frame = pd.read_parquet(folder / "per_sample.parquet").drop(columns=["t_viral", "p_viral"])
    frame.to_parquet(folder / "per_sample.parquet")
    run = read_run(folder)
    assert worst_table(run, "test") is None
    assert class_subgroups_table(run, "test") is None
