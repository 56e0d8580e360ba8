"""The parts of metrics.json from the per-sample table."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from lungseg.metrics.summary import summarise
from lungseg.stats.bootstrap import mean_interval


def table(*rows: tuple) -> pd.DataFrame:
    columns = ["part", "source", "sample_id", "subject_id", "structure", "tp", "fp", "fn", "tn"]
    return pd.DataFrame(rows, columns=columns)


def lungs(
    name: str, subject: str, counts: tuple[int, int, int, int], *, part: str = "test", source: str = "a"
) -> tuple:
    return (part, source, f"{source}/{name}", f"{source}/{subject}", "lungs", *counts)


def test_images_patients_and_empty_masks_are_counted():
    found = summarise(
        table(
            lungs("1", "p", (3, 1, 1, 5)),
            lungs("2", "p", (0, 0, 0, 10)),  # both empty
            lungs("3", "q", (0, 0, 4, 6)),  # missed
            lungs("4", "r", (0, 2, 0, 8)),  # false
        ),
        n_boot=10,
    )["test"]["all"]["lungs"]
    keys = ("n", "n_subjects", "n_empty", "n_missed", "n_false")
    assert [found[key] for key in keys] == [4, 3, 1, 1, 1]
    # dice 6/8, -, 0, 0
    assert found["metrics"]["dice"]["mean"] == pytest.approx(0.75 / 3)
    assert found["metrics"]["dice"]["n"] == 3
    # precision 3/4, -, 0 (nothing predicted of 4), 0
    assert found["metrics"]["precision"]["mean"] == pytest.approx(0.25)
    # recall 3/4, -, 0, -
    assert found["metrics"]["recall"]["mean"] == pytest.approx(0.375)
    # pooled: 6 / (6 + 3 + 5), 3 / (3 + 3 + 5)
    assert found["metrics"]["dice_pooled"]["mean"] == pytest.approx(6 / 14)
    assert found["metrics"]["iou_pooled"]["mean"] == pytest.approx(3 / 11)


def test_keys_are_those_of_the_contract():
    found = summarise(table(lungs("1", "p", (3, 1, 1, 5)), lungs("2", "q", (3, 1, 1, 5))), n_boot=10)
    metrics = found["test"]["all"]["lungs"]["metrics"]
    assert list(metrics) == ["dice", "iou", "accuracy", "precision", "recall", "dice_pooled", "iou_pooled"]
    assert list(metrics["dice"]) == ["mean", "sd", "low", "high", "n"]
    assert list(metrics["dice_pooled"]) == ["mean", "low", "high"]


def test_each_part_source_and_structure_has_its_own():
    found = summarise(
        table(
            lungs("1", "p", (1, 0, 0, 0), part="val"),
            lungs("2", "p", (1, 0, 0, 0), source="a"),
            lungs("3", "q", (1, 1, 1, 0), source="b"),
            ("test", "b", "b/3", "b/q", "heart", 0, 1, 1, 0),
        ),
        n_boot=10,
    )
    assert list(found) == ["val", "test"]
    assert list(found["test"]) == ["all", "a", "b"]
    means = {
        (source, structure): value["metrics"]["dice"]["mean"]
        for source, structures in found["test"].items()
        for structure, value in structures.items()
    }
    assert means == {
        ("all", "lungs"): 0.75,
        ("all", "heart"): 0.0,
        ("a", "lungs"): 1.0,
        ("b", "lungs"): 0.5,
        ("b", "heart"): 0.0,
    }


def test_interval_is_the_bootstrap_over_patients():
    counts = np.random.default_rng(0).integers(1, 50, (30, 4))
    rows = [lungs(str(i), str(i // 3), tuple(c)) for i, c in enumerate(counts.tolist())]
    found = summarise(table(*rows), n_boot=200, seed=5)["test"]["all"]["lungs"]["metrics"]["dice"]
    tp, fp, fn, _ = counts.T
    expected = mean_interval(2 * tp / (2 * tp + fp + fn), [f"a/{i // 3}" for i in range(30)], n_boot=200, seed=5)
    assert (found["mean"], found["sd"]) == pytest.approx((expected.mean, expected.sd))
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))


def test_result_is_plain_json_with_null_where_undefined():
    found = summarise(table(lungs("1", "p", (0, 0, 0, 4))), n_boot=10)
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text)["test"]["all"]["lungs"]["metrics"]["dice"] == {
        "mean": None, "sd": None, "low": None, "high": None, "n": 0,
    }  # fmt: skip


def test_columns_of_values_are_not_believed():
    frame = table(lungs("1", "p", (1, 0, 0, 0)))
    frame["dice"] = 0.123
    assert summarise(frame, n_boot=10)["test"]["all"]["lungs"]["metrics"]["dice"]["mean"] == 1.0


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        pytest.param(
            table(lungs("1", "p", (1, 0, 0, 0))).drop(columns=["tn", "part"]), "no column part, tn", id="column"
        ),
        pytest.param(table(lungs("1", "p", (1, 0, 0, 0), source="all")), "called 'all'", id="source-name"),
        pytest.param(table(*[lungs("1", "p", (1, 0, 0, 0))] * 2), "1 rows repeat.*a/1", id="twice"),
    ],
)
def test_tables_that_cannot_be_summarised_are_refused(frame, message):
    with pytest.raises(ValueError, match=message):
        summarise(frame)
