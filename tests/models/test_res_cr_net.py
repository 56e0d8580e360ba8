"""Res-CR-Net: the paper's parameter counts, its blocks against plain loops, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lungseg.models import res_cr_net
from lungseg.models.res_cr_net import ResCRNet

SMALL = {"n_conv": 1, "filters": 2}


def counts(**arguments) -> tuple[int, int]:
    """Trainable parameters, and those with the running statistics of batch norm."""
    with torch.device("meta"):
        net = ResCRNet(**arguments)
    trainable = sum(p.numel() for p in net.parameters())
    return trainable, trainable + sum(b.numel() for name, b in net.named_buffers() if "running" in name)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({"num_classes": 2}, (47_189, 48_533), id="the-net-for-radiographs"),
        pytest.param({"num_classes": 2, "n_conv": 5}, (58_309, 59_941), id="five-blocks"),
        pytest.param({"num_classes": 2, "in_channels": 3}, (47_547, 48_891), id="colour"),
        pytest.param({"num_classes": 2, "n_lstm": 1}, (47_397, 48_741), id="lstm"),
        pytest.param(
            {"in_channels": 3, "num_classes": 4, "n_conv": 5, "n_lstm": 1}, (59_165, 60_797), id="the-paper's-59165"
        ),
        # head: 49 for one class
        pytest.param({}, (47_189 - 49, 48_533 - 49), id="one-sigmoid"),
        # a second LSTM block: 2 x 2 + 2 for its convolution, 2 x (48 x 2 + 8)
        pytest.param({"num_classes": 2, "n_lstm": 2}, (47_397 + 214, 48_741 + 214), id="two-lstms"),
        # with F = 16 and 83 = 9 + 25 + 49: stem 83 + 3 x 32 + 96 + 83 x 16 + 3 x 272 + 32 + 32 = 2,483;
        # block 32 + 2 x 83 x 16 + 6 x 272 + 96 + 272 + 32 = 4,720; head 34
        pytest.param({"num_classes": 2, "mode": "add"}, (21_397, 21_397 + 768), id="add"),
    ],
)
def test_parameter_counts_are_the_papers(arguments, expected):
    assert counts(**arguments) == expected


@pytest.mark.parametrize("classes", [1, 2, 3, 4, 5])
def test_lstm_head_has_145_parameters_for_each_class_and_16_more(classes):
    # in place of a head of 49 C
    difference = counts(num_classes=classes, n_lstm=1)[0] - counts(num_classes=classes)[0]
    assert difference == 145 * classes + 16 - 49 * classes


def test_pieces_are_the_papers():
    with torch.device("meta"):
        net = ResCRNet(num_classes=2)
    pieces = [sum(p.numel() for p in block.parameters()) for block in (*net.blocks, net.head)]
    assert pieces == [2_611, 11_120, 11_120, 11_120, 11_120, 98]


# ---- the arithmetic of a block, by plain loops over channels, rows and columns


def depthwise(x: np.ndarray, kernel: np.ndarray, dilation: int) -> np.ndarray:
    """Sum over the taps; taps beyond the edge count 0. x (C, H, W), kernel (C, k, k)."""
    out = np.zeros_like(x)
    _, height, width = x.shape
    half = kernel.shape[-1] // 2
    for i in range(height):
        for j in range(width):
            for u in range(-half, half + 1):
                for v in range(-half, half + 1):
                    row, column = i + u * dilation, j + v * dilation
                    if 0 <= row < height and 0 <= column < width:
                        out[:, i, j] += kernel[:, u + half, v + half] * x[:, row, column]
    return out


def pointwise(x: np.ndarray, conv: nn.Conv2d) -> np.ndarray:
    weight, bias = (p.detach().double().numpy() for p in (conv.weight, conv.bias))
    return np.tensordot(weight[:, :, 0, 0], x, axes=1) + bias[:, None, None]


def normalised(x: np.ndarray, norm: nn.BatchNorm2d) -> np.ndarray:
    mean, var, gamma, beta = (
        t.detach().double().numpy()[:, None, None]
        for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return gamma * (x - mean) / np.sqrt(var + 1e-3) + beta


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.1 * x)


def block_by_hand(block: nn.Module, x: np.ndarray, *, stem: bool, mode: str) -> np.ndarray:
    active = x if stem else leaky(normalised(x, block.before[0]))
    branches = []
    for (first, (norm, _), second), dilation in zip(block.branches, (1, 3, 5), strict=True):
        y = pointwise(
            depthwise(active, first.depthwise.weight.detach().double().numpy()[:, 0], dilation), first.pointwise
        )
        y = leaky(normalised(y, norm))
        y = depthwise(y, second.depthwise.weight.detach().double().numpy()[:, 0], dilation)
        branches.append(pointwise(y, second.pointwise))
    convolution, norm = block.shortcut
    shortcut = normalised(pointwise(x, convolution), norm)
    return shortcut + (np.concatenate(branches) if mode == "conc" else sum(branches))


def drawn(net: nn.Module) -> nn.Module:
    """The net with no bias, scale or statistic left at 0 or 1."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if "running" in name or name.endswith("bias") or value.ndim == 1:
                value.copy_(torch.rand(value.shape) + 0.5)
    return net.eval()


