"""The decoder of the Keras U-Nets."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lungseg.models.tap_decoder import TapDecoder


def test_parameters_of_one_level_are_those_of_its_layers():
    # transposed 5 x 4 x 2 x 2 + 4 = 84; Conv3x3 (4 + 3) x 4 x 9 + 4 = 256; Conv3x3 4 x 4 x 9 + 4 = 148; two BN of 8
    assert sum(p.numel() for p in TapDecoder(5, (3,), channels=(4,)).parameters()) == 84 + 256 + 148 + 16


def test_each_level_doubles_the_size_and_takes_its_skip():
    decoder = TapDecoder(4, (3, 2), channels=(6, 5))
    shapes = []
    for merge in decoder.merges:
        merge.register_forward_hook(lambda _m, i, o: shapes.append((tuple(i[0].shape[1:]), tuple(o.shape[1:]))))
    decoder(torch.zeros(1, 4, 2, 3), [torch.zeros(1, 3, 4, 6), torch.zeros(1, 2, 8, 12)])
    assert shapes == [((6 + 3, 4, 6), (6, 4, 6)), ((5 + 2, 8, 12), (5, 8, 12))]


def test_layers_are_convolution_batch_norm_relu_twice():
    (merge,) = TapDecoder(2, (1,), channels=(2,)).merges
    assert [type(layer) for layer in merge] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 2


@pytest.mark.parametrize(("momentum", "expected"), [(None, 0.01), (0.1, 0.1)], ids=["keras", "given"])
def test_batch_norm_has_the_constants_of_keras(momentum, expected):
    norms = [
        m for m in TapDecoder(2, (1,), channels=(2,), bn_momentum=momentum).modules() if isinstance(m, nn.BatchNorm2d)
    ]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, expected)}


@pytest.mark.parametrize("channels", [(4,), (4, 0), (4, 4, 4)], ids=str)
def test_channels_that_do_not_fit_the_skips_are_refused(channels):
    with pytest.raises(ValueError, match=r"decoder_channels=\[4.*must be 2 channel counts"):
        TapDecoder(4, (3, 2), channels=channels)
