"""Ranks: AUROC, average precision and their curves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from lungseg.errors import DataError
from lungseg.stats.ranking import Ranking, auroc, average_precision, precision_recall_points, roc_points


def scores_and_truth(ties: bool) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    truth = generator.random(400) < 0.3
    scores = np.clip(0.3 * truth + 0.7 * generator.random(400), 0, 1)
    return (np.round(scores, 1) if ties else scores), truth


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "tied"])
def test_values_are_those_of_scikit_learn(ties: bool):
    scores, truth = scores_and_truth(ties)
    assert auroc(scores, truth) == pytest.approx(sklearn_metrics.roc_auc_score(truth, scores), abs=1e-12)
    theirs = sklearn_metrics.average_precision_score(truth, scores)
    assert average_precision(scores, truth) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "tied"])
def test_weighted_values_are_those_of_repeated_images(ties: bool):
    scores, truth = scores_and_truth(ties)
    weights = np.random.default_rng(0).integers(0, 4, (3, 400))
    ranking = Ranking(scores, truth)
    for found, precise, times in zip(ranking.auroc(weights), ranking.average_precision(weights), weights, strict=True):
        again = np.repeat(scores, times), np.repeat(truth, times)
        assert found == pytest.approx(auroc(*again), abs=1e-12)
        assert precise == pytest.approx(average_precision(*again), abs=1e-12)


def test_scores_that_are_all_equal_rank_nothing():
    assert auroc([0.5] * 5, [1, 0, 0, 1, 0]) == 0.5
    assert average_precision([0.5] * 5, [1, 0, 0, 1, 0]) == 0.4  # one group: the share of positives


def test_the_order_of_the_images_does_not_matter():
    scores, truth = scores_and_truth(ties=True)
    turned = np.random.default_rng(1).permutation(400)
    assert auroc(scores[turned], truth[turned]) == auroc(scores, truth)
    assert average_precision(scores[turned], truth[turned]) == average_precision(scores, truth)


@pytest.mark.parametrize("truth", [[0, 0], [1, 1]], ids=["no positive", "no negative"])
def test_one_kind_alone_has_no_auroc(truth: list[int]):
    assert math.isnan(auroc([0.1, 0.2], truth))


def test_without_positives_there_is_no_average_precision():
    assert math.isnan(average_precision([0.1, 0.2], [0, 0]))


def test_the_area_under_the_points_is_the_auroc():
    scores, truth = scores_and_truth(ties=True)
    rate, sensitivity = roc_points(scores, truth)
    assert (rate[0], sensitivity[0], rate[-1], sensitivity[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(sensitivity, rate) == pytest.approx(auroc(scores, truth), abs=1e-12)


def test_steps_of_recall_times_precision_are_the_average_precision():
    scores, truth = scores_and_truth(ties=True)
    found, precise = precision_recall_points(scores, truth)
    assert np.sum(np.diff(found, prepend=0) * precise) == pytest.approx(average_precision(scores, truth), abs=1e-12)


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(DataError, match="1 of 2 scores are NaN"):
        auroc([np.nan, 0.5], [0, 1])


def test_lengths_that_differ_are_refused():
    with pytest.raises(DataError, match=r"\(2,\) and truth \(3,\)"):
        auroc([0.1, 0.2], [0, 1, 1])
