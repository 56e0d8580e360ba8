"""The loss of each image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import log_loss

from lungseg.stats.case_loss import NEAREST, case_losses


def test_of_one_class_it_is_the_logarithm_of_its_probability():
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.3, 0.5]])
    truth = np.array([[1, 0, 0], [0, 1, 0]])
    assert case_losses(p, truth, "multiclass") == pytest.approx([-math.log(0.8), -math.log(0.3)])
    assert case_losses(p, truth, "multiclass").mean() == pytest.approx(log_loss(truth, p))


def test_of_labels_it_is_the_mean_over_those_that_are_known():
    p = np.array([[0.8, 0.4], [0.8, 0.4], [0.8, 0.4]])
    truth = np.array([[1, 0], [0, math.nan], [math.nan, math.nan]])
    found = case_losses(p, truth, "multilabel")
    assert found[:2] == pytest.approx([-(math.log(0.8) + math.log(0.6)) / 2, -math.log(0.2)])
    assert math.isnan(found[2])


def test_certainty_costs_no_more_than_the_resolution_of_probabilities():
    assert case_losses([[0.0, 1.0]], [[1, 0]], "multiclass") == pytest.approx([-math.log(NEAREST)])
