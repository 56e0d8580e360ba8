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
    assert list(metrics) == [
        "dice", "iou", "accuracy", "precision", "recall", "specificity", "f1", "mse",
        "dice_pooled", "iou_pooled", "precision_pooled", "recall_pooled",
        "dice_micro_all", "iou_micro_all", "precision_micro_all", "recall_micro_all", "f1_micro_all",
    ]  # fmt: skip
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
        ("all", "mean"): 0.625,  # image 2 has lungs only: 1; image 3 (0.5 + 0) / 2
        ("a", "lungs"): 1.0,
        ("b", "lungs"): 0.5,
        ("b", "heart"): 0.0,
        ("b", "mean"): 0.25,
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


def two_structures(**columns: list) -> pd.DataFrame:
    """Two images of ten pixels of one patient each, with two structures."""
    frame = table(
        ("test", "a", "a/1", "a/p", "left_lung", 3, 1, 1, 5),
        ("test", "a", "a/1", "a/p", "heart", 0, 0, 0, 10),  # both empty
        ("test", "a", "a/2", "a/q", "left_lung", 1, 0, 1, 8),
        ("test", "a", "a/2", "a/q", "heart", 0, 0, 2, 8),  # missed
    )
    return frame.assign(**columns)


def test_of_several_structures_there_is_a_mean():
    found = summarise(two_structures(n_right=[8, 8, 7, 7]), n_boot=10)["test"]["all"]
    assert list(found) == ["left_lung", "heart", "mean"]
    mean = found["mean"]
    # image 1: 6/8, the heart undefined; image 2: (2/3 + 0) / 2
    assert mean["metrics"]["dice"]["mean"] == pytest.approx((0.75 + 1 / 3) / 2)
    assert [mean[key] for key in ("n", "n_subjects", "n_empty", "n_missed", "n_false")] == [2, 2, 1, 1, 0]
    # TP 3 + 0 + 1 + 0 of 2 * 4 + 1 + 4
    assert mean["metrics"]["dice_pooled"]["mean"] == pytest.approx(8 / 13)
    # 15 of 20 pixels are right in both structures
    for name in ("dice", "precision", "recall", "f1"):
        assert mean["metrics"][f"{name}_micro_all"]["mean"] == pytest.approx(15 / 20)
    assert mean["metrics"]["iou_micro_all"]["mean"] == pytest.approx(15 / 25)


def test_without_pixels_that_are_right_in_all_structures_they_have_no_common_classes():
    mean = summarise(two_structures(), n_boot=10)["test"]["all"]["mean"]
    assert not any(name.endswith("_micro_all") for name in mean["metrics"])


def test_over_all_classes_one_structure_scores_its_right_pixels():
    # TP + TN: 8 and 9 of 10
    frame = table(lungs("1", "p", (3, 1, 1, 5)), lungs("2", "q", (1, 0, 1, 8)))
    metrics = summarise(frame, n_boot=50)["test"]["all"]["lungs"]["metrics"]
    assert metrics["dice_micro_all"]["mean"] == pytest.approx(0.85)
    assert metrics["precision_micro_all"] == metrics["recall_micro_all"] == metrics["dice_micro_all"]
    assert (metrics["dice_micro_all"]["low"], metrics["dice_micro_all"]["high"]) == pytest.approx((0.8, 0.9))
    assert metrics["iou_micro_all"]["mean"] == pytest.approx(17 / 23)


def test_an_average_over_classes_has_names_of_its_own():
    frame = table(lungs("1", "p", (3, 1, 2, 4)), lungs("2", "q", (0, 0, 0, 10)))
    images, classes = (
        summarise(frame, n_boot=10, average=average)["test"]["all"]["lungs"]["metrics"]
        for average in ("images", "classes")
    )
    # dice (6/9 + 8/11) / 2; the second image has none
    assert classes["dice_classes"]["mean"] == pytest.approx((6 / 9 + 8 / 11) / 2)
    assert classes["dice_classes"]["n"] == 1
    assert classes["dice"] == images["dice"]
    assert set(classes) - set(images) == {"dice_classes", "iou_classes", "precision_classes", "recall_classes"}


def test_probabilities_are_summarised_from_their_sums():
    frame = table(lungs("1", "p", (1, 1, 0, 2)), lungs("2", "q", (0, 0, 2, 2)))
    frame = frame.assign(sum_pt=[0.8, 0.4], sum_p=[1.2, 0.6], sum_pp=[0.8, 0.2])
    metrics = summarise(frame, n_boot=10)["test"]["all"]["lungs"]["metrics"]
    # t = TP + FN = 1, 2 of four pixels
    assert metrics["soft_dice"]["mean"] == pytest.approx((1.6 / 2.2 + 0.8 / 2.6) / 2)
    assert metrics["soft_iou"]["mean"] == pytest.approx((0.8 / 1.4 + 0.4 / 2.2) / 2)
    assert metrics["tanimoto"]["mean"] == pytest.approx((0.8 / 1.0 + 0.4 / 1.8) / 2)
    assert metrics["brier"]["mean"] == pytest.approx((0.2 / 4 + 1.4 / 4) / 2)
    # background of 1: q u = 4 - 1.2 - 1 + .8 = 2.6, q^2 = 4 - 2.4 + .8 = 2.4, u = 3; of 2: 1.8, 3.0, 2
    above, below = 0.8 + 2.6 + 0.4 + 1.8, 1.0 + (2.4 + 3 - 2.6) + 1.8 + (3.0 + 2 - 1.8)
    assert metrics["tanimoto_micro_all"]["mean"] == pytest.approx(above / below)


def test_outlines_are_summarised_over_the_images_where_they_were_measured():
    frame = table(*[lungs(str(i), str(i), (1, 0, 0, 1)) for i in range(3)])
    frame = frame.assign(hd95_px=[1.0, 2.0, np.nan], hd95_mm=[np.nan, 0.5, np.nan], nsd=[np.nan, 0.75, np.nan])
    metrics = summarise(frame, n_boot=10)["test"]["all"]["lungs"]["metrics"]
    assert (metrics["hd95_px"]["mean"], metrics["hd95_px"]["n"]) == (1.5, 2)
    assert (metrics["hd95_mm"]["mean"], metrics["hd95_mm"]["n"]) == (0.5, 1)
    assert metrics["nsd"]["mean"] == 0.75
    assert "assd_px" not in metrics


def test_an_average_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"average=classs must be images or classes"):
        summarise(table(lungs("1", "p", (1, 0, 0, 0))), average="classs")


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
        pytest.param(
            table(lungs("1", "p", (1, 0, 0, 0))).assign(structure="mean"), "called 'mean'", id="structure-name"
        ),
        pytest.param(table(*[lungs("1", "p", (1, 0, 0, 0))] * 2), "1 rows repeat.*a/1", id="twice"),
    ],
)
def test_tables_that_cannot_be_summarised_are_refused(frame, message):
    with pytest.raises(ValueError, match=message):
        summarise(frame)
