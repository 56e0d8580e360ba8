"""Measures of a classifier, against scikit-learn and torchmetrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torchmetrics.functional import classification as torch_metrics

from lungseg.errors import DataError
from lungseg.metrics import classification


def multiclass(n: int = 200, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, classes, n)
    p = generator.dirichlet(np.ones(classes), n)
    p[np.arange(n), labels] += 0.4
    return p / p.sum(axis=1, keepdims=True), labels


def multilabel(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    truth = (generator.random((n, 3)) < [0.1, 0.4, 0.5]).astype(float)
    p = np.round(0.7 * generator.random((n, 3)) + 0.3 * truth, 2)  # with ties
    return p, truth


def test_measures_of_classes_are_those_of_scikit_learn():
    p, labels = multiclass()
    predicted = p.argmax(axis=1)
    assert (classification.confusion_matrix(p, labels) == sklearn_metrics.confusion_matrix(labels, predicted)).all()
    precise, found, f1, _ = sklearn_metrics.precision_recall_fscore_support(labels, predicted)
    np.testing.assert_allclose(classification.precision(p, labels), precise, atol=1e-12)
    np.testing.assert_allclose(classification.recall(p, labels), found, atol=1e-12)
    np.testing.assert_allclose(classification.f1(p, labels), f1, atol=1e-12)
    assert classification.macro_f1(p, labels) == pytest.approx(np.mean(f1), abs=1e-12)
    assert classification.accuracy(p, labels) == sklearn_metrics.accuracy_score(labels, predicted)
    kappa = sklearn_metrics.cohen_kappa_score(labels, predicted)
    assert classification.cohen_kappa(p, labels) == pytest.approx(kappa, abs=1e-12)
    balanced = sklearn_metrics.balanced_accuracy_score(labels, predicted)
    assert classification.balanced_accuracy(p, labels) == pytest.approx(balanced, abs=1e-12)


def test_ranks_of_classes_are_those_of_scikit_learn():
    p, labels = multiclass()
    one_hot = np.eye(4)[labels]
    theirs = sklearn_metrics.roc_auc_score(labels, p, multi_class="ovr", average=None)
    np.testing.assert_allclose(classification.auroc(p, labels), theirs, atol=1e-12)
    theirs = sklearn_metrics.average_precision_score(one_hot, p, average=None)
    np.testing.assert_allclose(classification.average_precision(p, labels), theirs, atol=1e-12)


def test_specificity_is_that_of_torchmetrics():
    p, labels = multiclass()
    theirs = torch_metrics.multiclass_specificity(torch.tensor(p), torch.tensor(labels), 4, average=None)
    np.testing.assert_allclose(classification.specificity(p, labels), theirs.numpy(), atol=1e-6)  # float32 there


def test_measures_of_labels_are_those_of_scikit_learn():
    p, truth = multilabel()
    thresholds = np.array([0.3, 0.5, 0.61])
    predicted = p >= thresholds
    cells = sklearn_metrics.multilabel_confusion_matrix(truth, predicted)
    assert (classification.confusion_matrix(p, truth, thresholds=thresholds) == cells).all()
    f1 = sklearn_metrics.f1_score(truth, predicted, average="macro")
    assert classification.macro_f1(p, truth, thresholds=thresholds) == pytest.approx(f1, abs=1e-12)
    np.testing.assert_allclose(
        classification.auroc(p, truth), sklearn_metrics.roc_auc_score(truth, p, average=None), atol=1e-12
    )
    theirs = sklearn_metrics.average_precision_score(truth, p, average=None)
    np.testing.assert_allclose(classification.average_precision(p, truth), theirs, atol=1e-12)
    assert classification.accuracy(p, truth, thresholds=thresholds) == pytest.approx(np.mean(predicted == truth))
    kappa = [sklearn_metrics.cohen_kappa_score(truth[:, c], predicted[:, c]) for c in range(3)]
    assert classification.cohen_kappa(p, truth, thresholds=thresholds) == pytest.approx(np.mean(kappa), abs=1e-12)
    balanced = [sklearn_metrics.balanced_accuracy_score(truth[:, c], predicted[:, c]) for c in range(3)]
    found = classification.balanced_accuracy(p, truth, thresholds=thresholds)
    assert found == pytest.approx(np.mean(balanced), abs=1e-12)


def test_an_unknown_label_is_left_out_and_not_taken_for_absent():
    p, truth = [[0.9, 0.9], [0.2, 0.8], [0.6, 0.1]], [[1, np.nan], [0, 1], [0, 0]]
    assert classification.counts(p, truth).tolist() == [[1, 1, 0, 1], [1, 0, 0, 1]]
    assert classification.accuracy(p, truth) == pytest.approx(4 / 5)
    assert classification.auroc(p, truth).tolist() == [1, 1]


def test_a_probability_at_its_threshold_is_predicted():
    assert classification.counts([[0.5]], [[1.0]]).tolist() == [[1, 0, 0, 0]]


def test_classes_of_one_kind_are_skipped():
    p, truth = [[0.9, 0.9, 0.1], [0.2, 0.8, 0.3]], [[1, 1, 0], [0, 1, 0]]
    assert classification.skipped(truth, 3).tolist() == [False, True, True]
    np.testing.assert_array_equal(classification.auroc(p, truth), [1, np.nan, np.nan])
    np.testing.assert_array_equal(classification.average_precision(p, truth), [1, np.nan, np.nan])
    assert classification.macro_f1(p, truth) == 1  # of the first alone


def test_macro_f1_is_the_mean_of_f1_and_not_the_f1_of_means():
    # class 0: precision 1, recall 1/2, F1 2/3; class 1: precision 1/2, recall 1, F1 2/3; the F1 of the means is 3/4
    p, labels = [[0.9, 0.1], [0.1, 0.9], [0.1, 0.9]], [0, 0, 1]
    assert classification.macro_f1(p, labels) == pytest.approx(2 / 3)


def test_a_class_that_is_neither_there_nor_predicted_is_left_out():
    p, labels = [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]], [0, 1]
    assert math.isnan(classification.f1(p, labels)[2])
    assert classification.macro_f1(p, labels) == 1


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 3], r"1 labels are no class, e.g. \[3\]: there are 2"),
        ([0.5, 1], "give .N,. classes"),
        ([[0, 2], [1, 0]], "must be 0, 1 or NaN"),
        ([0], "probabilities of 2 images and labels of 1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: list, said: str):
    with pytest.raises(DataError, match=said):
        classification.macro_f1([[0.5, 0.5], [0.5, 0.5]], labels)
