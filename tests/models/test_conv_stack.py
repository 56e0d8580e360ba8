"""What the networks of the COVID-19 segmentation paper share."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lungseg.models.conv_stack import check_widths, conv_stack


def test_each_convolution_is_normalised_and_cut_off_below_zero():
    stack = conv_stack(3, 5, batch_norm=True, bn_momentum=0.2)
    assert [type(layer) for layer in stack] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 2
    assert [(layer.in_channels, layer.out_channels) for layer in stack[::3]] == [(3, 5), (5, 5)]
    assert {(layer.momentum, layer.eps) for layer in stack[1::3]} == {(0.2, 1e-3)}


def test_batch_norm_can_be_left_out():
    stack = conv_stack(3, 5, batch_norm=False, bn_momentum=0.2)
    assert [type(layer) for layer in stack] == [nn.Conv2d, nn.ReLU] * 2


@pytest.mark.parametrize("dilations", [(1,), (1, 1, 1), (4, 6)], ids=str)
def test_there_is_a_convolution_for_each_dilation_and_the_size_stays(dilations):
    stack = conv_stack(1, 2, dilations=dilations, batch_norm=True, bn_momentum=0.2)
    assert tuple(layer.dilation[0] for layer in stack if isinstance(layer, nn.Conv2d)) == dilations
    assert stack(torch.zeros(2, 1, 5, 7)).shape == (2, 2, 5, 7)


@pytest.mark.parametrize(
    ("n_filters", "dropout", "message"),
    [(0, 0.1, "n_filters=0"), (8, 1.0, "dropout=1.0 is a probability"), (8, -0.1, "dropout=-0.1")],
)
def test_arguments_out_of_range_are_refused(n_filters, dropout, message):
    with pytest.raises(ValueError, match=message):
        check_widths(n_filters, dropout)