@pytest.mark.parametrize("mode", ["conc", "add"])
@pytest.mark.parametrize("in_channels", [1, 3])
def test_stem_and_block_are_those_of_the_paper(mode, in_channels):
    net = drawn(ResCRNet(in_channels=in_channels, mode=mode, **SMALL))
    image = torch.randn(1, in_channels, 5, 7)
    with torch.no_grad():
        stem = net.blocks[0](image)
        block = net.blocks[1](stem)
    by_hand = block_by_hand(net.blocks[0], image[0].double().numpy(), stem=True, mode=mode)
    np.testing.assert_allclose(stem[0].numpy(), by_hand, atol=1e-4)
    by_hand = block_by_hand(net.blocks[1], by_hand, stem=False, mode=mode)
    np.testing.assert_allclose(block[0].numpy(), by_hand, rtol=1e-4, atol=1e-4)


def test_logits_are_those_after_the_leaky_relu():
    net = drawn(ResCRNet(num_classes=3, **SMALL))
    with torch.no_grad():
        net.head[0].weight.normal_()
        image = torch.randn(1, 1, 5, 7)
        before = net.head[0](net.blocks[1](net.blocks[0](image)))
        assert before.min() < 0
        np.testing.assert_allclose(net(image).numpy(), leaky(before.numpy()), rtol=1e-6)


def test_lstm_block_adds_rows_and_columns_to_its_projection():
    net = drawn(ResCRNet(num_classes=2, n_lstm=1, **SMALL))
    x = torch.randn(1, 6, 5, 7)
    block = net.head[0]
    with torch.no_grad():
        z = block.project(x)
        turned = block.columns(z.transpose(2, 3)).transpose(2, 3)
        torch.testing.assert_close(block(x), z + block.rows(z) + turned)
        assert not torch.equal(turned, block.rows(z))
        np.testing.assert_allclose(z[0].numpy(), leaky(pointwise(x[0].double().numpy(), block.project[0])), rtol=1e-4)


