"""Soft Jaccard against hand arithmetic and its relation to Dice."""

from __future__ import annotations

import pytest
import torch

from lungseg.losses.dice import DiceLoss
from lungseg.losses.jaccard import JaccardLoss
from tests.losses.cases import random_case


def test_half_a_probability_everywhere():
    # 4 pixels, p = 1/2, all in the mask: 1 - (2 + 1) / (2 + 4 - 2 + 1) = 2/5
    loss = JaccardLoss()(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2, dtype=torch.uint8))
    assert loss.item() == pytest.approx(2 / 5)


def test_a_false_positive_on_an_empty_mask_costs_its_share_of_the_image():
    # p = 1/2 at 4 of 4 pixels: sum p / N = 1/2
    loss = JaccardLoss()(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.uint8))
    assert loss.item() == pytest.approx(1 / 2)


def test_jaccard_follows_from_dice():
    # one image and structure without smooth: J = D / (2 - D)
    logits, mask, _ = random_case(structures=1)
    one = logits[:1], mask[:1]
    dice = 1 - DiceLoss(smooth=1e-12)(*one)
    torch.testing.assert_close(1 - JaccardLoss(smooth=1e-12)(*one), dice / (2 - dice))
