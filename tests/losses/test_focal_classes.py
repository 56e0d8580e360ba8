"""Focal loss of classes against hand arithmetic, an independent formula, and what it becomes at gamma 0."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lungseg.losses.cross_entropy import CrossEntropyLoss
from lungseg.losses.focal_classes import FocalClassesLoss
from tests.losses.cases import class_case


def numpy_focal(logits, label, weights, gamma) -> float:
    images = []
    for row, y in zip(logits.numpy(), label.tolist(), strict=True):
        if y >= 0:
            q = np.exp(row[y]) / np.exp(row).sum()
            images.append(-weights[y] * (1 - q) ** gamma * np.log(q))
    return float(np.mean(images))


def test_an_image_by_hand():
    # p = 3/4 for logits ln 3 and 0: (1/4)^2 ln 4/3
    logits = torch.tensor([[math.log(3), 0.0]])
    assert FocalClassesLoss()(logits, torch.tensor([0])).item() == pytest.approx(math.log(4 / 3) / 16)


@pytest.mark.parametrize("weights", ["none", [0.5, 2.0, 3.0]], ids=["equal", "weighed"])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_value_is_that_of_an_independent_formula(weights, gamma):
    logits, label = class_case("multiclass")
    expected = numpy_focal(logits, label, np.ones(3) if weights == "none" else weights, gamma)
    loss = FocalClassesLoss(gamma=gamma, class_weights=weights)
    assert loss(logits, label).item() == pytest.approx(expected, rel=1e-10)
    assert torch.autograd.gradcheck(lambda x: loss(x, label), logits.requires_grad_())


@pytest.mark.parametrize("weights", ["none", "inverse"])
def test_gamma_0_is_cross_entropy(weights):
    logits, label = class_case("multiclass")
    options = {"class_weights": weights, "counts": [[6, 4], [3, 7], [1, 9]]}
    torch.testing.assert_close(
        FocalClassesLoss(gamma=0, **options)(logits, label), CrossEntropyLoss(**options)(logits, label)
    )


@pytest.mark.parametrize("logit", [-200.0, -30.0, 30.0, 200.0])
@pytest.mark.parametrize("gamma", [0.3, 2.0])
def test_certain_images_keep_a_finite_gradient(gamma, logit):
    # (1 - q)^gamma has an infinite slope at q = 1 for gamma below 1
    logits = torch.tensor([[logit, 0.0]], requires_grad=True)
    value = FocalClassesLoss(gamma=gamma)(logits, torch.tensor([0]))
    value.backward()
    assert value.item() == pytest.approx(max(-logit, 0), abs=1e-4)
    assert torch.isfinite(logits.grad).all()


def test_a_negative_gamma_is_refused():
    with pytest.raises(ValueError, match="gamma=-1"):
        FocalClassesLoss(gamma=-1)