# ---- the CPU's way of computing, against torch's own


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (5, 7), (15, 30), (16, 13)], ids=str)
@pytest.mark.parametrize("in_channels", [1, 3])
def test_cut_convolutions_give_the_logits_and_gradients_of_dilated_ones(monkeypatch, size, in_channels):
    torch.manual_seed(0)
    net = ResCRNet(in_channels=in_channels, num_classes=2, dropout=0.0, **SMALL).double()
    image = torch.randn(2, in_channels, *size, dtype=torch.float64)

    def logits_and_gradients() -> list[torch.Tensor]:
        net.zero_grad()
        logits = net(image)
        logits.square().sum().backward()
        return [logits.detach(), *(p.grad.clone() for p in net.parameters())]

    cut = logits_and_gradients()
    monkeypatch.setattr(res_cr_net, "_on_cpu", lambda x: False)
    for found, expected in zip(cut, logits_and_gradients(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


def test_exported_network_holds_dilated_convolutions():
    exported = torch.export.export(ResCRNet(**SMALL).eval(), (torch.zeros(1, 1, 9, 8),))
    dilations = [
        node.args[5]
        for node in exported.graph.nodes
        if node.target is torch.ops.aten.conv2d.default and len(node.args) > 5
    ]
    assert [5, 5] in dilations


def test_multiply_accumulates_are_counted_as_of_dilated_convolutions():
    from lungseg.models.cost import count_macs

    # stem: 83 + 3 x 2 + 2 x 83 + 3 x 4 + 6; head 6; times 100 pixels
    assert count_macs(ResCRNet(n_conv=0, filters=2), (10, 10)) == 100 * (83 + 6 + 166 + 12 + 6 + 6)


# ---- constants


def test_batch_norm_has_keras_constants():
    norms = [m for m in ResCRNet(**SMALL).modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 4 + 5  # three branches and the shortcut; one more before the block's branches
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.01, 1e-3)}


def test_momentum_of_batch_norm_reaches_every_layer():
    net = ResCRNet(bn_momentum=0.2, **SMALL)
    assert {m.momentum for m in net.modules() if isinstance(m, nn.BatchNorm2d)} == {0.2}


def test_depthwise_convolutions_have_no_bias_and_all_others_start_at_zero():
    net = ResCRNet(**SMALL)
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert all((m.bias is None) == (m.kernel_size != (1, 1)) for m in convolutions)
    assert not any(m.bias.any() for m in convolutions if m.bias is not None)


def test_whole_channels_are_dropped_after_every_block_the_stem_included():
    net = ResCRNet(num_classes=2, n_conv=2, n_lstm=1, filters=8, dropout=0.5)
    seen = []
    net.dropout.register_forward_hook(lambda _m, _i, out: seen.append(out.detach()))
    torch.manual_seed(0)
    net(torch.randn(2, 1, 6, 5))
    assert len(seen) == 3
    for out in seen:
        dropped = (out == 0).flatten(2)
        assert torch.equal(dropped.all(-1), dropped.any(-1))
        assert 0 < dropped.all(-1).float().mean() < 1


def test_no_dropout_in_evaluation():
    net = ResCRNet(num_classes=2, n_lstm=1, dropout=0.5, recurrent_dropout=0.5, **SMALL).eval()
    image = torch.randn(1, 1, 6, 5)
    assert torch.equal(net(image), net(image))


def test_every_block_keeps_the_size_of_the_image():
    net = ResCRNet(**SMALL).eval()
    seen = []
    for block in net.blocks:
        block.register_forward_hook(lambda _m, _i, out: seen.append(out.shape[2:]))
    net(torch.zeros(1, 1, 11, 7))
    assert seen == [(11, 7)] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_conv": -1}, "n_conv=-1"),
        ({"n_lstm": -1}, "n_lstm=-1"),
        ({"filters": 0}, "filters=0"),
        ({"kernels": [3, 4, 7]}, r"kernels=\[3, 4, 7\].*odd"),
        ({"dilations": [1, 3]}, r"dilations=\[1, 3\].*equally many"),
        ({"dilations": [0, 3, 5]}, r"dilations=\[0, 3, 5\]"),
        ({"mode": "concat"}, "mode='concat' is not one of conc, add"),
        ({"dropout": 1.0}, "dropout=1.0 is a probability"),
        ({"n_lstm": 1, "recurrent_dropout": -0.1}, "recurrent_dropout=-0.1 is a probability"),
        ({"bn_momentum": 0}, "bn_momentum=0 is the weight of the newest batch"),
        ({"in_channels": 0}, "in_channels=0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResCRNet(**arguments)
