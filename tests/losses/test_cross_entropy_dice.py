"""Cross-entropy plus soft Dice for classes, against torch, an independent formula and hand arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from lungseg.losses.cross_entropy_dice import CrossEntropyDiceLoss
from lungseg.losses.dice import DiceLoss
from tests.losses.cases import numpy_planes, random_case, used

WEIGHTS = [0.5, 2.0, 3.0]


def cross_entropy(**arguments) -> CrossEntropyDiceLoss:
    return CrossEntropyDiceLoss(dice_weight=0, **arguments)


def numpy_cross_entropy(logits, mask, valid, weights) -> float:
    probability, truth = numpy_planes(logits, mask)
    images = []
    for p, t, u in zip(probability, truth, used(valid, mask), strict=True):
        classes = t.argmax(axis=0)[u]
        weight = np.asarray(weights)[classes]
        images.append(np.sum(-weight * np.log(p[:, u][classes, np.arange(len(classes))])) / np.sum(weight))
    return float(np.mean(images))


def test_no_preference_costs_the_log_of_the_number_of_classes():
    mask = torch.zeros(1, 2, 2, 2, dtype=torch.uint8)
    assert cross_entropy()(torch.zeros(1, 3, 2, 2), mask).item() == pytest.approx(math.log(3))


def test_a_class_weight_is_relative_to_those_of_the_image():
    # 1 background pixel (weight 1) at p = 1/2, 1 of the structure (weight 3) at p = 3/4: (ln 2 + 3 ln(4/3)) / 4
    logits = torch.tensor([[[[0.0, 0.0]], [[0.0, math.log(3)]]]])
    mask = torch.tensor([[[[0, 1]]]], dtype=torch.uint8)
    expected = (math.log(2) + 3 * math.log(4 / 3)) / 4
    assert cross_entropy(class_weights=[1, 3])(logits, mask).item() == pytest.approx(expected)
    # one class alone: its weight cancels
    assert cross_entropy(class_weights=[1, 3])(logits[..., 1:], mask[..., 1:]).item() == pytest.approx(math.log(4 / 3))


@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_cross_entropy_is_that_of_an_independent_formula(use_valid, weights):
    logits, mask, valid = random_case(form="softmax")
    expected = numpy_cross_entropy(logits, mask, valid if use_valid else None, weights or [1, 1, 1])
    loss = cross_entropy(class_weights=weights)(logits, mask, valid if use_valid else None)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_pooled_cross_entropy_is_that_of_torch(weights):
    logits, mask, valid = random_case(form="softmax")
    classes = torch.from_numpy(numpy_planes(logits, mask)[1]).argmax(dim=1).masked_fill(valid[:, 0] == 0, -1)
    weight = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    loss = cross_entropy(class_weights=weights, per_image=False)(logits, mask, valid)
    torch.testing.assert_close(loss, F.cross_entropy(logits, classes, weight=weight, ignore_index=-1))


def test_both_terms_are_weighted_and_get_their_arguments():
    logits, mask, valid = random_case(form="softmax")
    mask[0] = 0
    options = {"smooth": 0.5, "per_image": False, "empty": "formula", "include_background": True}
    both = CrossEntropyDiceLoss(ce_weight=2, dice_weight=3, class_weights=WEIGHTS, **options)(logits, mask, valid)
    entropy = cross_entropy(class_weights=WEIGHTS, per_image=False)(logits, mask, valid)
    torch.testing.assert_close(both, 2 * entropy + 3 * DiceLoss(**options)(logits, mask, valid))


@pytest.mark.parametrize("per_image", [True, False], ids=["per-image", "pooled"])
def test_gradient_agrees_with_finite_differences(per_image):
    logits, mask, valid = random_case(form="softmax")
    loss = CrossEntropyDiceLoss(class_weights=WEIGHTS, per_image=per_image, include_background=True)
    assert torch.autograd.gradcheck(lambda x: loss(x, mask, valid), logits.requires_grad_())


def test_sigmoids_are_refused():
    with pytest.raises(ValueError, match=r"task\.activation=softmax"):
        CrossEntropyDiceLoss()(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1, dtype=torch.uint8))


def test_class_weights_for_another_number_of_classes_are_refused():
    logits, mask, _ = random_case(form="softmax")
    with pytest.raises(ValueError, match=r"class_weights has 2 values for 3 classes.*background first"):
        CrossEntropyDiceLoss(class_weights=[1, 2])(logits, mask)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"smooth": 0}, "smooth=0"),
        ({"ce_weight": -1}, "ce_weight=-1"),
        ({"ce_weight": 0, "dice_weight": 0}, "not both 0"),
        ({"class_weights": [1, 0]}, "class_weights="),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CrossEntropyDiceLoss(**arguments)
