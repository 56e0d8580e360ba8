"""The Keras notebook's U-Net: its parameter counts, its pass against plain calls, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from lungseg.models.unet_keras import UNetKeras
from tests.models.plain import Plain, drawn, up


def counts(**arguments) -> tuple[int, int]:
    """Trainable parameters, and those with the running statistics of batch norm."""
    with torch.device("meta"):
        net = UNetKeras(**arguments)
    trainable = sum(p.numel() for p in net.parameters())
    return trainable, trainable + sum(b.numel() for name, b in net.named_buffers() if "running" in name)


@pytest.mark.parametrize("batch_norm", [True, False], ids=["bn", "no-bn"])
@pytest.mark.parametrize(
    ("n_filters", "with_bn", "without"),
    [(8, 541_545, 540_073), (16, 2_161_361, 2_158_417), (32, 8_635_809, 8_629_921), (64, 34_523_969, 34_512_193)],
)
def test_parameter_counts_are_the_papers(n_filters, with_bn, without, batch_norm):
    # a batch norm has as many running values as parameters
    expected = (with_bn, 2 * with_bn - without) if batch_norm else (without, without)
    assert counts(n_filters=n_filters, batch_norm=batch_norm) == expected


def test_the_notebooks_slip_leaves_one_convolution_in_each_block():
    assert counts(single_conv_bug=True) == (1_177_649, 1_179_121)


def test_without_the_bottleneck_the_decoder_begins_at_its_own_width():
    # less 128 -> 256 and 256 -> 256 with batch norm; the first transposed convolution reads 128 channels, not 256
    block = 9 * 128 * 256 + 9 * 256 * 256 + 2 * 256 + 4 * 256
    assert counts(bottleneck=False)[0] == 2_161_361 - block - 9 * 128 * 128


@pytest.mark.parametrize("bottleneck", [True, False], ids=["bottleneck", "none"])
@pytest.mark.parametrize("bug", [False, True], ids=["two", "one-convolution"])
def test_logits_are_those_of_plain_calls(bottleneck, bug):
    torch.manual_seed(0)
    net = drawn(UNetKeras(n_filters=2, num_classes=2, bottleneck=bottleneck, single_conv_bug=bug))
    image = torch.randn(1, 1, 32, 16)
    plain = Plain(net)
    block = (1,) if bug else (1, 1)
    with torch.no_grad():
        x, skips = image, []
        for _ in range(4):
            skips.append(plain(x, *block))
            x = F.max_pool2d(skips[-1], 2)
        if bottleneck:
            x = plain(x, *block)
        ups = [plain.pair() for _ in range(4)]
        for weights, skip in zip(ups, reversed(skips), strict=True):
            x = plain(torch.cat((up(x, *weights), skip), dim=1), *block)
        torch.testing.assert_close(net(image), F.conv2d(x, *plain.pair()))
    assert plain.done()


def test_single_values_are_dropped_after_each_pooling_and_each_concatenation():
    net = UNetKeras(n_filters=2, dropout=0.5)
    seen = []
    net.dropout.register_forward_hook(lambda _m, x, out: seen.append((x[0].shape[1:], (out == 0) & (x[0] != 0))))
    net(torch.randn(2, 1, 32, 32))
    assert [shape for shape, _ in seen] == [
        (2, 16, 16), (4, 8, 8), (8, 4, 4), (16, 2, 2), (32, 4, 4), (16, 8, 8), (8, 16, 16), (4, 32, 32)
    ]  # fmt: skip
    dropped = seen[-1][1].flatten(2).float().mean(-1)
    assert 0 < dropped.min() < dropped.max() < 1  # no channel as a whole


def test_padding_repeats_the_last_row_and_column_to_a_multiple_of_16():
    net = UNetKeras(n_filters=2).eval()
    image = torch.randn(1, 1, 30, 17)
    padded = F.pad(image, (0, 15, 0, 2), mode="replicate")
    torch.testing.assert_close(net(image), net(padded)[..., :30, :17])


def test_weights_are_he_normal_but_for_the_layers_that_name_no_initialiser():
    torch.manual_seed(0)
    net = UNetKeras(n_filters=16)
    assert net.bottleneck[3].weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 256)), rel=0.02)
    for layer, bound in ((net.ups[0], math.sqrt(6 / (9 * 256 + 9 * 128))), (net.output, math.sqrt(6 / 17))):
        assert 0.8 * bound < layer.weight.abs().max().item() <= bound
    assert not any(m.bias.any() for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))


def test_momentum_of_batch_norm_reaches_every_layer():
    found = {m.momentum for m in UNetKeras(n_filters=2, bn_momentum=0.2).modules() if isinstance(m, nn.BatchNorm2d)}
    assert found == {0.2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_filters": 0}, "n_filters=0"),
        ({"dropout": 1.0}, "dropout=1.0 is a probability"),
        ({"bn_momentum": 0}, "bn_momentum=0"),
        ({"in_channels": 0}, "in_channels=0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        UNetKeras(**arguments)
