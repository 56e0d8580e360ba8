"""Keras's default initial weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from lungseg.models.glorot import init_glorot


@pytest.mark.parametrize(
    ("layer", "fans"),
    [
        # Keras: kernel area x input channels + kernel area x output channels
        pytest.param(nn.Conv2d(8, 16, 3), 9 * 8 + 9 * 16, id="convolution"),
        pytest.param(nn.ConvTranspose2d(8, 16, 2), 4 * 8 + 4 * 16, id="transposed"),
        # a depthwise kernel is (3, 3, C, 1) in Keras: 9 C in, 9 out
        pytest.param(nn.Conv2d(64, 64, 3, groups=64), 9 * 64 + 9, id="depthwise"),
    ],
)
def test_weights_fill_the_interval_of_glorot_uniform(layer, fans):
    torch.manual_seed(0)
    init_glorot(layer)
    bound = math.sqrt(6 / fans)
    assert layer.weight.abs().max() <= bound
    assert layer.weight.abs().max() > 0.97 * bound  # of at least 512 numbers, some come near the end
    # a uniform distribution on (-b, b) has the standard deviation b / sqrt(3)
    assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    assert not layer.bias.any()


def test_other_layers_stay():
    norm = nn.BatchNorm2d(3)
    init_glorot(nn.Sequential(norm, nn.Conv2d(3, 3, 1, bias=False)))
    assert norm.weight.tolist() == [1, 1, 1]
