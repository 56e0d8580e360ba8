"""Percentile bootstrap over patients."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lungseg.errors import ConfigError, DataError
from lungseg.stats import bootstrap
from lungseg.stats.bootstrap import mean_interval, pooled_interval


def test_the_mean_and_sd_are_those_of_the_images():
    # mean (1 + 2 + 6) / 3 = 3, sd sqrt((4 + 1 + 9) / 2) = sqrt(7)
    found = mean_interval([1, 2, 6], ["a", "b", "c"])
    assert (found.mean, found.n, found.n_subjects) == (3.0, 3, 3)
    assert found.sd == pytest.approx(math.sqrt(7))


def test_undefined_values_and_patients_without_any_are_left_out():
    found = mean_interval([0.5, math.nan, 0.7, math.nan], ["a", "a", "b", "c"])
    assert (found.n, found.n_subjects) == (2, 2)
    assert found.mean == pytest.approx(0.6)


def test_no_defined_value_gives_nan_and_n_0():
    found = mean_interval([math.nan], ["a"])
    assert found.n == 0
    assert all(math.isnan(x) for x in (found.mean, found.sd, found.low, found.high))


def test_one_image_has_a_mean_but_no_sd_and_no_interval():
    found = mean_interval([0.9], ["a"])
    assert found.mean == 0.9
    assert all(math.isnan(x) for x in (found.sd, found.low, found.high))


def test_many_images_of_one_patient_give_no_interval():
    found = mean_interval([0.8, 0.9, 1.0], ["a", "a", "a"])
    assert math.isnan(found.low)
    assert (found.n, found.n_subjects) == (3, 1)


def test_two_patients_reach_from_one_to_the_other():
    # each resample of {0, 1} has the mean 0, 1/2 or 1 with chances 1/4, 1/2, 1/4: the 2.5 % and 97.5 % points are 0, 1
    found = mean_interval([0.0, 1.0], ["a", "b"])
    assert (found.low, found.high) == (0.0, 1.0)


def test_all_images_of_a_patient_go_along():
    # patients a (0 three times) and b (1 once): a resample is aa = 0, bb = 1 or ab = 1/4, never 1/2
    found = mean_interval([0, 0, 0, 1], ["a", "a", "a", "b"], level=0.5)
    # chances 1/4, 1/2, 1/4: with 2,000 draws the 25 % and 75 % points are 0 or 1/4, and 1/4 or 1
    assert {found.low, found.high} <= {0.0, 0.25, 1.0}


def test_the_order_of_the_images_does_not_matter():
    values, subjects = np.array([0.1, 0.5, 0.25, 0.75]), np.array(["d", "a", "c", "b"])
    shuffled = [2, 0, 3, 1]
    assert mean_interval(values, subjects) == mean_interval(values[shuffled], subjects[shuffled])


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(1).normal(size=20)
    same = [mean_interval(values, range(20), seed=seed).low for seed in (0, 0, 1)]
    assert same[0] == same[1] != same[2]


def test_the_blocks_do_not_show_in_the_interval(monkeypatch: pytest.MonkeyPatch):
    values = np.random.default_rng(1).normal(size=30)
    whole = mean_interval(values, range(30))
    monkeypatch.setattr(bootstrap, "DRAWS_PER_BLOCK", 7 * 30)
    assert mean_interval(values, range(30)) == whole


def test_one_image_per_patient_agrees_with_scipy():
    values = np.random.default_rng(3).beta(40, 2, size=60)
    found = mean_interval(values, range(60), n_boot=20_000)
    peer = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    # the ends of 20,000 resamples themselves vary by some 2 % of the width
    width = peer.high - peer.low
    assert found.low == pytest.approx(peer.low, abs=0.05 * width)
    assert found.high == pytest.approx(peer.high, abs=0.05 * width)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    # 40 patients with 3 images each, patient effect sd 1, image effect sd 0.3, true mean 0. Over 200 studies the share
    # of covering 95 % intervals has a standard error of 1.5 points; the percentile interval is a little short.
    generator = np.random.default_rng(5)
    subjects = np.repeat(np.arange(40), 3)
    covered = 0
    for study in range(200):
        values = np.repeat(generator.normal(size=40), 3) + 0.3 * generator.normal(size=120)
        found = mean_interval(values, subjects, n_boot=500, seed=study)
        covered += found.low <= 0 <= found.high
    assert 0.89 <= covered / 200 <= 0.99


def test_ignoring_the_patients_would_make_the_interval_too_narrow():
    values = np.repeat(np.random.default_rng(2).normal(size=30), 4)
    by_patient = mean_interval(values, np.repeat(np.arange(30), 4))
    by_image = mean_interval(values, np.arange(120))
    # four equal images per patient: the sd of the mean falls by sqrt(4) = 2 when they pass for patients
    assert (by_patient.high - by_patient.low) / (by_image.high - by_image.low) == pytest.approx(2, rel=0.15)


def test_a_pooled_ratio_is_the_ratio_of_the_sums():
    # (2 * 9 + 2 * 1) / (20 + 5) = 20 / 25 = 0.8, while the mean of the ratios is (0.9 + 0.4) / 2 = 0.65
    found = pooled_interval([18, 2], [20, 5], ["a", "b"])
    assert found.mean == 0.8
    assert math.isnan(found.sd)
    # resamples: aa = 0.9, ab = 0.8, bb = 0.4
    assert (found.low, found.high) == (0.4, 0.9)


def test_a_pooled_ratio_without_anything_to_count_is_undefined():
    found = pooled_interval([0, 0], [0, 0], ["a", "b"])
    assert math.isnan(found.mean)
    assert math.isnan(found.low)
    assert found.n == 2


def test_a_patient_with_nothing_to_count_does_not_break_the_resamples():
    found = pooled_interval([9, 0], [10, 0], ["a", "b"])
    # bb has no ratio and is left out; aa = ab = 0.9
    assert (found.mean, found.low, found.high) == (0.9, 0.9, 0.9)


def test_a_pooled_ratio_of_no_image_is_undefined():
    assert pooled_interval([], [], []).n == 0


@pytest.mark.parametrize(
    ("values", "subjects", "said"),
    [([1.0, 2.0], ["a"], "2 values but 1 subjects"), ([[1.0]], ["a"], r"shape \(1, 1\)")],
    ids=["lengths", "shape"],
)
def test_columns_that_do_not_fit_are_refused(values: list[float], subjects: list[str], said: str):
    with pytest.raises(DataError, match=said):
        mean_interval(values, subjects)


def test_pooled_columns_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="2 numerators but 1 denominators"):
        pooled_interval([1, 2], [3], ["a", "b"])
    with pytest.raises(DataError, match="the least is -3"):
        pooled_interval([1], [-3], ["a"])


@pytest.mark.parametrize(("n_boot", "level"), [(0, 0.95), (10, 0.0), (10, 1.0)], ids=["n_boot", "low", "high"])
def test_settings_out_of_range_are_refused(n_boot: int, level: float):
    with pytest.raises(ConfigError, match=r"n_boot=0|level="):
        mean_interval([1.0, 2.0], ["a", "b"], n_boot=n_boot, level=level)


def test_ten_thousand_patients_need_bounded_memory():
    import tracemalloc

    tracemalloc.start()
    mean_interval(np.ones(10_000), np.arange(10_000), n_boot=400)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # a block is 2**21 draws of an index and one gathered float at a time: 32 MiB, well under the 64 MiB allowed here
    assert peak < 64 * 2**20
