"""Sums over a region: what an empty mask costs, and what is pooled."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lungseg.losses.region import RegionLoss, mean_over_structures
from tests.losses.cases import numpy_planes, random_case, used


def region(**arguments) -> RegionLoss:
    base = {"alpha": 0.5, "beta": 0.5, "smooth": 0.5, "per_image": True, "empty": "penalise"}
    return RegionLoss(**{**base, "include_background": False, **arguments})


def numpy_region(logits, mask, valid, *, alpha, beta, smooth, per_image, empty, background) -> float:
    """By loops over images and structures, from false positives and false negatives pixel by pixel."""
    probability, truth = numpy_planes(logits, mask)
    use = used(valid, mask)
    first = 0 if background else probability.shape[1] - mask.shape[1]
    groups = [[i] for i in range(len(use)) if use[i].any()] if per_image else [list(range(len(use)))]
    losses = []
    for group in groups:
        values = []
        for c in range(first, probability.shape[1]):
            p = np.concatenate([probability[i, c][use[i]] for i in group])
            t = np.concatenate([truth[i, c][use[i]] for i in group])
            if t.any() or empty == "formula":
                wrong = alpha * np.sum(p * (1 - t)) + beta * np.sum((1 - p) * t)
                values.append(1 - (np.sum(p * t) + smooth) / (np.sum(p * t) + wrong + smooth))
            elif empty == "penalise":
                # of the complement, everything is true and nothing else can be claimed
                values.append(1 - np.sum(1 - p) / (np.sum(1 - p) + alpha * np.sum(p)))
        losses.append(np.mean(values) if values else 0.0)
    return float(np.mean(losses))


@pytest.mark.parametrize("form", ["sigmoid", "softmax"])
@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
@pytest.mark.parametrize("per_image", [True, False], ids=["per-image", "pooled"])
@pytest.mark.parametrize("empty", ["penalise", "ignore", "formula"])
@pytest.mark.parametrize("background", [False, True], ids=["structures", "background"])
def test_value_is_that_of_an_independent_formula(form, use_valid, per_image, empty, background):
    logits, mask, valid = random_case(form=form)
    mask[0] = 0  # an image without any structure
    mask[:, 1] = 0  # and a structure that is nowhere
    asked = {"alpha": 0.3, "beta": 0.7, "smooth": 2.0, "per_image": per_image, "empty": empty}
    expected = numpy_region(logits, mask, valid if use_valid else None, **asked, background=background)
    loss = region(**asked, include_background=background)(logits, mask, valid if use_valid else None)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("form", ["sigmoid", "softmax"])
@pytest.mark.parametrize("per_image", [True, False], ids=["per-image", "pooled"])
@pytest.mark.parametrize("empty", ["penalise", "ignore", "formula"])
def test_gradient_agrees_with_finite_differences(form, per_image, empty):
    logits, mask, valid = random_case(form=form)
    mask[0] = 0
    mask[:, 1] = 0
    loss = region(alpha=0.3, beta=0.7, per_image=per_image, empty=empty, include_background=True)
    assert torch.autograd.gradcheck(lambda x: loss(x, mask, valid), logits.requires_grad_())


@pytest.mark.parametrize("smooth", [1e-15, 1.0])
def test_a_false_positive_on_an_empty_mask_costs_in_proportion_to_its_area(smooth):
    # 1, 10, 100 of 100 pixels claimed: alpha n / (N - (1 - alpha) n) = 1/199, 1/19, 1, whatever smooth is
    mask = torch.zeros(1, 1, 10, 10, dtype=torch.uint8)
    costs = []
    for pixels in (0, 1, 10, 100):
        logits = torch.full((1, 1, 100), -60.0)
        logits[..., :pixels] = 60
        costs.append(region(smooth=smooth)(logits.view(1, 1, 10, 10), mask).item())
    assert costs == pytest.approx([0, 1 / 199, 1 / 19, 1], abs=1e-7)


def test_a_false_positive_on_an_empty_mask_is_pulled_by_penalise_alone():
    # p = 1/2 on N = 10,000 pixels, so sum p = 5,000. dL/dx = p (1 - p) dL/dp with, for penalise,
    # dL/dp = alpha N / (N - (1 - alpha) sum p)^2 = 5,000 / 7,500^2, and for the formula
    # dL/dp = alpha s / (alpha sum p + s)^2 = 0.25 / 2,500.5^2: less than a two thousandth of it
    mask = torch.zeros(1, 1, 100, 100, dtype=torch.uint8)
    pull = {}
    for empty in ("penalise", "ignore", "formula"):
        logits = torch.zeros(1, 1, 100, 100, dtype=torch.float64, requires_grad=True)
        region(empty=empty, smooth=0.5)(logits, mask).backward()
        pull[empty] = logits.grad[0, 0, 0, 0].item()
    assert pull["penalise"] == pytest.approx(0.25 * 0.5e4 / 7500**2)
    assert pull["ignore"] == 0
    assert pull["formula"] == pytest.approx(0.25 * 0.5 * 0.5 / 2500.5**2)


def test_pooled_sums_are_empty_only_where_the_batch_is():
    # image 1 has no structure but claims 1 pixel; image 2 claims its 1 pixel. Pooled: TP = 1, FP = 1: 1 - 1 / 1.5
    logits = torch.tensor([[[[60.0, -60]]], [[[60.0, -60]]]])
    mask = torch.tensor([[[[0, 0]]], [[[1, 0]]]], dtype=torch.uint8)
    assert region(smooth=1e-9, per_image=False)(logits, mask).item() == pytest.approx(1 / 3)
    # alone: 1/2 1 / (2 - 1/2 1) = 1/3 for image 1, 0 for image 2
    assert region(smooth=1e-9)(logits, mask).item() == pytest.approx(1 / 6)


def test_left_out_pixels_are_no_area():
    # of 2 pixels 1 counts, and it is claimed: 1/2 / (1 - 1/2) = 1, not 1/2 / (2 - 1/2)
    logits, mask = torch.full((1, 1, 1, 2), 60.0), torch.zeros(1, 1, 1, 2, dtype=torch.uint8)
    assert region()(logits, mask, torch.tensor([[[[1, 0]]]])).item() == pytest.approx(1.0)


def test_an_ignored_structure_does_not_dilute_the_others():
    values, counted = torch.tensor([[0.2, 0.6], [0.5, 0.3]]), torch.tensor([[True, False], [False, False]])
    assert mean_over_structures(values, counted).tolist() == pytest.approx([0.2, 0])
    assert mean_over_structures(values, None).tolist() == pytest.approx([0.4, 0.4])


@pytest.mark.parametrize("empty", ["penalise", "ignore", "formula"])
def test_a_batch_is_the_mean_of_its_images_with_empty_ones_too(empty):
    logits, mask, valid = random_case()
    mask[0] = 0
    loss = region(empty=empty)
    each = [loss(logits[i : i + 1], mask[i : i + 1], valid[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(loss(logits, mask, valid), torch.stack(each).mean())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"smooth": 0}, "smooth=0"),
        ({"alpha": 0}, "alpha=0"),
        ({"beta": -1}, "beta=-1"),
        ({"empty": "zero"}, "empty=zero is none of penalise, ignore, formula"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        region(**arguments)
