"""Binary cross-entropy of labels against hand arithmetic, an independent formula, and torch's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from lungseg.losses.bce_multilabel import BCEMultilabelLoss
from tests.losses.cases import class_case


def numpy_bce(logits, label, weights) -> float:
    p, t, images = 1 / (1 + np.exp(-logits.numpy())), label.numpy(), []
    for image in range(len(t)):
        values = [
            -(weights[c] * np.log(p[image, c]) if t[image, c] == 1 else np.log(1 - p[image, c]))
            for c in range(t.shape[1])
            if not np.isnan(t[image, c])
        ]
        if values:
            images.append(np.mean(values))
    return float(np.mean(images))


def test_labels_by_hand():
    # p = 3/4: -ln 3/4 where it is there, -ln 1/4 where it is not; the image of one known label counts as much
    logits = torch.full((2, 2), math.log(3))
    label = torch.tensor([[1.0, 0.0], [1.0, math.nan]])
    first, second = -(math.log(3 / 4) + math.log(1 / 4)) / 2, -math.log(3 / 4)
    assert BCEMultilabelLoss()(logits, label).item() == pytest.approx((first + second) / 2)


@pytest.mark.parametrize("weights", ["none", 2.0, [0.5, 2.0, 3.0]], ids=["equal", "one", "each"])
def test_value_is_that_of_an_independent_formula(weights):
    logits, label = class_case("multilabel")
    each = {"none": np.ones(3)}.get(weights) if isinstance(weights, str) else np.broadcast_to(weights, 3)
    loss = BCEMultilabelLoss(pos_weight=weights)
    assert loss(logits, label).item() == pytest.approx(numpy_bce(logits, label, each), rel=1e-10)
    assert torch.autograd.gradcheck(lambda x: loss(x, label), logits.requires_grad_())


def test_where_all_is_known_it_is_torchs():
    logits, label = class_case("multilabel")
    label = label.nan_to_num().double()
    weight = torch.tensor([4.0, 1.0, 0.25], dtype=torch.float64)
    loss = BCEMultilabelLoss(pos_weight="neg_pos", counts=[[2, 8], [5, 5], [8, 2]])
    expected = F.binary_cross_entropy_with_logits(logits, label, pos_weight=weight)
    torch.testing.assert_close(loss(logits, label), expected)


def test_weights_follow_the_loss_to_another_dtype_and_are_in_no_checkpoint():
    loss = BCEMultilabelLoss(pos_weight="sqrt", counts=[[2, 8]])
    assert loss.pos_weight.tolist() == [2]
    assert "pos_weight" in dict(loss.named_buffers())
    assert loss.state_dict() == {}
