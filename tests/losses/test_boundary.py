"""Boundary loss against hand arithmetic and an independent formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from lungseg.losses.boundary import BoundaryLoss
from lungseg.losses.dice import DiceLoss
from tests.losses.cases import numpy_planes, random_case, used


def numpy_boundary(logits, mask, valid) -> float:
    """Mean over pixels of |distance to the boundary| x |p - t|, with scipy's distances between pixel centres."""
    probability, truth = numpy_planes(logits, mask)
    probability, truth = probability[:, -mask.shape[1] :], truth[:, -mask.shape[1] :]
    images = []
    for p, t, u in zip(probability, truth, used(valid, mask), strict=True):
        total = 0.0
        for k in range(len(p)):
            inside, outside = (t[k] == 1) & u, (t[k] == 0) & u
            if inside.any() and outside.any():
                apart = np.where(t[k] == 1, *(ndimage.distance_transform_edt(~side) for side in (outside, inside)))
                total += np.sum((apart - 0.5)[u] * np.abs(p[k] - t[k])[u])
        images.append(total / (len(p) * u.sum()))
    return float(np.mean(images))


@pytest.mark.parametrize("form", ["sigmoid", "softmax"])
@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
def test_value_is_that_of_an_independent_formula(form, use_valid):
    logits, mask, valid = random_case(form=form)
    mask[0] = 0
    chosen = valid if use_valid else None
    loss = BoundaryLoss(alpha=1)(logits, mask, chosen)
    assert loss.item() == pytest.approx(numpy_boundary(logits, mask, chosen), rel=1e-6)


@pytest.mark.parametrize("form", ["sigmoid", "softmax"])
def test_gradient_agrees_with_finite_differences(form):
    logits, mask, valid = random_case(form=form)
    mask[0] = 0
    loss = BoundaryLoss(alpha=0.3)
    assert torch.autograd.gradcheck(lambda x: loss(x, mask, valid), logits.requires_grad_())


def test_a_false_positive_costs_its_distance():
    # 10 pixels in a row, the first in the mask; one more is claimed, 1, 4 or 9 pixels away: (d - 1/2) / 10
    mask = torch.zeros(1, 1, 1, 10, dtype=torch.uint8)
    mask[..., 0] = 1
    for place, expected in ((1, 0.05), (4, 0.35), (9, 0.85)):
        logits = torch.full((1, 1, 1, 10), -60.0)
        logits[..., [0, place]] = 60
        assert BoundaryLoss(alpha=1)(logits, mask).item() == pytest.approx(expected)


def test_the_region_term_is_soft_dice_with_its_arguments():
    logits, mask, valid = random_case()
    mask[0] = 0
    options = {"smooth": 0.5, "per_image": False, "empty": "formula"}
    expected = 0.3 * BoundaryLoss(alpha=1)(logits, mask, valid) + 0.7 * DiceLoss(**options)(logits, mask, valid)
    torch.testing.assert_close(BoundaryLoss(alpha=0.3, **options)(logits, mask, valid), expected)


def test_an_empty_mask_is_left_to_the_region_term():
    logits, mask = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
    assert BoundaryLoss(alpha=1)(logits, mask).item() == 0
    # penalise: (4/2) / (2 * 4 - 4/2) = 1/3
    assert BoundaryLoss(alpha=0.25)(logits, mask).item() == pytest.approx(0.75 / 3)


def test_one_sigmoid_and_a_softmax_of_two_classes_agree():
    logits, mask, valid = random_case(structures=1)
    two, loss = torch.cat([torch.zeros_like(logits), logits], dim=1), BoundaryLoss(alpha=0.5)
    torch.testing.assert_close(loss(two, mask, valid), loss(logits, mask, valid))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"alpha": 0}, "alpha=0.*loss=dice"), ({"alpha": 1.1}, "alpha=1.1"), ({"smooth": 0}, "smooth=0")],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BoundaryLoss(**arguments)
