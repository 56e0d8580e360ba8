"""Cross-entropy plus soft Dice against hand arithmetic and an independent formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lungseg.losses.bce import BCELoss
from lungseg.losses.bce_dice import BCEDiceLoss


def random_case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(3, 2, 4, 5, generator=generator, dtype=torch.float64)
    mask = (torch.rand(3, 2, 4, 5, generator=generator) > 0.6).to(torch.uint8)
    valid = (torch.rand(3, 1, 4, 5, generator=generator) > 0.3).to(torch.uint8)
    return logits, mask, valid


def dice_only(**arguments) -> BCEDiceLoss:
    return BCEDiceLoss(bce_weight=0, **arguments)


def numpy_dice_loss(logits, mask, valid, smooth) -> float:
    losses = []
    for logit, truth, use in zip(logits.numpy(), mask.numpy(), valid.numpy(), strict=True):
        for k in range(2):
            p = (1 / (1 + np.exp(-logit[k])))[use[0] == 1]
            t = truth[k][use[0] == 1]
            losses.append(1 - (2 * np.dot(p, t) + smooth) / (p.sum() + t.sum() + smooth))
    return float(np.mean(losses))


def test_half_a_probability_everywhere():
    # 4 pixels, p = 1/2, all in the mask: 1 - (2 * 2 + 1) / (2 + 4 + 1) = 2/7
    loss = dice_only()(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2, dtype=torch.uint8))
    assert loss.item() == pytest.approx(2 / 7)


def test_two_empty_masks_agree():
    loss = dice_only()(torch.full((1, 1, 2, 2), -50.0), torch.zeros(1, 1, 2, 2, dtype=torch.uint8))
    assert loss.item() == pytest.approx(0.0)


def test_both_terms_are_weighted():
    logits, mask, valid = random_case()
    both = BCEDiceLoss(bce_weight=2.0, dice_weight=3.0, pos_weight=1.5)(logits, mask, valid)
    expected = 2 * BCELoss(pos_weight=1.5)(logits, mask, valid) + 3 * dice_only()(logits, mask, valid)
    torch.testing.assert_close(both, expected)


@pytest.mark.parametrize("smooth", [1.0, 0.1])
@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
def test_dice_term_is_that_of_an_independent_formula(use_valid, smooth):
    logits, mask, valid = random_case()
    expected = numpy_dice_loss(logits, mask, valid if use_valid else torch.ones_like(valid), smooth)
    loss = dice_only(smooth=smooth)(logits, mask, valid if use_valid else None)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("per_image", [True, False])
@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
def test_gradient_agrees_with_finite_differences(use_valid, per_image):
    logits, mask, valid = random_case()
    loss = BCEDiceLoss(per_image=per_image)
    chosen = valid if use_valid else None
    assert torch.autograd.gradcheck(lambda x: loss(x, mask, chosen), logits.requires_grad_())


def test_a_batch_is_the_mean_of_its_images():
    logits, mask, valid = random_case()
    loss = BCEDiceLoss()
    each = [loss(logits[i : i + 1], mask[i : i + 1], valid[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(loss(logits, mask, valid), torch.stack(each).mean())


def test_pooled_dice_adds_up_the_batch_first():
    # image 1: 1 of 1 pixel found; image 2: 0 of 3. Pooled: 1 - (2 + 1) / (1 + 4 + 1) = 1/2
    logits = torch.tensor([[[[60.0, -60, -60]]], [[[-60.0, -60, -60]]]])
    mask = torch.tensor([[[[1, 0, 0]]], [[[1, 1, 1]]]], dtype=torch.uint8)
    assert dice_only(per_image=False)(logits, mask).item() == pytest.approx(0.5)
    # each: (1 - 3/3 + 1 - 1/4) / 2 = 3/8
    assert dice_only()(logits, mask).item() == pytest.approx(3 / 8)


def test_what_is_left_out_neither_counts_nor_pulls_even_if_infinite():
    logits = torch.tensor([[[[0.0, math.inf]]]], requires_grad=True)
    loss = dice_only()(logits, torch.tensor([[[[1, 1]]]], dtype=torch.uint8), torch.tensor([[[[1, 0]]]]))
    loss.backward()
    # 1 - (2 * 1/2 + 1) / (1/2 + 1 + 1) = 1/5
    assert loss.item() == pytest.approx(0.2)
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 0, 0, 1] == 0


def test_an_empty_mask_is_treated_as_asked():
    # p = 1/2 at 4 pixels, nothing there. penalise: (4/2) / (2 * 4 - 4/2) = 1/3; formula: 1 - 1 / (2 + 1)
    logits, mask = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
    costs = [dice_only(empty=empty)(logits, mask).item() for empty in ("penalise", "ignore", "formula")]
    assert costs == pytest.approx([1 / 3, 0, 2 / 3])


def test_label_smoothing_touches_the_cross_entropy_only():
    logits, mask, _ = random_case()
    expected = BCELoss(label_smoothing=0.2)(logits, mask) + dice_only()(logits, mask)
    torch.testing.assert_close(BCEDiceLoss(label_smoothing=0.2)(logits, mask), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"smooth": 0}, "smooth=0"),
        ({"bce_weight": -1}, "bce_weight=-1"),
        ({"bce_weight": 0, "dice_weight": 0}, "not both 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BCEDiceLoss(**arguments)
