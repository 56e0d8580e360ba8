"""Measures of probabilities from their sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from lungseg.metrics.soft import (
    SOFT,
    brier,
    complement,
    soft_dice,
    soft_iou,
    soft_sums,
    tanimoto,
    tanimoto_ratio,
)

NAN = math.nan


def plane(*values: float) -> np.ndarray:
    return np.array([[values]], dtype=np.float32)


def random_planes(shape: tuple[int, int, int] = (3, 40, 33)):
    generator = np.random.default_rng(0)
    valid = generator.random(shape[1:]) > 0.2
    return generator.random(shape, dtype=np.float32), generator.random(shape) > 0.6, valid


def test_sums_of_one_image():
    # p t = 0.5 + 0.25; p = 0.5 + 0.25 + 1; t = 2; p^2 = 0.25 + 0.0625 + 1
    found = soft_sums(plane(0.5, 0.25, 1.0, 0.0), plane(1, 1, 0, 0) > 0)
    assert found.tolist() == [[0.75, 1.75, 2.0, 1.3125, 4.0]]


@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
def test_sums_are_those_of_float64(use_valid):
    p, t, valid = random_planes()
    v = valid if use_valid else np.ones_like(valid)
    exact, inside = p.astype(np.float64), t & v
    expected = [
        [e[i].sum(), e[v].sum(), i.sum(), (e[v] ** 2).sum(), v.sum()] for e, i in zip(exact, inside, strict=True)
    ]
    np.testing.assert_allclose(soft_sums(p, t, valid if use_valid else None), expected, rtol=3e-8)


@pytest.mark.parametrize(
    ("p", "t", "expected"),
    [
        # soft_dice 2*.75/(1.75+2), soft_iou .75/(1.75+2-.75), tanimoto .75/(1.3125+2-.75),
        # brier (.25+.5625+1+0)/4
        pytest.param(
            plane(0.5, 0.25, 1, 0), plane(1, 1, 0, 0), [1.5 / 3.75, 0.75 / 3, 0.75 / 2.5625, 1.8125 / 4], id="some"
        ),
        pytest.param(plane(1, 0), plane(1, 0), [1, 1, 1, 0], id="perfect"),
        pytest.param(plane(0, 0), plane(1, 1), [0, 0, 0, 1], id="missed"),
        pytest.param(plane(0.5, 0), plane(0, 0), [NAN, NAN, NAN, 0.125], id="empty-reference-is-undefined"),
    ],
)
def test_values_of_one_image(p, t, expected):
    sums = soft_sums(p, t > 0)[0]
    np.testing.assert_allclose([measure(sums) for measure in (soft_dice, soft_iou, tanimoto, brier)], expected)


def test_nothing_valid_is_undefined():
    sums = soft_sums(plane(0.5, 1), plane(1, 1) > 0, np.zeros((1, 2), bool))
    assert sums.tolist() == [[0.0] * 5]
    assert all(math.isnan(measure(sums)[0]) for measure in SOFT.values())


def test_of_masks_they_are_the_measures_of_counts():
    p, t, _ = random_planes()
    hard = p > 0.5
    tp, fp, fn = (hard & t).sum((1, 2)), (hard & ~t).sum((1, 2)), (~hard & t).sum((1, 2))
    sums = soft_sums(hard.astype(np.float32), t)
    np.testing.assert_allclose(soft_dice(sums), 2 * tp / (2 * tp + fp + fn))
    np.testing.assert_allclose(soft_iou(sums), tp / (tp + fp + fn))
    np.testing.assert_allclose(tanimoto(sums), tp / (tp + fp + fn))
    np.testing.assert_allclose(brier(sums), (fp + fn) / t[0].size)


def test_brier_is_that_of_sklearn():
    p, t, valid = random_planes((1, 20, 20))
    expected = brier_score_loss(t[0][valid], p[0][valid])
    assert brier(soft_sums(p, t, valid))[0] == pytest.approx(expected, rel=3e-8)


def test_the_complement_has_the_sums_of_the_background():
    p, t, valid = random_planes()
    np.testing.assert_allclose(
        complement(soft_sums(p, t, valid)), soft_sums(1 - p, ~t, valid), rtol=1e-6
    )  # 1 - p is rounded to float32


def test_tanimoto_over_both_classes_is_one_ratio():
    # p = 0.8, 0.4; t = 1, 0. foreground 0.8 / (0.64 + 0.16 + 1 - 0.8); background 0.6 / (0.04 + 0.36 + 1 - 0.6)
    sums = soft_sums(plane(0.8, 0.4), plane(1, 0) > 0)[0]
    one, other = tanimoto_ratio(sums), tanimoto_ratio(complement(sums))
    assert (one[0] + other[0]) / (one[1] + other[1]) == pytest.approx(1.4 / 1.8, rel=1e-6)


@pytest.mark.parametrize("measure", SOFT.values(), ids=SOFT)
def test_shape_is_kept(measure):
    sums = soft_sums(*random_planes()[:2])
    assert measure(sums).shape == (3,)
    assert measure(sums[0]) == measure(sums)[0]


def test_a_perfect_prediction_is_never_below_0():
    p = np.random.default_rng(1).random((1, 300, 300), dtype=np.float32) * 1e-4
    inside = np.random.default_rng(2).random((1, 300, 300)) > 0.5
    assert 0 <= brier(soft_sums(np.where(inside, 1 - p, p).astype(np.float32), inside))[0] < 1e-8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param((plane(1, 0), plane(1) > 0), r"\(1, 1, 2\) and the mask \(1, 1, 1\)", id="mask"),
        pytest.param((plane(1, 0).astype(float), plane(1, 0) > 0), "dtype float64", id="dtype"),
        pytest.param((plane(1, 0), plane(1, 0) > 0, np.ones((1, 1, 2))), r"must be \(1, 2\)", id="valid"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        soft_sums(*arguments)


def test_sums_without_five_columns_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 4\)"):
        brier(np.zeros((2, 4)))
