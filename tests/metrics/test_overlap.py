"""Overlap measures from counts, and their undefined cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from lungseg.metrics.overlap import OVERLAP, accuracy, dice, iou, precision, recall

NAN = math.nan


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # dice 2*3/(6+1+2), iou 3/6, accuracy (3+4)/10, precision 3/4, recall 3/5
        pytest.param([3, 1, 2, 4], [6 / 9, 3 / 6, 0.7, 3 / 4, 3 / 5], id="some-of-each"),
        pytest.param([4, 0, 0, 6], [1, 1, 1, 1, 1], id="perfect"),
        pytest.param([0, 0, 0, 9], [NAN, NAN, 1, NAN, NAN], id="both-empty-is-undefined"),
        pytest.param([0, 3, 0, 1], [0, 0, 0.25, 0, NAN], id="false-structure"),
        pytest.param([0, 0, 3, 1], [0, 0, 0.25, 0, 0], id="missed-structure"),
        pytest.param([0, 0, 0, 0], [NAN] * 5, id="no-valid-pixel"),
    ],
)
def test_values_of_one_image(counts, expected):
    found = [measure(np.array(counts)) for measure in (dice, iou, accuracy, precision, recall)]
    np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_values_are_those_of_sklearn():
    generator = np.random.default_rng(0)
    prediction, mask = generator.random(200) > 0.4, generator.random(200) > 0.7
    (tn, fp), (fn, tp) = sklearn_metrics.confusion_matrix(mask, prediction)
    counts = np.array([tp, fp, fn, tn])
    references = {
        "dice": sklearn_metrics.f1_score,
        "iou": sklearn_metrics.jaccard_score,
        "accuracy": sklearn_metrics.accuracy_score,
        "precision": sklearn_metrics.precision_score,
        "recall": sklearn_metrics.recall_score,
    }
    assert OVERLAP.keys() == references.keys()
    for name, measure in OVERLAP.items():
        assert measure(counts) == pytest.approx(references[name](mask, prediction), rel=1e-14)


def test_dice_and_iou_are_two_scales_of_one_thing():
    counts = np.array([[7, 2, 5, 1], [3, 0, 1, 0]])
    np.testing.assert_allclose(dice(counts), 2 * iou(counts) / (1 + iou(counts)))


@pytest.mark.parametrize("measure", OVERLAP.values(), ids=OVERLAP)
def test_shape_is_kept_and_tensors_give_the_same(measure):
    counts = np.random.default_rng(0).integers(0, 9, (2, 3, 4))
    assert measure(counts).shape == (2, 3)
    np.testing.assert_array_equal(measure(torch.from_numpy(counts)), measure(counts))


def test_pooled_counts_do_not_overflow():
    # a million images of 16 megapixels
    big = 10**6 * 16 * 10**6
    assert dice(np.array([big, 0, 0, big])) == 1.0


def test_counts_without_four_columns_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 3\).*TP, FP, FN, TN"):
        dice(np.zeros((2, 3)))
