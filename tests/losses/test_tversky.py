"""The Tversky loss against hand arithmetic and the two losses it contains."""

from __future__ import annotations

import pytest
import torch

from lungseg.losses.dice import DiceLoss
from lungseg.losses.jaccard import JaccardLoss
from lungseg.losses.tversky import TverskyLoss
from tests.losses.cases import random_case


@pytest.mark.parametrize(
    ("claimed", "expected"),
    [
        pytest.param([1, 1, 1, 0], 0.3 / 2.3, id="false-positive"),  # 1 - 2 / (2 + 0.3)
        pytest.param([1, 0, 0, 0], 0.7 / 1.7, id="false-negative"),  # 1 - 1 / (1 + 0.7)
        pytest.param([1, 1, 0, 0], 0.0, id="perfect"),
    ],
)
def test_errors_weigh_as_asked(claimed, expected):
    logits = 60 * (2 * torch.tensor(claimed).float() - 1).view(1, 1, 1, 4)
    mask = torch.tensor([1, 1, 0, 0], dtype=torch.uint8).view(1, 1, 1, 4)
    assert TverskyLoss(smooth=1e-9)(logits, mask).item() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("empty", ["penalise", "ignore", "formula"])
@pytest.mark.parametrize("per_image", [True, False], ids=["per-image", "pooled"])
def test_dice_and_jaccard_are_special_cases(empty, per_image):
    logits, mask, valid = random_case()
    mask[0] = 0
    mask[:, 1] = 0
    options = {"per_image": per_image, "empty": empty}
    dice = TverskyLoss(alpha=0.5, beta=0.5, smooth=1, **options)
    torch.testing.assert_close(dice(logits, mask, valid), DiceLoss(smooth=2, **options)(logits, mask, valid))
    jaccard = TverskyLoss(alpha=1, beta=1, smooth=1, **options)
    torch.testing.assert_close(jaccard(logits, mask, valid), JaccardLoss(smooth=1, **options)(logits, mask, valid))
