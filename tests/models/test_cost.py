"""Multiply-accumulates by hand."""

from __future__ import annotations

import torch
from torch import nn

from lungseg.models.cost import count_macs
from lungseg.models.resunet import ResUNet


class Net(nn.Module):
    """Takes three channels, as it says."""

    in_channels = 3

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 5, padding=2, groups=8)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)

    def forward(self, image):
        return self.up(self.depthwise(self.down(image)))


def test_strides_groups_and_transposed_convolutions_are_counted():
    # 6 x 4 outputs x 8 x 3 x 9; 6 x 4 x 8 x 25; 6 x 4 inputs x 8 x 4 x 4
    assert count_macs(Net(), (12, 8)) == 24 * 8 * 27 + 24 * 8 * 25 + 24 * 8 * 4 * 4


def test_the_network_is_left_as_it_is():
    net = ResUNet(features=(4, 8)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert count_macs(net, (16, 16)) > 0
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


class Asks(nn.Module):
    """Looks at the numbers of its input."""

    def forward(self, image):
        return image if image.sum().item() > 0 else -image


def test_a_network_that_looks_at_numbers_has_no_count():
    assert count_macs(Asks(), (8, 8)) is None
