"""Soft Dice against hand arithmetic, MONAI and the formula of the Keras code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lungseg.losses.dice import DiceLoss
from tests.losses.cases import numpy_planes, random_case


def test_half_a_probability_everywhere():
    # 4 pixels, p = 1/2, all in the mask: 1 - (2 * 2 + 1) / (2 + 4 + 1) = 2/7
    assert DiceLoss()(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2, dtype=torch.uint8)).item() == pytest.approx(2 / 7)


@pytest.mark.slow  # for the import of MONAI
def test_value_is_that_of_monai():
    monai = pytest.importorskip("monai.losses")
    for form, per_image, smooth, background in (
        ("sigmoid", True, 1.0, True),
        ("sigmoid", False, 1e-15, True),
        ("softmax", True, 1.0, False),
        ("softmax", False, 0.1, True),
    ):
        logits, mask, _ = random_case(form=form)
        reference = monai.DiceLoss(
            **{form: True},
            include_background=background,
            batch=not per_image,
            smooth_nr=smooth,
            smooth_dr=smooth,
        )
        loss = DiceLoss(smooth=smooth, per_image=per_image, include_background=background)
        truth = torch.from_numpy(numpy_planes(logits, mask)[1])
        torch.testing.assert_close(loss(logits, mask), reference(logits, truth), msg=lambda m, f=form: f"{f}: {m}")


def test_the_loss_of_paper_dual_encoder_is_that_of_its_ancestor():
    # Keras: all pixels of the batch in one row, smooth 1e-15 above and below
    logits, mask, _ = random_case(structures=1)
    p, t = (plane.ravel() for plane in numpy_planes(logits, mask))
    expected = 1 - (2 * np.sum(p * t) + 1e-15) / (np.sum(p) + np.sum(t) + 1e-15)
    loss = DiceLoss(smooth=1e-15, per_image=False, empty="formula")
    assert loss(logits, mask).item() == pytest.approx(expected, rel=1e-14)


def test_so_small_a_smooth_neither_underflows_nor_blows_up_in_float32():
    loss = DiceLoss(smooth=1e-15, per_image=False, empty="formula")
    logits = torch.full((1, 1, 2, 2), -200.0, requires_grad=True)  # p = 0: 1 - 1e-15 / 1e-15
    value = loss(logits, torch.zeros(1, 1, 2, 2, dtype=torch.uint8))
    value.backward()
    assert value.item() == 0
    assert torch.isfinite(logits.grad).all()


def test_one_sigmoid_and_a_softmax_of_two_classes_agree():
    logits, mask, valid = random_case(structures=1)
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    torch.testing.assert_close(DiceLoss()(two, mask, valid), DiceLoss()(logits, mask, valid))
