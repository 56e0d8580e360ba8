"""Bins of equal width."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lungseg.errors import DataError
from lungseg.stats.reliability import bin_of, reliability


def test_a_bin_holds_its_lower_edge_and_the_last_both():
    assert bin_of([0, 1 / 15, 0.5, 14 / 15, 1]).tolist() == [0, 1, 7, 14, 14]


def test_a_table_says_how_often_a_bin_was_right():
    table = reliability([0.1, 0.2, 0.9, 0.7], [0, 1, 1, 1], bins=2)
    assert table.n.tolist() == [2, 2]
    np.testing.assert_allclose(table.probability, [0.15, 0.8])
    np.testing.assert_allclose(table.share, [0.5, 1.0])
    assert table.error == pytest.approx(0.5 * 0.35 + 0.5 * 0.2)


def test_an_empty_bin_has_no_share_and_no_weight():
    table = reliability([0.9, 1.0], [1, 1], bins=2)
    assert math.isnan(table.share[0])
    assert table.error == pytest.approx(0.05)


def test_no_image_has_no_error():
    assert math.isnan(reliability([], []).error)


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_what_is_no_probability_is_refused(value: float):
    with pytest.raises(DataError, match=r"1 probabilities are not in \[0, 1\]"):
        reliability([0.5, value], [1, 0])


def test_lengths_that_differ_are_refused():
    with pytest.raises(DataError, match="one of each per image"):
        reliability([0.5], [1, 0])
