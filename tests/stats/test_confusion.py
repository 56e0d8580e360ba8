"""Measures from counts; each number is worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lungseg.stats import confusion

# rows: truth; of class 0 two are right and one is taken for class 1, class 1 has three right, class 2 has no image
CELLS = np.array([[2, 1, 0], [0, 3, 0], [0, 0, 0]])


def test_counts_of_one_class_against_the_rest():
    assert confusion.one_vs_rest(CELLS).tolist() == [[2, 0, 1, 3], [3, 1, 0, 2], [0, 0, 0, 6]]


def test_measures_are_ratios_of_the_counts():
    counts = confusion.one_vs_rest(CELLS)
    np.testing.assert_allclose(confusion.precision(counts), [1, 3 / 4, np.nan])
    np.testing.assert_allclose(confusion.recall(counts), [2 / 3, 1, np.nan])
    np.testing.assert_allclose(confusion.specificity(counts), [1, 2 / 3, 1])
    np.testing.assert_allclose(confusion.f1(counts), [4 / 5, 6 / 7, np.nan])
    np.testing.assert_allclose(confusion.accuracy(counts), [5 / 6, 5 / 6, 1])


def test_kappa_takes_chance_away():
    # agreed 5/6; by the margins 3/6 * 2/6 + 3/6 * 4/6 = 1/2
    assert confusion.cohen_kappa(CELLS) == pytest.approx((5 / 6 - 1 / 2) / (1 - 1 / 2))


def test_kappa_of_one_class_alone_is_undefined():
    assert math.isnan(confusion.cohen_kappa(np.array([[4, 0], [0, 0]])))


def test_resamples_are_leading_axes():
    both = np.stack((CELLS, 2 * CELLS))
    assert confusion.one_vs_rest(both).shape == (2, 3, 4)
    np.testing.assert_allclose(*confusion.f1(confusion.one_vs_rest(both)))
    assert confusion.cohen_kappa(both).shape == (2,)
