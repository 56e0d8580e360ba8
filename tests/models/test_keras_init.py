"""Keras's initial weights: fans, spread and cut."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import truncnorm
from torch import nn

from lungseg.models.keras_init import he_normal_, init_as_keras, keras_fan_in


@pytest.mark.parametrize(
    ("convolution", "fan_in"),
    [
        pytest.param(nn.Conv2d(4, 8, 3), 36, id="plain"),  # 3 x 3 x 4
        pytest.param(nn.Conv2d(4, 8, (1, 5)), 20, id="oblong"),
        pytest.param(nn.Conv2d(4, 4, 3, groups=4), 36, id="depthwise-counts-all-channels"),
        pytest.param(nn.Conv2d(4, 8, 3, groups=2), 18, id="grouped"),  # 3 x 3 x 2
        pytest.param(nn.Conv2d(1, 16, 7), 49, id="grey"),
    ],
)
def test_fan_in_is_kernel_area_times_channels(convolution, fan_in):
    assert keras_fan_in(convolution) == fan_in


def test_he_normal_is_cut_at_two_standard_deviations_and_spread_as_he_says_after_the_cut():
    torch.manual_seed(0)
    weight = he_normal_(torch.empty(100_000), 50)
    assert weight.std().item() == pytest.approx(0.2, rel=0.01)  # sqrt(2 / 50)
    uncut = 0.2 / truncnorm(-2, 2).std()
    assert 1.99 * uncut < weight.abs().max().item() <= 2 * uncut


def test_convolutions_get_he_normal_transposed_ones_glorot_uniform_and_biases_zero():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(8, 64, 3), nn.ConvTranspose2d(64, 32, 3), nn.BatchNorm2d(32))
    init_as_keras(net)
    assert net[0].weight.std().item() == pytest.approx(math.sqrt(2 / 72), rel=0.05)
    bound = math.sqrt(6 / (9 * 64 + 9 * 32))
    assert 0.99 * bound < net[1].weight.abs().max().item() <= bound
    assert not net[0].bias.any()
    assert not net[1].bias.any()
    assert torch.equal(net[2].weight, torch.ones(32))


def test_depthwise_kernels_are_narrower_than_torch_would_draw_them():
    torch.manual_seed(0)
    convolution = nn.Conv2d(48, 48, 7, groups=48)
    init_as_keras(convolution)
    # sqrt(2 / (7 x 7 x 48)), not sqrt(2 / 49)
    assert convolution.weight.std().item() == pytest.approx(0.02916, rel=0.05)
