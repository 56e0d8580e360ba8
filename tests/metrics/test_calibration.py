"""Calibration, against torchmetrics and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from torchmetrics.functional import classification as torch_metrics

from lungseg.metrics import calibration


def multiclass(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, n)
    p = generator.dirichlet(np.ones(3), n)
    p[np.arange(n), labels] += 0.3
    return p / p.sum(axis=1, keepdims=True), labels


def test_ece_is_that_of_torchmetrics_with_fifteen_bins():
    p, labels = multiclass()
    theirs = torch_metrics.multiclass_calibration_error(torch.tensor(p), torch.tensor(labels), 3, n_bins=15)
    assert calibration.ece(p, labels) == pytest.approx(theirs.item(), abs=1e-7)  # it goes on in float32


def test_ece_of_labels_is_that_of_each_in_the_mean():
    p, labels = multiclass()
    truth = np.eye(3)[labels]
    torch.set_default_dtype(torch.float64)  # its bins are made in the default type
    try:
        theirs = [
            torch_metrics.binary_calibration_error(torch.tensor(p[:, c]), torch.tensor(truth[:, c]).long(), 15).item()
            for c in range(3)
        ]
    finally:
        torch.set_default_dtype(torch.float32)
    assert calibration.ece(p, truth) == pytest.approx(np.mean(theirs), abs=1e-12)


def test_brier_is_that_of_scikit_learn():
    p, labels = multiclass()
    truth = np.eye(3)[labels]
    theirs = [brier_score_loss(truth[:, c], p[:, c]) for c in range(3)]
    np.testing.assert_allclose(calibration.class_brier(p, labels), theirs, atol=1e-12)
    assert calibration.brier(p, labels) == pytest.approx(sum(theirs), abs=1e-12)
    assert calibration.brier(p, truth) == pytest.approx(np.mean(theirs), abs=1e-12)


def test_the_curve_is_that_of_scikit_learn():
    p, labels = multiclass()
    table = calibration.class_reliability(p, labels, bins=10)[0]
    share, probability = calibration_curve(labels == 0, p[:, 0], n_bins=10)
    filled = table.n > 0
    np.testing.assert_allclose(table.share[filled], share, atol=1e-12)
    np.testing.assert_allclose(table.probability[filled], probability, atol=1e-12)


def test_an_unknown_label_is_left_out():
    p, truth = [[0.8], [0.4], [0.9]], [[1.0], [np.nan], [0.0]]
    assert calibration.brier(p, truth) == pytest.approx((0.04 + 0.81) / 2)
    assert calibration.class_reliability(p, truth)[0].n.sum() == 2


def test_one_bin_compares_the_means():
    # predicted class: .6 right, .7 wrong; |1/2 - .65|
    assert calibration.ece([[0.6, 0.4], [0.3, 0.7]], [0, 0], bins=1) == pytest.approx(0.15)
