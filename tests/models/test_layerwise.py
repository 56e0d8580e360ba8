"""Learning rates by layer: their values, that schedulers keep their proportions, and what is refused."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from lungseg.models.layerwise import Layerwise


def layers(n: int = 3) -> list[list[nn.Parameter]]:
    return [list(nn.Linear(2, 2).parameters()) for _ in range(n)]


def test_the_rate_falls_from_the_last_layer_to_the_first():
    net = layers()
    groups = Layerwise(optimizer=Adam, lr=0.1, decay=0.5)(net).param_groups
    assert [group["lr"] for group in groups] == [0.1, 0.05, 0.025]
    assert [group["params"] for group in groups] == net[::-1]


def test_other_settings_of_the_optimiser_are_those_of_all_layers():
    optimizer = Layerwise(optimizer=partial(Adam, weight_decay=0.3), lr=0.1)(layers())
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.3}


def test_a_step_moves_each_layer_by_its_rate():
    net = layers()
    before = [[p.detach().clone() for p in layer] for layer in net]
    optimizer = Layerwise(optimizer=SGD, lr=1.0, decay=0.1)(net)
    sum(p.sum() for layer in net for p in layer).backward()  # all gradients are 1
    optimizer.step()
    for layer, old, moved in zip(net, before, (0.01, 0.1, 1.0), strict=True):
        for now, was in zip(layer, old, strict=True):
            torch.testing.assert_close(was - now, torch.full_like(was, moved))


def test_a_scheduler_down_to_0_keeps_the_proportions():
    optimizer = Layerwise(optimizer=SGD, lr=0.1, decay=0.5)(layers())
    scheduler = CosineAnnealingLR(optimizer, T_max=4)
    for _ in range(2):
        optimizer.step()
        scheduler.step()
    # half-way down a cosine to 0: half of each
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.025, 0.0125])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0}, "lr=0 must be positive"),
        ({"decay": 0}, "decay=0 "),
        ({"decay": 1.5}, r"decay=1\.5 "),
        ({"optimizer": partial(Adam, lr=0.1)}, r"optimizer\.optimizer\.lr is set by optimizer\.lr"),
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Layerwise(**{"optimizer": Adam, **arguments})
