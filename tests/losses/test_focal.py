"""Focal loss against hand arithmetic, an independent formula, and what it becomes at gamma 0."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from lungseg.losses.bce import BCELoss
from lungseg.losses.focal import FocalLoss
from tests.losses.cases import numpy_planes, random_case, used


def numpy_focal(logits, mask, valid, alpha, gamma) -> float:
    probability, truth = numpy_planes(logits, mask)
    use, softmax = used(valid, mask), logits.shape[1] > mask.shape[1]
    images = []
    for p, t, u in zip(probability, truth, use, strict=True):
        values = []
        for y, x in zip(*np.nonzero(u), strict=True):
            if softmax:
                c = int(t[:, y, x].argmax())
                chances = [(p[c, y, x], c > 0)]
            else:
                chances = [(p[k, y, x] if t[k, y, x] else 1 - p[k, y, x], t[k, y, x] > 0) for k in range(len(p))]
            for q, structure in chances:
                weight = 1 if alpha is None else alpha if structure else 1 - alpha
                values.append(-weight * (1 - q) ** gamma * np.log(q))
        images.append(np.mean(values))
    return float(np.mean(images))


def test_a_logit_of_zero():
    # (1/2)^2 ln 2, weighed by 1/4 in the mask and by 3/4 outside
    logits, mask = torch.zeros(1, 1, 1, 2), torch.tensor([[[[1, 0]]]], dtype=torch.uint8)
    assert FocalLoss()(logits, mask).item() == pytest.approx(math.log(2) / 4)
    assert FocalLoss(alpha=0.25)(logits[..., :1], mask[..., :1]).item() == pytest.approx(math.log(2) / 16)
    assert FocalLoss(alpha=0.25)(logits[..., 1:], mask[..., 1:]).item() == pytest.approx(3 * math.log(2) / 16)


@pytest.mark.parametrize("form", ["sigmoid", "softmax"])
@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
@pytest.mark.parametrize(("alpha", "gamma"), [(None, 2.0), (0.25, 2.0), (0.6, 0.5), (0.25, 0.0)], ids=str)
def test_value_is_that_of_an_independent_formula(form, use_valid, alpha, gamma):
    logits, mask, valid = random_case(form=form)
    expected = numpy_focal(logits, mask, valid if use_valid else None, alpha, gamma)
    loss = FocalLoss(alpha=alpha, gamma=gamma)(logits, mask, valid if use_valid else None)
    assert loss.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("form", ["sigmoid", "softmax"])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_gradient_agrees_with_finite_differences(form, gamma):
    logits, mask, valid = random_case(form=form)
    loss = FocalLoss(alpha=0.25, gamma=gamma)
    assert torch.autograd.gradcheck(lambda x: loss(x, mask, valid), logits.requires_grad_())


def test_gamma_0_is_cross_entropy():
    logits, mask, valid = random_case()
    torch.testing.assert_close(FocalLoss(gamma=0)(logits, mask, valid), BCELoss()(logits, mask, valid))
    logits, mask, _ = random_case(form="softmax")
    classes = torch.from_numpy(numpy_planes(logits, mask)[1]).argmax(dim=1)
    torch.testing.assert_close(FocalLoss(gamma=0)(logits, mask), F.cross_entropy(logits, classes))


def test_one_sigmoid_and_a_softmax_of_two_classes_agree():
    logits, mask, valid = random_case(structures=1)
    two, loss = torch.cat([torch.zeros_like(logits), logits], dim=1), FocalLoss(alpha=0.3)
    torch.testing.assert_close(loss(two, mask, valid), loss(logits, mask, valid))


@pytest.mark.parametrize("form", ["sigmoid", "softmax"])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("logit", [-1e4, -100.0, 100.0, 1e4])
def test_extreme_logits_keep_a_finite_gradient_for_any_gamma(form, gamma, logit):
    # (1 - q)^gamma has an infinite slope at q = 1 for gamma below 1
    logits = torch.zeros(1, 1 + (form == "softmax"), 1, 1)
    logits[:, -1] = logit
    logits.requires_grad_()
    value = FocalLoss(gamma=gamma)(logits, torch.ones(1, 1, 1, 1, dtype=torch.uint8))
    value.backward()
    assert value.item() == pytest.approx(max(-logit, 0), abs=1e-20)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("arguments", "message"), [({"alpha": 0}, "alpha=0"), ({"alpha": 1}, "alpha=1"), ({"gamma": -1}, "gamma=-1")]
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FocalLoss(**arguments)
