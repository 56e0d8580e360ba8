"""Binary cross-entropy against hand arithmetic and an independent formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lungseg.losses.bce import BCELoss


def random_case(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(3, 2, 5, 4, generator=generator, dtype=torch.float64)
    mask = (torch.rand(3, 2, 5, 4, generator=generator) > 0.4).to(torch.uint8)
    valid = (torch.rand(3, 1, 5, 4, generator=generator) > 0.3).to(torch.uint8)
    return logits, mask, valid


def numpy_bce(logits, mask, valid, weight) -> float:
    """Means over the valid pixels of each image, by loops and with probabilities."""
    images = []
    for logit, truth, use in zip(logits.numpy(), mask.numpy(), valid.numpy(), strict=True):
        values = []
        for k in range(logit.shape[0]):
            p = 1 / (1 + np.exp(-logit[k][use[0] == 1]))
            t = truth[k][use[0] == 1]
            values.append(-weight[k] * t * np.log(p) - (1 - t) * np.log(1 - p))
        images.append(np.concatenate(values).mean())
    return float(np.mean(images))


def test_a_logit_of_zero_costs_ln_2():
    loss = BCELoss()(torch.zeros(2, 1, 3, 3), torch.ones(2, 1, 3, 3, dtype=torch.uint8))
    assert loss.item() == pytest.approx(math.log(2))


def test_a_confident_error_costs_its_logit_and_does_not_overflow():
    # -log(sigmoid(-500)) = 500
    loss = BCELoss()(torch.full((1, 1, 1, 1), -500.0), torch.ones(1, 1, 1, 1, dtype=torch.uint8))
    assert loss.item() == pytest.approx(500.0)


@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
@pytest.mark.parametrize("weight", [None, 2.5, [0.5, 3.0]], ids=["plain", "one-weight", "weight-each"])
def test_value_is_that_of_an_independent_formula(use_valid, weight):
    logits, mask, valid = random_case()
    each = np.broadcast_to(1.0 if weight is None else weight, 2)
    expected = numpy_bce(logits, mask, valid if use_valid else torch.ones_like(valid), each)
    loss = BCELoss(pos_weight=weight)(logits, mask, valid if use_valid else None)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_label_smoothing_gives_up_half_its_share_of_the_truth_to_the_other_side():
    # t = 1 becomes 1 - 0.2 / 2 = 0.9: - 0.9 ln(3/4) - 0.1 ln(1/4) at a logit of ln 3
    logits, mask = torch.full((1, 1, 1, 1), math.log(3)), torch.ones(1, 1, 1, 1, dtype=torch.uint8)
    expected = -0.9 * math.log(0.75) - 0.1 * math.log(0.25)
    assert BCELoss(label_smoothing=0.2)(logits, mask).item() == pytest.approx(expected)
    # t = 0 becomes 0.1, by symmetry the same at the opposite logit
    assert BCELoss(label_smoothing=0.2)(-logits, 1 - mask).item() == pytest.approx(expected)


@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
def test_gradient_agrees_with_finite_differences(use_valid):
    logits, mask, valid = random_case()
    loss = BCELoss(pos_weight=[0.5, 3.0], label_smoothing=0.1)
    chosen = valid if use_valid else None
    assert torch.autograd.gradcheck(lambda x: loss(x, mask, chosen), logits.requires_grad_())


def test_a_batch_is_the_mean_of_its_images_with_valid_pixels_too():
    logits, mask, valid = random_case()
    loss = BCELoss()
    each = [loss(logits[i : i + 1], mask[i : i + 1], valid[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(loss(logits, mask, valid), torch.stack(each).mean())


def test_what_is_left_out_neither_counts_nor_pulls_even_if_infinite():
    logits = torch.tensor([[[[0.0, math.inf]]]], requires_grad=True)
    loss = BCELoss()(logits, torch.tensor([[[[1, 0]]]], dtype=torch.uint8), torch.tensor([[[[1, 0]]]]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    # d/dx -log sigmoid(x) at 0 is -1/2
    assert logits.grad.tolist() == [[[[-0.5, 0.0]]]]


def test_the_weight_is_not_in_the_checkpoint():
    assert BCELoss(pos_weight=2.0).state_dict() == {}


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf, []])
def test_a_weight_that_is_not_positive_is_refused(weight):
    with pytest.raises(ValueError, match="pos_weight"):
        BCELoss(pos_weight=weight)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_of_the_truth_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=f"label_smoothing={share}"):
        BCELoss(label_smoothing=share)


def test_a_softmax_is_refused():
    with pytest.raises(ValueError, match=r"task\.activation=sigmoid"):
        BCELoss()(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, 1, dtype=torch.uint8))


def test_a_weight_for_another_number_of_structures_is_refused():
    mask = torch.zeros(1, 2, 1, 1, dtype=torch.uint8)
    with pytest.raises(ValueError, match="3 values for 2 structures"):
        BCELoss(pos_weight=[1, 1, 1])(torch.zeros(1, 2, 1, 1), mask)
