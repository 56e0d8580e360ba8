"""Tables over several classification runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lungseg.report.class_compare import class_by_class_table, class_comparison_table, class_repeats_table
from lungseg.report.compare import label_runs, repeats
from lungseg.report.reader import read_run

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
