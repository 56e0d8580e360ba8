"""The classic U-Net: the paper's parameter counts, its levels against plain calls, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from lungseg.models.unet import UNet
from tests.models.plain import Plain, drawn

SMALL = (2, 3)


def counts(**arguments) -> tuple[int, int]:
    """Trainable parameters, and those with the running statistics of batch norm."""
    with torch.device("meta"):
        net = UNet(**arguments)
    trainable = sum(p.numel() for p in net.parameters())
    return trainable, trainable + sum(b.numel() for name, b in net.named_buffers() if "running" in name)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({"in_channels": 3}, (31_043_521, 31_055_297), id="paper"),
        # two planes less in each of 64 filters of 9
        pytest.param({}, (31_043_521 - 1_152, 31_055_297 - 1_152), id="grey"),
        # 64 weights and a bias for each further class
        pytest.param({"in_channels": 3, "num_classes": 5}, (31_043_521 + 260, 31_055_297 + 260), id="five-classes"),
    ],
)
def test_parameter_counts_are_the_papers(arguments, expected):
    assert counts(**arguments) == expected


def test_levels_halve_by_pooling_and_come_back():
    net = UNet(features=(4, 8, 16))
    sizes = []
    for module in (*net.levels, net.bridge, *net.decoder.merges):
        module.register_forward_hook(lambda _m, _i, out: sizes.append(tuple(out.shape[1:])))
    net(torch.zeros(2, 1, 32, 16))
    down = [(4, 32, 16), (8, 16, 8), (16, 8, 4), (32, 4, 2)]
    assert sizes == down + down[-2::-1]


def test_logits_are_those_of_plain_calls():
    torch.manual_seed(0)
    net = drawn(UNet(features=SMALL, num_classes=2))
    image = torch.randn(1, 1, 8, 12)
    plain = Plain(net)
    with torch.no_grad():
        fine = plain(image, 1, 1)
        middle = plain(F.max_pool2d(fine, 2), 1, 1)
        coarse = plain(F.max_pool2d(middle, 2), 1, 1)
        ups = [plain.pair() for _ in SMALL]
        x = plain(torch.cat((F.conv_transpose2d(coarse, *ups[0], stride=2), middle), dim=1), 1, 1)
        x = plain(torch.cat((F.conv_transpose2d(x, *ups[1], stride=2), fine), dim=1), 1, 1)
        torch.testing.assert_close(net(image), F.conv2d(x, *plain.pair()))
    assert plain.done()


def test_padding_repeats_the_last_row_and_column():
    net = UNet(features=SMALL).eval()
    image = torch.randn(1, 1, 7, 6)
    padded = F.pad(image, (0, 2, 0, 1), mode="replicate")
    torch.testing.assert_close(net(image), net(padded)[..., :7, :6])


def test_weights_and_batch_norm_are_as_keras_draws_and_sets_them():
    torch.manual_seed(0)
    net = UNet(features=(16, 32))
    weight = net.levels[1][0].weight  # 16 -> 32
    bound = math.sqrt(6 / (9 * 16 + 9 * 32))
    assert 0.99 * bound < weight.abs().max().item() <= bound
    assert all(not m.bias.any() for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 10  # two at each of two levels, the bridge, and two levels
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.01, 1e-3)}


def test_momentum_of_batch_norm_reaches_every_layer():
    net = UNet(features=SMALL, bn_momentum=0.2)
    assert {m.momentum for m in net.modules() if isinstance(m, nn.BatchNorm2d)} == {0.2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": []}, r"features=\[\]"),
        ({"features": [8, 0]}, r"features=\[8, 0\]"),
        ({"bn_momentum": 0}, r"bn_momentum=0 is the weight of the newest batch"),
        ({"bn_momentum": 1.5}, r"bn_momentum=1.5 is the weight"),
        ({"in_channels": 0}, r"in_channels=0"),
        ({"num_classes": 0}, r"num_classes=0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        UNet(**arguments)
