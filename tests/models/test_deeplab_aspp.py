"""The network with an atrous pyramid: its parameter counts, its pass against plain calls, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from lungseg.models.deeplab_aspp import DeepLabASPP
from tests.models.plain import Plain, drawn, up


def count(**arguments) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in DeepLabASPP(**arguments).parameters())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({"n_filters": 8}, 144_761, id="8"),
        pytest.param({}, 576_369, id="16"),
        pytest.param({"n_filters": 32}, 2_300_129, id="32"),
        pytest.param({"n_filters": 64}, 9_189_825, id="64"),
        pytest.param({"batch_norm": False}, 574_769, id="no-bn"),
        pytest.param({"branches": "chained"}, 576_369, id="chained"),
        pytest.param({"rates": [[1, 1], [6, 6], [12, 12], [18, 18]]}, 576_369, id="rates-cost-nothing"),
        pytest.param({"aspp_filters": 32}, 317_553, id="narrow-pyramid"),
        pytest.param({"aspp_filters": 128}, 1_315_185, id="wide-pyramid"),
        # chained, three blocks read 32 channels, not 64: 3 x 9 x 32 x 32 fewer
        pytest.param({"aspp_filters": 32, "branches": "chained"}, 317_553 - 27_648, id="narrow-chained"),
    ],
)
def test_parameter_counts_are_the_papers(arguments, expected):
    assert count(**arguments) == expected


@pytest.mark.parametrize("branches", ["parallel", "chained"])
def test_logits_are_those_of_plain_calls(branches):
    torch.manual_seed(0)
    rates = ((1, 2), (4, 6), (8, 12), (16, 18))
    net = drawn(DeepLabASPP(n_filters=2, num_classes=2, branches=branches))
    image = torch.randn(1, 1, 160, 16)  # a map of 20 x 2: every rate reaches a pixel
    plain = Plain(net)
    with torch.no_grad():
        x = F.max_pool2d(plain(image, 1, 1), 2)
        x = F.max_pool2d(plain(x, 1, 1), 2)
        x = F.max_pool2d(plain(x, 1, 1, 1), 2)
        found = []
        for pair in rates:
            found.append(plain(found[-1] if found and branches == "chained" else x, *pair))
        x = torch.cat(found, dim=1)
        for _ in range(3):
            x = F.relu(up(x, *plain.pair()))
        torch.testing.assert_close(net(image), F.conv2d(x, *plain.pair()))
    assert plain.done()


def test_a_rate_beyond_the_map_leaves_the_middle_tap():
    torch.manual_seed(0)
    net = DeepLabASPP(n_filters=2, rates=[[16]], batch_norm=False)
    x = torch.randn(1, 8, 16, 16)
    convolution = net.pyramid[0][0]
    middle = F.conv2d(x, convolution.weight[:, :, 1:2, 1:2], convolution.bias)
    torch.testing.assert_close(net.pyramid[0](x), middle.relu())


def test_single_values_are_dropped_after_pooling_and_enlarging():
    net = DeepLabASPP(n_filters=2, dropout=0.5)
    shapes = []
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            assert module.p == 0.5
            module.register_forward_hook(lambda _m, x, _o: shapes.append(tuple(x[0].shape[1:])))
    net(torch.randn(2, 1, 16, 16))
    assert shapes == [(2, 8, 8), (4, 4, 4), (8, 2, 2), (8, 4, 4), (4, 8, 8), (2, 16, 16)]


def test_momentum_of_batch_norm_reaches_every_layer():
    net = DeepLabASPP(n_filters=2, bn_momentum=0.2)
    assert {m.momentum for m in net.modules() if isinstance(m, nn.BatchNorm2d)} == {0.2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rates": []}, r"rates=\[\] must be one or more blocks"),
        ({"rates": [[1, 2], []]}, r"rates=\[\[1, 2\], \[\]\]"),
        ({"rates": [[1, 0]]}, r"rates=\[\[1, 0\]\]"),
        ({"branches": "serial"}, "branches='serial' is not one of parallel, chained"),
        ({"aspp_filters": 0}, "aspp_filters=0 must be at least 1, or null"),
        ({"n_filters": 0}, "n_filters=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"bn_momentum": 2}, "bn_momentum=2"),
        ({"num_classes": 0}, "num_classes=0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DeepLabASPP(**arguments)
