"""Lovasz losses against hand arithmetic and the set function they extend."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lungseg.losses.lovasz import LovaszLoss
from tests.losses.cases import numpy_planes, random_case, used


def jaccard_loss(wrong: set[int], truth: np.ndarray) -> float:
    """Of a set of wrong pixels, by sets; nothing wrong costs nothing."""
    mask = {i for i, t in enumerate(truth) if t}
    claimed = mask ^ wrong
    union = mask | claimed
    return 1 - len(mask & claimed) / len(union) if union else 0.0


def extension(errors: np.ndarray, truth: np.ndarray) -> float:
    """Lovasz extension of `jaccard_loss`, straight from its definition."""
    total, wrong = 0.0, set()
    for i in sorted(range(len(errors)), key=lambda i: -errors[i]):
        before = jaccard_loss(wrong, truth)
        wrong.add(i)
        total += errors[i] * (jaccard_loss(wrong, truth) - before)
    return total


def numpy_lovasz(logits, mask, valid, *, per_image, empty, background) -> float:
    if logits.shape[1] == mask.shape[1]:
        truth = mask.numpy()
        errors = np.maximum(1 - (2.0 * truth - 1) * logits.numpy(), 0)
    else:
        probability, truth = numpy_planes(logits, mask)
        errors = np.abs(truth - probability)
    use = used(valid, mask)
    first = 0 if background else truth.shape[1] - mask.shape[1]
    groups = [[i] for i in range(len(use)) if use[i].any()] if per_image else [list(range(len(use)))]
    losses = []
    for group in groups:
        values = []
        for c in range(first, truth.shape[1]):
            t = np.concatenate([truth[i, c][use[i]] for i in group])
            if t.any() or empty == "penalise":
                values.append(extension(np.concatenate([errors[i, c][use[i]] for i in group]), t))
        losses.append(np.mean(values) if values else 0.0)
    return float(np.mean(losses))


@pytest.mark.parametrize("form", ["sigmoid", "softmax"])
@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
@pytest.mark.parametrize("per_image", [True, False], ids=["per-image", "pooled"])
@pytest.mark.parametrize("empty", ["penalise", "ignore"])
@pytest.mark.parametrize("background", [False, True], ids=["structures", "background"])
def test_value_is_that_of_the_definition(form, use_valid, per_image, empty, background):
    logits, mask, valid = random_case(form=form)
    mask[0] = 0
    mask[:, 1] = 0
    asked = {"per_image": per_image, "empty": empty}
    expected = numpy_lovasz(logits, mask, valid if use_valid else None, **asked, background=background)
    loss = LovaszLoss(**asked, include_background=background)(logits, mask, valid if use_valid else None)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("form", ["sigmoid", "softmax"])
@pytest.mark.parametrize("per_image", [True, False], ids=["per-image", "pooled"])
def test_gradient_agrees_with_finite_differences(form, per_image):
    logits, mask, valid = random_case(form=form)
    mask[0] = 0
    loss = LovaszLoss(per_image=per_image)
    assert torch.autograd.gradcheck(lambda x: loss(x, mask, valid), logits.requires_grad_())


@pytest.mark.parametrize(
    ("claimed", "expected"),
    [
        # errors of the hinge are 2 where wrong and 0 elsewhere: twice the Jaccard loss
        pytest.param([1, 1, 1, 0], 2 * (1 - 2 / 3), id="false-positive"),
        pytest.param([1, 0, 0, 0], 2 * (1 - 1 / 2), id="false-negative"),
        pytest.param([0, 0, 1, 1], 2.0, id="all-wrong"),
        pytest.param([1, 1, 0, 0], 0.0, id="perfect"),
    ],
)
def test_at_hard_predictions_it_is_the_jaccard_loss(claimed, expected):
    logits = (2 * torch.tensor(claimed).float() - 1).view(1, 1, 1, 4)
    mask = torch.tensor([1, 1, 0, 0], dtype=torch.uint8).view(1, 1, 1, 4)
    assert LovaszLoss()(logits, mask).item() == pytest.approx(expected)


def test_of_an_empty_mask_only_the_largest_error_counts():
    logits = torch.tensor([[[[3.0, 1.0, -5.0]]]], requires_grad=True)
    loss = LovaszLoss()(logits, torch.zeros(1, 1, 1, 3, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 4.0  # 1 + 3
    assert logits.grad.flatten().tolist() == [1, 0, 0]
    assert LovaszLoss(empty="ignore")(logits, torch.zeros(1, 1, 1, 3, dtype=torch.uint8)).item() == 0


def test_a_pixel_left_out_does_not_shift_the_order_of_the_others():
    # with the middle pixel out: errors 3, 1 (wrong, false negative): 3 (1/2) + 1 (1/2)
    logits, mask = torch.tensor([[[[-2.0, 90.0, 0.0]]]]), torch.tensor([[[[1, 0, 1]]]], dtype=torch.uint8)
    assert LovaszLoss()(logits, mask, torch.tensor([[[[1, 0, 1]]]])).item() == pytest.approx(2.0)


def test_weights_keep_their_digits_on_a_large_image():
    # errors of 1 at all of N pixels (logit 0), all false negatives: N growths of 1 / N; in float32, 1 - n / u has
    # lost half of the digits of such a growth
    logits = torch.zeros(1, 1, 256, 256, requires_grad=True)
    LovaszLoss()(logits, torch.ones(1, 1, 256, 256, dtype=torch.uint8)).backward()
    torch.testing.assert_close(logits.grad, torch.full_like(logits, -1 / 65536), rtol=1e-6, atol=0)


def test_an_unknown_choice_is_refused():
    with pytest.raises(ValueError, match="empty=formula is none of penalise, ignore"):
        LovaszLoss(empty="formula")
