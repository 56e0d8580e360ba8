"""Differences of two classifiers on common images."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from lungseg.errors import ConfigError, DataError
from lungseg.stats.class_bootstrap import class_intervals
from lungseg.stats.class_paired import Predictions, paired_class_differences

QUICK: dict[str, Any] = {"kind": "multiclass", "n_boot": 100, "seed": 0}


def predictions(skill: float, n: int = 60, *, seed: int = 1, per_patient: int = 2, classes: int = 3) -> Predictions:
    """The same images for every skill: labels depend on n only, probabilities on skill and seed."""
    labels = np.random.default_rng(n).integers(0, classes, n)
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(n, classes)) + skill * np.eye(classes)[labels]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    keys = [f"s{i:03d}" for i in range(n)]
    return Predictions(keys, p, np.eye(classes)[labels], [f"p{i // per_patient:03d}" for i in range(n)])


def taken(run: Predictions, rows: np.ndarray) -> Predictions:
    """Some images of a run, in another order."""
    return replace(
        run,
        keys=[run.keys[i] for i in rows],
        probabilities=np.asarray(run.probabilities)[rows],
        truth=np.asarray(run.truth)[rows],
        subjects=[run.subjects[i] for i in rows],
    )


def test_a_known_case():

    truth = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], float)
    a = Predictions("wxyz", np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]]), truth, "pqrs")
    b = Predictions("wxyz", np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]]), truth, "pqrs")
    found = paired_class_differences(a, b, **QUICK)
    # a: each class is found once, missed once and named wrongly once, so F1 = 2 / (2 + 1 + 1) = 0.5 for both
    assert (found["macro_f1"].mean_a, found["macro_f1"].mean_b) == (0.5, 1.0)
    assert found["macro_f1"].interval.mean == 0.5
    # a ranks 0.9, 0.4 of the first class against 0.7, 0.2 of the second: 3 of 4 pairs in order
    assert (found["auroc"].mean_a, found["auroc"].mean_b) == (0.75, 1.0)
    assert found["auroc"].interval.mean == 0.25


def test_both_runs_are_measured_as_each_is_alone():
    a, b = predictions(0.5, seed=1), predictions(1.5, seed=2)
    found = paired_class_differences(a, b, **QUICK)
    for run, name in ((a, "mean_a"), (b, "mean_b")):
        alone = class_intervals(run.probabilities, run.truth, run.subjects, **QUICK).overall
        assert {key: getattr(found[key], name) for key in found} == {key: alone[key].mean for key in found}


def test_a_resample_measures_both_runs_on_the_same_patients():
    """The reference: draw patients, gather their images, and measure both runs with scikit-learn."""
    a, b = predictions(0.5, seed=1), predictions(1.5, seed=2)
    found = paired_class_differences(a, b, kind="multiclass", n_boot=40, seed=5)
    subjects, labels = np.asarray(a.subjects), np.asarray(a.truth).argmax(axis=1)
    patients = np.unique(subjects)
    differences: dict[str, list[float]] = {"macro_f1": [], "auroc": []}
    for chosen in np.random.default_rng(5).integers(0, len(patients), (40, len(patients))):
        rows = np.concatenate([np.flatnonzero(subjects == patients[place]) for place in chosen])
        y, (p, q) = labels[rows], (np.asarray(run.probabilities)[rows] for run in (a, b))
        f1 = [sklearn_metrics.f1_score(y, each.argmax(axis=1), average="macro") for each in (p, q)]
        area = [sklearn_metrics.roc_auc_score(y, each, multi_class="ovr", labels=[0, 1, 2]) for each in (p, q)]
        differences["macro_f1"].append(f1[1] - f1[0])
        differences["auroc"].append(area[1] - area[0])
    for name, each in differences.items():
        interval = found[name].interval
        assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(each, [0.025, 0.975])), abs=1e-12)


def test_the_other_way_round_the_difference_changes_its_sign():
    a, b = predictions(0.5, seed=1), predictions(1.5, seed=2)
    forth, back = paired_class_differences(a, b, **QUICK), paired_class_differences(b, a, **QUICK)
    for name, one in forth.items():
        other = back[name].interval
        assert (other.mean, other.low, other.high) == pytest.approx(
            (-one.interval.mean, -one.interval.high, -one.interval.low), abs=1e-12
        )


def test_images_are_joined_by_name_whatever_their_order_and_others_are_counted():
    a, b = predictions(0.5, seed=1), predictions(1.5, seed=2)
    turned = np.random.default_rng(0).permutation(60)[:50]
    found = paired_class_differences(a, taken(b, turned), **QUICK)["macro_f1"]
    rows = np.sort(turned)
    same = paired_class_differences(taken(a, rows), taken(b, rows), **QUICK)["macro_f1"]
    assert replace(found.interval, sd=0.0) == replace(same.interval, sd=0.0)  # a NaN would equal nothing
    assert (found.n_common, found.only_a, found.only_b) == (50, 10, 0)
    assert found.interval.n_subjects == len({b.subjects[i] for i in turned})


def test_patients_are_drawn_and_not_images():
    """Each image twice, of the same patient: the interval is that of one each."""
    a, b = predictions(0.5, per_patient=1), predictions(1.0, seed=3, per_patient=1)
    doubled = [
        replace(
            run,
            keys=[f"{key}{again}" for again in "xy" for key in run.keys],
            probabilities=np.tile(np.asarray(run.probabilities), (2, 1)),
            truth=np.tile(np.asarray(run.truth), (2, 1)),
            subjects=[*run.subjects, *run.subjects],
        )
        for run in (a, b)
    ]
    one, two = paired_class_differences(a, b, **QUICK), paired_class_differences(*doubled, **QUICK)
    for name, found in one.items():
        expected = (found.interval.mean, found.interval.low, found.interval.high)
        twice = two[name].interval
        assert (twice.mean, twice.low, twice.high) == pytest.approx(expected, abs=1e-12)
        assert (twice.n, twice.n_subjects) == (120, 60)


def test_pairing_is_sharper_than_two_intervals():
    a = predictions(1.0, n=200, seed=1)
    nearly = np.asarray(a.probabilities) * np.array([1.02, 1.0, 0.98])
    b = replace(a, probabilities=nearly / nearly.sum(axis=1, keepdims=True))
    paired = paired_class_differences(a, b, **QUICK)["auroc"].interval
    alone = class_intervals(a.probabilities, a.truth, a.subjects, **QUICK).overall["auroc"]
    assert paired.high - paired.low < 0.2 * (alone.high - alone.low)


def test_the_interval_of_no_difference_holds_zero_about_as_often_as_it_says():
    """40 patients, two equally good classifiers, 200 times: 174 and 175 of the 90 % intervals hold 0.

    Of a binomial of 200 at 0.9 the middle 95 % are 171 to 188; percentile intervals of few patients are a little too
    narrow.
    """
    held = {"macro_f1": 0, "auroc": 0}
    for seed in range(200):
        a, b = (predictions(0.8, n=40, seed=2 * seed + which, per_patient=1) for which in (10_000, 10_001))
        found = paired_class_differences(a, b, kind="multiclass", n_boot=120, seed=seed, level=0.9)
        for name in held:
            held[name] += found[name].interval.low <= 0 <= found[name].interval.high
    assert all(171 <= n <= 188 for n in held.values()), held


def test_a_better_classifier_is_found():
    found = paired_class_differences(predictions(0.3, n=150), predictions(2.5, n=150, seed=9), **QUICK)
    assert all(each.interval.low > 0 for each in found.values())
    assert found["macro_f1"].sentence("A", "B").startswith("B is better than A by ")


def test_labels_are_told_by_each_runs_own_thresholds_and_unknown_ones_are_left_out():
    generator = np.random.default_rng(4)
    truth = (generator.random((50, 2)) < 0.4).astype(float)
    p, q = (np.clip(0.5 * truth + 0.5 * generator.random((50, 2)), 0, 1) for _ in range(2))
    truth[generator.random((50, 2)) < 0.2] = math.nan
    truth[:3] = math.nan
    keys = [str(i) for i in range(50)]
    a, b = Predictions(keys, p, truth, keys, (0.4, 0.6)), Predictions(keys, q, truth, keys, (0.7, 0.3))
    found = paired_class_differences(a, b, kind="multilabel", n_boot=50)["macro_f1"]
    for run, value in ((a, found.mean_a), (b, found.mean_b)):
        f1 = []
        for c, threshold in enumerate(np.asarray(run.thresholds)):
            known = ~np.isnan(truth[:, c])
            f1.append(sklearn_metrics.f1_score(truth[known, c], np.asarray(run.probabilities)[known, c] >= threshold))
        assert value == pytest.approx(np.mean(f1), abs=1e-12)
    assert found.n_undefined == 50 - found.interval.n == int(np.isnan(truth).all(axis=1).sum())


def test_one_patient_gives_no_interval():
    a, b = (replace(predictions(1.0, n=12, seed=seed), subjects=["p"] * 12) for seed in (1, 2))
    found = paired_class_differences(a, b, **QUICK)["macro_f1"]
    assert math.isnan(found.interval.low)
    assert "one patient gives no interval" in found.sentence("A", "B")


def test_what_cannot_be_compared_is_refused():
    a = predictions(1.0)
    with pytest.raises(DataError, match=r"share no image: the first has s000.*, the second t.*same radiographs"):
        paired_class_differences(a, replace(a, keys=[f"t{i}" for i in range(60)]), **QUICK)
    with pytest.raises(DataError, match="1 samples appear twice in the second run: s000"):
        paired_class_differences(a, replace(a, keys=["s000", "s000", *a.keys[2:]]), **QUICK)
    other = np.asarray(a.truth).copy()
    other[4] = np.roll(other[4], 1)
    with pytest.raises(DataError, match="different labels of 1 common images: s004"):
        paired_class_differences(a, replace(a, truth=other), **QUICK)
    with pytest.raises(DataError, match="3 classes and the second 4"):
        paired_class_differences(a, predictions(1.0, classes=4), **QUICK)
    with pytest.raises(ConfigError, match="n_boot=0"):
        paired_class_differences(a, a, kind="multiclass", n_boot=0)
