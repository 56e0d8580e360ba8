"""Paired differences of two runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lungseg.errors import DataError
from lungseg.stats.bootstrap import mean_interval
from lungseg.stats.paired import paired_difference


def test_samples_are_joined_by_name_whatever_their_order():
    # x: 0.75 - 0.5 = 0.25, y: 0.75 - 0.25 = 0.5, mean 0.375
    found = paired_difference(["x", "y"], [0.5, 0.25], ["y", "x"], [0.75, 0.75], ["p", "q"])
    assert found.interval.mean == 0.375
    assert (found.mean_a, found.mean_b) == (0.375, 0.75)


def test_only_common_samples_count():
    found = paired_difference(["x", "y", "z"], [0.5, 0.5, 0.5], ["y", "w"], [0.75, 0.0], ["p", "q", "r"])
    assert found.interval.n == found.n_common == 1
    assert (found.only_a, found.only_b) == (2, 1)


def test_a_sample_undefined_in_one_run_is_left_out_and_counted():
    found = paired_difference(["x", "y"], [0.5, math.nan], ["x", "y"], [0.75, 0.75], ["p", "q"])
    assert (found.interval.n, found.n_undefined) == (1, 1)
    assert found.mean_b == 0.75


def test_the_interval_is_that_of_the_differences_over_patients():
    generator = np.random.default_rng(0)
    a = generator.normal(size=12)
    b = a + generator.normal(0.1, 0.05, size=12)
    keys, subjects = [f"s{i:02d}" for i in range(12)], [f"p{i // 2}" for i in range(12)]
    found = paired_difference(keys, a, keys, b, subjects, seed=4)
    assert found.interval == mean_interval(b - a, subjects, seed=4)
    assert found.interval.n_subjects == 6


def test_pairing_gives_a_narrower_interval_than_the_two_means():
    generator = np.random.default_rng(0)
    a = generator.normal(0.9, 0.05, size=50)
    b = a + generator.normal(0.01, 0.002, size=50)
    keys = [str(i) for i in range(50)]
    found = paired_difference(keys, a, keys, b, keys).interval
    alone = mean_interval(a, keys)
    assert found.low > 0
    assert found.high - found.low < 0.1 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("b", "sentence"),
    [
        ([0.75, 0.75], "B is better than A by 0.25 [0.25, 0.25] on n = 2."),
        ([0.25, 0.25], "B is worse than A by 0.25 [0.25, 0.25] on n = 2."),
        ([0.25, 0.75], "No difference is shown: B minus A is +0.00 [-0.25, +0.25] on n = 2."),
    ],
    ids=["better", "worse", "neither"],
)
def test_the_sentence_says_which_is_better_without_a_p_value(b: list[float], sentence: str):
    found = paired_difference(["x", "y"], [0.5, 0.5], ["x", "y"], b, ["p", "q"])
    assert found.sentence("A", "B", digits=2) == sentence


def test_the_sentence_owns_up_to_a_single_patient_and_to_no_defined_sample():
    one = paired_difference(["x"], [0.5], ["x"], [0.75], ["p"])
    assert "one patient gives no interval" in one.sentence("A", "B")
    none = paired_difference(["x"], [math.nan], ["x"], [0.75], ["p"])
    assert none.sentence("A", "B") == "B and A share no sample on which both are defined."


def test_runs_without_a_common_sample_are_refused():
    with pytest.raises(DataError, match=r"share no sample: the first has x, the second y\..*same radiographs"):
        paired_difference(["x"], [0.5], ["y"], [0.5], ["p"])


def test_a_sample_that_appears_twice_is_refused():
    with pytest.raises(DataError, match="1 samples appear twice in the second run: x"):
        paired_difference(["x"], [0.5], ["x", "x"], [0.5, 0.5], ["p"])


def test_lengths_that_differ_are_refused():
    with pytest.raises(DataError, match="1 samples but values of shape"):
        paired_difference(["x"], [0.5, 0.6], ["x"], [0.5], ["p"])
    with pytest.raises(DataError, match="1 samples but 2 subjects"):
        paired_difference(["x"], [0.5], ["x"], [0.5], ["p", "q"])
