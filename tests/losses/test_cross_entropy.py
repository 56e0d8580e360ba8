"""Cross-entropy of classes against hand arithmetic, an independent formula, and torch's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from lungseg.losses.cross_entropy import CrossEntropyLoss
from tests.losses.cases import class_case


def numpy_cross_entropy(logits, label, weights, smoothing) -> float:
    x, images = logits.numpy(), []
    for row, y in zip(x, label.tolist(), strict=True):
        if y < 0:
            continue
        p = np.exp(row) / np.exp(row).sum()
        target = np.full(len(row), smoothing / len(row))
        target[y] += 1 - smoothing
        images.append(-(weights * target * np.log(p)).sum())
    return float(np.mean(images))


def test_two_images_by_hand():
    # p = 3/4 and 1/4 for logits ln 3 and 0: (-ln 3/4 - ln 1/4) / 2
    logits = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])
    expected = -(math.log(3 / 4) + math.log(1 / 4)) / 2
    assert CrossEntropyLoss()(logits, torch.tensor([0, 1])).item() == pytest.approx(expected)


@pytest.mark.parametrize("weights", ["none", [0.5, 2.0, 3.0]], ids=["equal", "weighed"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_value_is_that_of_an_independent_formula(weights, smoothing):
    logits, label = class_case("multiclass")
    expected = numpy_cross_entropy(logits, label, np.ones(3) if weights == "none" else np.array(weights), smoothing)
    loss = CrossEntropyLoss(class_weights=weights, label_smoothing=smoothing)
    assert loss(logits, label).item() == pytest.approx(expected, rel=1e-6)
    assert torch.autograd.gradcheck(lambda x: loss(x, label), logits.requires_grad_())


def test_without_weights_it_is_torchs():
    logits, label = class_case("multiclass")
    known = label >= 0
    torch.testing.assert_close(CrossEntropyLoss()(logits, label), F.cross_entropy(logits[known], label[known]))


def test_a_weight_does_not_depend_on_the_other_images_of_the_batch():
    # torch's mean is over weights: an image alone would weigh 1 whatever its class
    loss, one = CrossEntropyLoss(class_weights=[1.0, 5.0]), torch.zeros(1, 2)
    assert loss(one, torch.tensor([1])).item() == pytest.approx(5 * math.log(2))


def test_weights_are_those_of_the_counts():
    # 8 images, 6 and 2: 8 / 12 and 8 / 4
    loss = CrossEntropyLoss(class_weights="inverse", counts=[[6, 2], [2, 6]])
    zeros = torch.zeros(2, 2)
    assert loss(zeros, torch.tensor([0, 1])).item() == pytest.approx(math.log(2) * (2 / 3 + 2) / 2)
    assert CrossEntropyLoss(counts=[[6, 2], [2, 6]]).class_weights is None


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(ValueError, match=f"label_smoothing={smoothing}"):
        CrossEntropyLoss(label_smoothing=smoothing)


def test_weights_for_other_classes_are_refused():
    with pytest.raises(ValueError, match=r"loss\.class_weights has 2 values for 3 classes"):
        CrossEntropyLoss(class_weights=[1.0, 2.0])(torch.zeros(1, 3), torch.tensor([0]))
