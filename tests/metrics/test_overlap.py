"""Overlap measures from counts, and their undefined cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torchmetrics.functional import classification
from torchmetrics.functional.segmentation import dice_score, mean_iou

from lungseg.metrics.counts import counts as counted
from lungseg.metrics.overlap import (
    OVERLAP,
    PER_IMAGE,
    accuracy,
    all_classes,
    complement,
    dice,
    f1,
    iou,
    mse,
    over_classes,
    precision,
    ratios,
    recall,
    specificity,
)

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


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # f1 2*3/(6+1+2), specificity 4/5, mse (1+2)/10
        pytest.param([3, 1, 2, 4], [6 / 9, 4 / 5, 0.3], id="some-of-each"),
        pytest.param([0, 0, 0, 9], [NAN, 1, 0], id="both-empty"),
        pytest.param([4, 0, 0, 0], [1, NAN, 0], id="no-background"),
        pytest.param([0, 4, 0, 0], [0, 0, 1], id="all-false"),
        pytest.param([0, 0, 0, 0], [NAN] * 3, id="no-valid-pixel"),
    ],
)
def test_further_values_of_one_image(counts, expected):
    found = [measure(np.array(counts)) for measure in (f1, specificity, mse)]
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


def test_values_of_each_image_are_those_of_torchmetrics():
    generator = torch.Generator().manual_seed(0)
    prediction = torch.rand(6, 1, 20, 20, generator=generator) > 0.5
    mask = torch.rand(6, 1, 20, 20, generator=generator) > 0.6
    counts = counted(prediction, mask)[:, 0]
    p, t = prediction.long(), mask.long()
    references = {
        "dice": dice_score(p, t, num_classes=1, input_format="one-hot", aggregation_level="samplewise"),
        "iou": torch.cat([mean_iou(p[i : i + 1], t[i : i + 1], 1, input_format="one-hot") for i in range(6)]),
        "specificity": classification.binary_specificity(p.flatten(1), t.flatten(1), multidim_average="samplewise"),
        "f1": classification.binary_f1_score(p.flatten(1), t.flatten(1), multidim_average="samplewise"),
        "mse": (prediction != mask).float().mean(dim=(1, 2, 3)),
    }
    for name, reference in references.items():
        np.testing.assert_allclose(PER_IMAGE[name](counts), reference, rtol=1e-6, err_msg=name)  # they are float32


def test_the_complement_has_the_counts_of_the_background():
    generator = torch.Generator().manual_seed(0)
    prediction, mask = torch.rand(2, 3, 2, 9, 9, generator=generator) > 0.5
    np.testing.assert_array_equal(complement(counted(prediction, mask)), counted(~prediction, ~mask))


def test_a_mean_over_classes_needs_both():
    # dice (6/9 + 8/11) / 2; recall (3/5 + 4/5) / 2; of an empty structure there is none, whatever the background's is
    counts = np.array([[3, 1, 2, 4], [0, 0, 0, 9]])
    np.testing.assert_allclose(over_classes(dice, counts), [(6 / 9 + 8 / 11) / 2, NAN])
    np.testing.assert_allclose(over_classes(recall, counts), [0.7, NAN])


def test_counts_over_all_classes_have_one_score_for_everything():
    # TP 3, FP 1, FN 2, TN 4: 7 of 10 pixels are right
    counts = all_classes(7, 10, num_classes=2)
    np.testing.assert_array_equal(counts, np.array([3, 1, 2, 4]) + complement(np.array([3, 1, 2, 4])))
    assert {float(measure(counts)) for measure in (dice, precision, recall, f1)} == {0.7}
    assert iou(counts) == pytest.approx(0.7 / 1.3)


@pytest.mark.parametrize("structures", [1, 2, 4])
def test_counts_over_all_classes_are_those_of_a_confusion_matrix(structures):
    generator = np.random.default_rng(0)
    labels = np.arange(structures + 1)
    p, t = generator.integers(0, structures + 1, (2, 300))
    matrix = sklearn_metrics.multilabel_confusion_matrix(t, p, labels=labels)
    (tn, fp), (fn, tp) = matrix.sum(axis=0)
    found = all_classes((p == t).sum(), 300, num_classes=structures + 1)
    assert found.tolist() == [tp, fp, fn, tn]
    assert dice(found) == pytest.approx(sklearn_metrics.f1_score(t, p, average="micro", labels=labels), rel=1e-14)
    assert iou(found) == pytest.approx(sklearn_metrics.jaccard_score(t, p, average="micro", labels=labels), rel=1e-14)


def test_ratios_are_those_of_the_measures():
    counts = np.random.default_rng(0).integers(1, 9, (5, 4))
    for name, (above, below) in ratios(counts).items():
        np.testing.assert_allclose(above / below, OVERLAP[name](counts), err_msg=name)


@pytest.mark.parametrize("measure", PER_IMAGE.values(), ids=PER_IMAGE)
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
