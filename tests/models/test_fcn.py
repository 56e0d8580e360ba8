"""The fully convolutional network: its parameter counts, its pass against plain calls, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from lungseg.models.fcn import FCN
from tests.models.plain import Plain, drawn, up


def count(**arguments) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in FCN(**arguments).parameters())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({"n_filters": 8}, 29_961, id="8"),
        pytest.param({}, 118_673, id="16"),
        pytest.param({"n_filters": 32}, 472_353, id="32"),
        pytest.param({"n_filters": 64}, 1_884_737, id="64"),
        pytest.param({"batch_norm": False}, 118_033, id="no-bn"),
        pytest.param({"deconv_kernel": 2}, 105_873, id="2x2-transposed"),
        pytest.param({"widths": [1, 2, 4, 4, 4]}, 294_385, id="wide-decoder"),
    ],
)
def test_parameter_counts_are_the_papers(arguments, expected):
    assert count(**arguments) == expected


@pytest.mark.parametrize("widths", [(1, 2, 4, 2, 1), (1, 2, 4, 4, 4)], ids=str)
def test_logits_are_those_of_plain_calls(widths):
    torch.manual_seed(0)
    net = drawn(FCN(n_filters=2, num_classes=2, widths=widths))
    image = torch.randn(1, 1, 8, 12)
    plain = Plain(net)
    with torch.no_grad():
        x = F.max_pool2d(plain(image, 1, 1), 2)
        x = F.max_pool2d(plain(x, 1, 1), 2)
        x = F.relu(up(plain(x, 1, 1), *plain.pair()))
        x = F.relu(up(plain(x, 1, 1), *plain.pair()))
        x = F.conv2d(plain(x, 1, 1), *plain.pair())
        torch.testing.assert_close(net(image), x)
    assert plain.done()


def test_single_values_are_dropped_after_pooling_and_enlarging():
    net = FCN(n_filters=2, dropout=0.5)
    shapes = []
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            assert module.p == 0.5
            module.register_forward_hook(lambda _m, x, _o: shapes.append(tuple(x[0].shape[1:])))
    net(torch.randn(2, 1, 8, 8))
    assert shapes == [(2, 4, 4), (4, 2, 2), (4, 4, 4), (2, 8, 8)]


def test_momentum_of_batch_norm_reaches_every_layer():
    found = {m.momentum for m in FCN(n_filters=2, bn_momentum=0.2).modules() if isinstance(m, nn.BatchNorm2d)}
    assert found == {0.2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": [1, 2, 4]}, r"widths=\[1, 2, 4\] must be five"),
        ({"widths": [1, 2, 0, 2, 1]}, r"widths=\[1, 2, 0, 2, 1\]"),
        ({"deconv_kernel": 1}, "deconv_kernel=1"),
        ({"n_filters": 0}, "n_filters=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"bn_momentum": 2}, "bn_momentum=2"),
        ({"num_classes": 0}, "num_classes=0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FCN(**arguments)
