"""Cross-entropy plus soft Jaccard: the sum, and what reaches which term."""

from __future__ import annotations

import pytest
import torch

from lungseg.losses.bce import BCELoss
from lungseg.losses.bce_jaccard import BCEJaccardLoss
from lungseg.losses.jaccard import JaccardLoss
from tests.losses.cases import random_case


def test_both_terms_are_weighted_and_get_their_arguments():
    logits, mask, valid = random_case()
    mask[0] = 0
    loss = BCEJaccardLoss(
        bce_weight=2,
        jaccard_weight=3,
        smooth=0.5,
        per_image=False,
        empty="ignore",
        pos_weight=1.5,
        label_smoothing=0.1,
    )
    bce = BCELoss(pos_weight=1.5, label_smoothing=0.1)(logits, mask, valid)
    jaccard = JaccardLoss(smooth=0.5, per_image=False, empty="ignore")(logits, mask, valid)
    torch.testing.assert_close(loss(logits, mask, valid), 2 * bce + 3 * jaccard)


def test_by_hand():
    # 4 pixels, p = 1/2, all in the mask: ln 2 + 1 - (2 + 1) / (2 + 4 - 2 + 1)
    loss = BCEJaccardLoss()(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2, dtype=torch.uint8))
    assert loss.item() == pytest.approx(0.693147 + 0.4, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"smooth": 0}, "smooth=0"),
        ({"jaccard_weight": -1}, "jaccard_weight=-1"),
        ({"bce_weight": 0, "jaccard_weight": 0}, "not both 0"),
        ({"empty": "none"}, "empty=none"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BCEJaccardLoss(**arguments)


def test_a_softmax_is_refused():
    with pytest.raises(ValueError, match=r"task\.activation=sigmoid"):
        BCEJaccardLoss()(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, 1, dtype=torch.uint8))
