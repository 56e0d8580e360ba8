"""Tables over several classification runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lungseg.report import class_compare
from lungseg.report.class_compare import (
    class_by_class_table,
    class_comparison_table,
    class_paired_table,
    class_pairs,
    class_repeats_table,
)
from lungseg.report.compare import label_runs, repeats
from lungseg.report.reader import read_run
from lungseg.report.wording import decimal, signed
from lungseg.stats.class_paired import Predictions, paired_class_differences

MakeRun = Callable[..., Path]
QUICK: dict[str, Any] = {"n": 24, "n_boot": 5, "embedding": False, "epochs": 2}


def test_each_run_is_a_row(make_class_run: MakeRun):
    runs = [read_run(make_class_run(name, name=name, **QUICK)) for name in ("one", "two")]
    table = class_comparison_table(label_runs(runs), "test")
    assert table is not None
    assert [row[0].text for row in table.rows] == ["A one", "B two"]
    assert table.rows[0][1].sub == "3 classes"
    assert class_comparison_table(label_runs(runs), "train") is None


def test_each_class_is_a_column_and_one_that_a_run_does_not_know_is_empty(make_class_run: MakeRun):
    runs = [
        read_run(make_class_run("a", name="a", classes=("normal", "viral"), **QUICK)),
        read_run(make_class_run("b", name="b", classes=("normal", "covid"), **QUICK)),
    ]
    table = class_by_class_table(label_runs(runs), "test")
    assert table is not None
    assert [column.title for column in table.columns] == ["Run", "normal", "viral", "covid"]
    assert (table.rows[0][3].text, table.rows[1][2].text) == ("–", "–")
    assert table.rows[0][1].text != "–"


def test_seeds_are_brought_together_as_mean_and_sd(make_class_run: MakeRun):
    runs = [
        read_run(make_class_run(f"s{seed}", seed=seed, metrics={"macro_f1": (value, 0.1, 0.9)}, **QUICK))
        for seed, value in enumerate((0.7, 0.8, 0.9))
    ]
    table = class_repeats_table(repeats(label_runs(runs)))
    (row, _) = table.rows  # test, then validation
    assert [cell.text for cell in row[:3]] == ["mobilenet_v3_large_kermany", "test", "3"]
    assert (row[3].text, row[3].sub) == ("0.8000", "± 0.1000")
    assert math.isclose(float(row[3].sub[2:]), 0.1)


def test_runs_are_paired_with_the_first_by_name_of_image_and_of_class(make_class_run: MakeRun):
    """The second run has its classes in another order and its images too."""
    one = make_class_run("one", draw=1, **QUICK)
    two = make_class_run("two", draw=2, **QUICK)
    frame = pd.read_parquet(two / "per_sample.parquet")
    order = ["normal", "bacterial", "viral"]
    first = frame.columns[: list(frame.columns).index("p_normal")].to_list()
    turned = [f"{start}{name}" for start in ("p_", "t_") for name in order[::-1]]
    frame[[*first, *turned, "predicted"]].iloc[::-1].to_parquet(two / "per_sample.parquet", index=False)
    metrics = (two / "metrics.json").read_text()
    (two / "metrics.json").write_text(metrics.replace(_listed(order), _listed(order[::-1])))
    runs = label_runs([read_run(one), read_run(two)])
    assert runs[list(runs)[1]].classes == ("viral", "bacterial", "normal")
    pair = class_pairs(runs)[0]
    a, b = (pd.read_parquet(folder / "per_sample.parquet").query("part == 'test'") for folder in (one, two))
    expected = paired_class_differences(*(_predictions(rows, order) for rows in (a, b)), kind="multiclass", n_boot=5)
    assert (pair.part, pair.n_boot) == ("test", 5)
    for name, found in pair.differences.items():
        assert found.mean_b - found.mean_a == pytest.approx(expected[name].interval.mean)
        assert found.interval.low == pytest.approx(expected[name].interval.low)


def _listed(names: list[str]) -> str:
    return "[\n  " + ",\n  ".join(f'"{name}"' for name in names) + "\n ]"


def _predictions(rows: pd.DataFrame, classes: list[str]) -> Predictions:
    p, truth = (rows[[f"{start}_{name}" for name in classes]].to_numpy(dtype=float) for start in "pt")
    return Predictions(rows["sample_id"].to_list(), p, truth, rows["subject_id"].to_list())


def test_a_label_is_predicted_from_each_runs_own_threshold(make_class_run: MakeRun):
    settings: dict[str, Any] = {**QUICK, "kind": "multilabel", "parts": ("test",)}
    names = ("normal", "bacterial", "viral")
    runs = [
        make_class_run(str(limit), draw=1, thresholds=dict.fromkeys(names, limit), **settings) for limit in (0.3, 0.7)
    ]
    (pair,) = class_pairs(label_runs([read_run(folder) for folder in runs]))
    f1 = pair.differences["macro_f1"]
    mains = [read_run(folder).main() for folder in runs]
    assert [f1.mean_a, f1.mean_b] == pytest.approx([main.metric("macro_f1").mean for main in mains if main is not None])
    assert f1.mean_a != f1.mean_b
    assert pair.differences["auroc"].interval.mean == 0


def test_the_table_holds_both_values_the_difference_and_what_it_rests_on(make_class_run: MakeRun):
    folders = [make_class_run(name, draw=draw, **QUICK) for name, draw in (("a", 1), ("b", 2))]
    found = class_pairs(label_runs([read_run(folder) for folder in folders]))
    table = class_paired_table(found, "A")
    row = table.rows[0]
    of = found[0].differences["auroc"]
    assert [column.group for column in table.columns[2:8]] == ["Macro F1"] * 3 + ["AUROC"] * 3
    assert [cell.text for cell in row[5:8]] == [decimal(of.mean_b), decimal(of.mean_a), signed(of.interval.mean)]
    assert row[7].sub.startswith("[")
    assert (row[8].text, row[8].sub, row[9].text) == ("24", "12 patients", "0")
    assert "Of 4 such 95 % intervals" in table.note


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"source": "nih_chestxray"}, "no common image"),
        ({"classes": ("normal", "covid")}, "other classes"),
        ({"kind": "multilabel"}, "other classes"),
        ({"seed": 8}, "the two runs were tested against different labels of"),
    ],
)
def test_runs_that_cannot_be_paired_say_why(make_class_run: MakeRun, other: dict[str, Any], why: str):
    folders = [make_class_run("a", **QUICK), make_class_run("b", **{**QUICK, **other})]
    found = class_pairs(label_runs([read_run(folder) for folder in folders]))
    assert {pair.part for pair in found} == {"test", "val"}
    assert all(pair.why.startswith(why) and not pair.differences for pair in found)
    assert len(class_paired_table(found, "A").rows) == 2


def test_large_parts_take_fewer_resamples_and_say_so(make_class_run: MakeRun, monkeypatch: pytest.MonkeyPatch):
    settings: dict[str, Any] = {**QUICK, "n_boot": 50, "parts": ("test",)}
    folders = [make_class_run(name, draw=draw, **settings) for name, draw in (("a", 1), ("b", 2))]
    monkeypatch.setattr(class_compare, "FEWEST", 10)
    monkeypatch.setattr(class_compare, "MOST_WORK", 24 * 3 * 20)
    (pair,) = found = class_pairs(label_runs([read_run(folder) for folder in folders]))
    assert pair.n_boot == 20
    assert "Large parts: 20 resamples." in class_paired_table(found, "A").note
