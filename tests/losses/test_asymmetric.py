"""Asymmetric loss against hand arithmetic, an independent formula, and what it becomes without asymmetry."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lungseg.losses.asymmetric import AsymmetricLoss
from lungseg.losses.bce_multilabel import BCEMultilabelLoss
from tests.losses.cases import class_case


def numpy_asymmetric(logits, label, gamma_neg, gamma_pos, margin) -> float:
    p, t, images = 1 / (1 + np.exp(-logits.numpy())), label.numpy(), []
    q = np.maximum(p - margin, 0)
    for image in range(len(t)):
        values = []
        for c in range(t.shape[1]):
            if t[image, c] == 1:
                values.append(-((1 - p[image, c]) ** gamma_pos) * np.log(p[image, c]))
            elif t[image, c] == 0:
                values.append(-(q[image, c] ** gamma_neg) * np.log(1 - q[image, c]))
        if values:
            images.append(np.mean(values))
    return float(np.mean(images))


def test_labels_by_hand():
    # p = 3/4, q = 3/4 - 1/4 = 1/2: absent (1/2)^2 ln 2, present (1/4) ln 4/3
    logits, loss = torch.full((1, 1), math.log(3)), AsymmetricLoss(gamma_neg=2, gamma_pos=1, margin=0.25)
    assert loss(logits, torch.zeros(1, 1)).item() == pytest.approx(math.log(2) / 4)
    assert loss(logits, torch.ones(1, 1)).item() == pytest.approx(math.log(4 / 3) / 4)


@pytest.mark.parametrize(
    ("gamma_neg", "gamma_pos", "margin"),
    [(4.0, 0.0, 0.05), (4.0, 1.0, 0.0), (0.5, 0.5, 0.2), (0.0, 0.0, 0.1), (2.0, 2.0, 0.0)],
    ids=str,
)
def test_value_is_that_of_an_independent_formula(gamma_neg, gamma_pos, margin):
    logits, label = class_case("multilabel")
    expected = numpy_asymmetric(logits, label, gamma_neg, gamma_pos, margin)
    loss = AsymmetricLoss(gamma_neg=gamma_neg, gamma_pos=gamma_pos, margin=margin)
    assert loss(logits, label).item() == pytest.approx(expected, rel=1e-10)
    assert torch.autograd.gradcheck(lambda x: loss(x, label), logits.requires_grad_())


def test_without_exponents_and_margin_it_is_binary_cross_entropy():
    case = class_case("multilabel")
    torch.testing.assert_close(AsymmetricLoss(gamma_neg=0, margin=0)(*case), BCEMultilabelLoss()(*case))


def test_an_absent_label_below_the_margin_costs_and_pulls_nothing():
    # sigmoid(-3) = 0.0474 is below 0.05, sigmoid(-2.9) = 0.0522 is not
    logits = torch.tensor([[-3.0, -2.9]], requires_grad=True)
    value = AsymmetricLoss()(logits, torch.zeros(1, 2))
    value.backward()
    assert value.item() > 0
    assert logits.grad[0, 0] == 0
    assert logits.grad[0, 1] > 0


@pytest.mark.parametrize("margin", [0.0, 0.05])
@pytest.mark.parametrize("logit", [-200.0, -30.0, 30.0, 200.0])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_certain_labels_keep_a_finite_gradient_at_exponents_below_1(margin, logit, label):
    logits = torch.full((1, 1), logit, requires_grad=True)
    value = AsymmetricLoss(gamma_neg=0.3, gamma_pos=0.3, margin=margin)(logits, torch.full((1, 1), label))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"gamma_neg": -1}, "gamma_neg=-1"), ({"gamma_pos": -1}, "gamma_pos=-1"), ({"margin": 1.0}, r"margin=1\.0")],
    ids=str,
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        AsymmetricLoss(**arguments)
