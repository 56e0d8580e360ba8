"""Measures of a classifier with their intervals."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from lungseg.errors import ConfigError, DataError
from lungseg.stats.bootstrap import mean_interval
from lungseg.stats.class_bootstrap import ClassIntervals, class_intervals

QUICK: dict[str, Any] = {"n_boot": 60, "seed": 0}


def multiclass(n: int = 120, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, n)
    p = generator.dirichlet(np.ones(3), n)
    p[np.arange(n), labels] += 0.3
    return p / p.sum(axis=1, keepdims=True), labels, generator.integers(0, n // 2, n)


def multilabel(n: int = 150, seed: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = (generator.random((n, 3)) < [0.2, 0.5, 0.4]).astype(float)
    p = 0.6 * generator.random((n, 3)) + 0.4 * truth
    truth[generator.random((n, 3)) < 0.2] = np.nan
    return p, truth, generator.integers(0, n // 3, n)


def of_multiclass(**settings: Any) -> ClassIntervals:
    p, labels, subjects = multiclass()
    return class_intervals(p, np.eye(3)[labels], subjects, kind="multiclass", **{**QUICK, **settings})


def test_the_values_of_a_multiclass_are_those_of_scikit_learn():
    p, labels, _ = multiclass()
    predicted = p.argmax(axis=1)
    found = {name: each.mean for name, each in of_multiclass().overall.items()}
    theirs = {
        "macro_f1": sklearn_metrics.f1_score(labels, predicted, average="macro"),
        "accuracy": sklearn_metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(labels, predicted),
        "kappa": sklearn_metrics.cohen_kappa_score(labels, predicted),
        "auroc": sklearn_metrics.roc_auc_score(labels, p, multi_class="ovr"),
        "average_precision": sklearn_metrics.average_precision_score(np.eye(3)[labels], p, average="macro"),
        "precision": sklearn_metrics.precision_score(labels, predicted, average="macro"),
        "recall": sklearn_metrics.recall_score(labels, predicted, average="macro"),
        "brier": np.mean(((p - np.eye(3)[labels]) ** 2).sum(axis=1)),
    }
    assert {name: found[name] for name in theirs} == pytest.approx(theirs, abs=1e-12)


def test_an_unknown_label_is_left_out_of_its_label_only():
    p, truth, subjects = multilabel()
    found = class_intervals(p, truth, subjects, kind="multilabel", thresholds=[0.3, 0.5, 0.6], **QUICK)
    for c, threshold in enumerate((0.3, 0.5, 0.6)):
        known = ~np.isnan(truth[:, c])
        there, scores = truth[known, c], p[known, c]
        ours = {name: each.mean for name, each in found.classes[c].items()}
        theirs = {
            "f1": sklearn_metrics.f1_score(there, scores >= threshold),
            "auroc": sklearn_metrics.roc_auc_score(there, scores),
            "average_precision": sklearn_metrics.average_precision_score(there, scores),
            "kappa": sklearn_metrics.cohen_kappa_score(there, scores >= threshold),
            "brier": sklearn_metrics.brier_score_loss(there, scores),
        }
        assert {name: ours[name] for name in theirs} == pytest.approx(theirs, abs=1e-12)
        assert (found.n_known[c], found.n_positive[c]) == (known.sum(), there.sum())
        assert found.classes[c]["f1"].n == known.sum()
    f1 = [each["f1"].mean for each in found.classes]
    assert found.overall["macro_f1"].mean == pytest.approx(np.mean(f1), abs=1e-12)


def test_a_resample_is_what_the_drawn_patients_images_give():
    """The reference: draw patients, gather their images, and measure with scikit-learn."""
    p, labels, subjects = multiclass(n=60)
    found = class_intervals(p, np.eye(3)[labels], subjects, kind="multiclass", n_boot=40, seed=5)
    patients = np.unique(subjects)
    drawn = np.random.default_rng(5).integers(0, len(patients), (40, len(patients)))
    values: dict[str, list[float]] = {"macro_f1": [], "auroc": [], "kappa": []}
    for chosen in drawn:
        rows = np.concatenate([np.flatnonzero(subjects == patients[place]) for place in chosen])
        y, q = labels[rows], p[rows]
        values["macro_f1"].append(sklearn_metrics.f1_score(y, q.argmax(axis=1), average="macro"))
        values["auroc"].append(sklearn_metrics.roc_auc_score(y, q, multi_class="ovr", labels=[0, 1, 2]))
        values["kappa"].append(sklearn_metrics.cohen_kappa_score(y, q.argmax(axis=1)))
    for name, each in values.items():
        low, high = np.quantile(each, [0.025, 0.975])
        assert (found.overall[name].low, found.overall[name].high) == pytest.approx((low, high), abs=1e-12)


def test_an_interval_of_accuracy_is_that_of_a_mean_over_images():
    p, labels, subjects = multiclass()
    ours = of_multiclass(n_boot=500).overall["accuracy"]
    theirs = mean_interval(p.argmax(axis=1) == labels, subjects, n_boot=500)
    assert (ours.mean, ours.low, ours.high) == pytest.approx((theirs.mean, theirs.low, theirs.high), abs=1e-12)
    assert (ours.n, ours.n_subjects) == (theirs.n, theirs.n_subjects)


def test_the_order_of_the_images_does_not_matter():
    p, labels, subjects = multiclass()
    turned = np.random.default_rng(0).permutation(len(p))
    again = class_intervals(p[turned], np.eye(3)[labels[turned]], subjects[turned], kind="multiclass", **QUICK)
    for name, one in of_multiclass().overall.items():
        other = again.overall[name]
        assert (other.mean, other.low, other.high) == pytest.approx((one.mean, one.low, one.high), abs=1e-12)


def test_blocks_do_not_change_the_intervals(monkeypatch: pytest.MonkeyPatch):
    whole = of_multiclass()
    monkeypatch.setattr("lungseg.stats.class_bootstrap.DRAWS_PER_BLOCK", 700)
    ours = of_multiclass().overall["auroc"]
    assert (ours.low, ours.high) == (whole.overall["auroc"].low, whole.overall["auroc"].high)


def test_a_label_of_one_kind_is_skipped_and_takes_no_part_in_the_mean():
    p, truth, subjects = multilabel()
    truth[:, 1] = 0
    found = class_intervals(p, truth, subjects, kind="multilabel", **QUICK)
    assert found.skipped.tolist() == [False, True, False]
    assert math.isnan(found.classes[1]["auroc"].mean)
    assert math.isnan(found.classes[1]["average_precision"].mean)
    for name in ("auroc", "f1"):
        mean = found.overall["macro_f1" if name == "f1" else name].mean
        assert mean == pytest.approx((found.classes[0][name].mean + found.classes[2][name].mean) / 2)


def test_an_image_without_any_known_label_does_not_count():
    p, truth, subjects = multilabel()
    truth[:10] = np.nan
    found = class_intervals(p, truth, subjects, kind="multilabel", **QUICK)
    kept = ~np.isnan(truth).all(axis=1)
    assert (found.n, found.n_subjects) == (kept.sum(), len(np.unique(subjects[kept])))


def test_a_class_without_images_is_counted_where_it_is_predicted():
    p = np.array([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.2, 0.7, 0.1]])
    found = class_intervals(p, np.eye(3)[[0, 0, 1]], ["a", "b", "c"], kind="multiclass", **QUICK)
    # F1: class 0 2/3, class 1 1, class 2 predicted once and never there: 0
    assert found.overall["macro_f1"].mean == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found.skipped.tolist() == [False, False, True]
    assert found.confusion.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_one_patient_gives_values_without_interval():
    p, labels, _ = multiclass(n=30)
    found = class_intervals(p, np.eye(3)[labels], ["a"] * 30, kind="multiclass", **QUICK)
    assert math.isfinite(found.overall["auroc"].mean)
    assert math.isnan(found.overall["auroc"].low)


def test_nothing_measured_is_undefined():
    found = class_intervals(np.zeros((0, 2)), np.zeros((0, 2)), [], kind="multilabel", **QUICK)
    assert found.n == 0
    assert all(math.isnan(each.mean) for each in found.overall.values())


def test_the_confusion_of_a_label_is_true_by_predicted():
    p, truth = np.array([[0.9], [0.2], [0.8], [0.1]]), np.array([[1.0], [1.0], [0.0], [0.0]])
    found = class_intervals(p, truth, list("abcd"), kind="multilabel", **QUICK)
    assert found.confusion.tolist() == [[[1, 1], [1, 1]]]


def test_two_thousand_resamples_of_a_thousand_images_take_seconds():
    p, labels, subjects = multiclass(n=1000)
    began = time.process_time()
    class_intervals(p, np.eye(3)[labels], subjects, kind="multiclass", n_boot=500)
    assert time.process_time() - began < 2.5  # a quarter of them; measured 0.25 s


@pytest.mark.parametrize(
    ("truth", "kind", "said"),
    [
        ([[1, 1], [0, 1]], "multiclass", "1 of 2 images have no class, or more than one"),
        ([[0.5, 1], [0, 1]], "multilabel", "other values than 0, 1 and NaN"),
        ([[1], [0]], "multilabel", r"shape \(2, 2\) and truth \(2, 1\)"),
    ],
)
def test_truth_that_does_not_fit_is_refused(truth: list[list[float]], kind: Any, said: str):
    with pytest.raises(DataError, match=said):
        class_intervals([[0.5, 0.5], [0.5, 0.5]], truth, ["a", "b"], kind=kind)


def test_a_kind_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="kind=binary must be multiclass or multilabel"):
        class_intervals([[0.5]], [[1]], ["a"], kind="binary")  # type: ignore[arg-type]
