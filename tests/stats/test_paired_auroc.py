"""The difference of two AUROCs on the same images."""

import numpy as np
import pytest

from lungseg.errors import DataError
from lungseg.stats.class_bootstrap import class_intervals
from lungseg.stats.paired_auroc import auroc_difference

TRUTH = np.eye(3)[np.tile([0, 1, 2], 20)]
SUBJECTS = [f"p{i // 2}" for i in range(60)]


def scores(seed, skill):
    generator = np.random.default_rng(seed)
    p = np.exp(generator.normal(0, 1, (60, 3)) + skill * TRUTH)
    return p / p.sum(axis=1, keepdims=True)


def test_it_is_the_difference_of_the_two_macro_aurocs():
    a, b = scores(0, 0.5), scores(1, 2.0)
    one, other = (class_intervals(p, TRUTH, SUBJECTS, kind="multiclass", n_boot=1).overall["auroc"] for p in (a, b))
    found = auroc_difference(a, b, TRUTH, SUBJECTS, n_boot=200)
    assert found.mean == pytest.approx(other.mean - one.mean)
    assert 0 < found.low < found.mean < found.high
    assert (found.n, found.n_subjects) == (60, 30)


def test_a_run_against_itself_differs_by_nothing_in_every_resample():
    found = auroc_difference(scores(0, 1), scores(0, 1), TRUTH, SUBJECTS, n_boot=50)
    assert (found.mean, found.low, found.high) == (0, 0, 0)


def test_the_resamples_are_of_patients_and_the_seed_decides_them():
    a, b = scores(0, 1), scores(1, 1)
    first, again, other = (auroc_difference(a, b, TRUTH, SUBJECTS, n_boot=50, seed=seed) for seed in (0, 0, 1))
    assert (first.mean, first.low, first.high) == (again.mean, again.low, again.high)
    assert (first.low, first.high) != (other.low, other.high)
    alone = auroc_difference(a, b, TRUTH, ["p"] * 60, n_boot=50)
    assert np.isnan([alone.low, alone.high]).all()


def test_unknown_labels_are_left_out():
    # the second image is unknown; of the other two the second run ranks right and the first wrong
    found = auroc_difference([[0.1], [0.9], [0.5]], [[0.9], [0.9], [0.5]], [[1], [np.nan], [0]], list("abc"), n_boot=9)
    assert (found.mean, found.n) == (1.0, 2)


def test_nothing_to_rank_has_no_difference():
    found = auroc_difference([[0.1], [0.2]], [[0.1], [0.2]], [[1], [1]], list("ab"), n_boot=9)
    assert np.isnan(found.mean)


def test_other_shapes_are_refused():
    with pytest.raises(DataError, match=r"shapes \(60, 3\) and \(60, 2\)"):
        auroc_difference(scores(0, 1), scores(0, 1)[:, :2], TRUTH, SUBJECTS)
