"""ResUNet: the paper's parameter counts, its sizes, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lungseg.models.resunet import ResUNet

SMALL = (4, 8, 16)


def parameters(**arguments) -> int:
    with torch.device("meta"):  # 13 million numbers need not be drawn to be counted
        return sum(p.numel() for p in ResUNet(**arguments).parameters())


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        pytest.param({}, 13_043_009, id="paper"),
        pytest.param({"dropout": 0.5}, 13_043_009, id="dropout-adds-none"),
        # two more numbers for each of 64 channels
        pytest.param({"init_skip": "conv_bn"}, 13_043_009 + 2 * 64, id="init-conv_bn"),
        # a batch norm (128) and a convolution of 64 x 64 x 9 + 64 more
        pytest.param({"init_skip": "same"}, 13_043_009 + 128 + 36_928, id="init-same"),
        pytest.param({"res_skip": "bn_conv3"}, 13_043_905, id="res-bn_conv3"),
        pytest.param({"res_skip": "conv1_bn"}, 9_602_369, id="res-conv1_bn"),
        pytest.param({"res_skip": "bn_conv1"}, 9_603_265, id="res-bn_conv1"),
    ],
)
def test_parameter_count_with_three_channels_is_the_papers(arguments, count):
    assert parameters(in_channels=3, **arguments) == count


@pytest.mark.parametrize("init_skip", ["conv", "conv_bn", "same"])
@pytest.mark.parametrize("res_skip", ["conv3_bn", "bn_conv3", "conv1_bn", "bn_conv1"])
def test_one_channel_saves_two_planes_of_the_two_first_convolutions(init_skip, res_skip):
    # 2 convolutions x 2 channels x 64 filters x 9 = 2,304; the paper's 13,043,009 become 13,040,705
    variant = {"init_skip": init_skip, "res_skip": res_skip}
    assert parameters(in_channels=3, **variant) - parameters(in_channels=1, **variant) == 2_304


def test_one_channel_default_has_13040705_parameters():
    assert parameters() == 13_040_705


def test_batch_norm_keeps_9088_running_values():
    with torch.device("meta"):
        buffers = dict(ResUNet(in_channels=3).named_buffers())
    assert sum(b.numel() for name, b in buffers.items() if "running" in name) == 9_088


def test_each_further_class_costs_one_1x1_filter():
    # 64 weights and a bias
    assert parameters(num_classes=5) - parameters(num_classes=1) == 4 * 65


def test_levels_halve_and_come_back_with_twice_the_channels():
    net = ResUNet(features=SMALL)
    sizes = []
    for module in (net.initial, *net.downs, *net.merges):
        module.register_forward_hook(lambda _m, _i, out: sizes.append(tuple(out.shape[1:])))
    net(torch.zeros(1, 1, 32, 16))
    down = [(4, 32, 16), (8, 16, 8), (16, 8, 4), (32, 4, 2)]
    assert sizes == down + down[-2::-1]


def test_initial_block_is_the_sum_of_main_and_skip_with_nothing_after():
    net = ResUNet(features=SMALL).eval()
    x = torch.randn(1, 1, 8, 8)
    out = net.initial(x)
    torch.testing.assert_close(out, net.initial.main(x) + net.initial.skip(x))
    assert out.min() < 0  # a ReLU after the sum would leave none


def test_input_of_the_inplace_relu_is_not_overwritten_for_the_skip():
    # BN comes first and makes a new tensor, so main() must leave x as it is
    net = ResUNet(features=SMALL).eval()
    x = torch.randn(1, 4, 8, 8)
    before = x.clone()
    net.downs[0](x)
    assert torch.equal(x, before)


def test_a_grey_image_is_repeated_to_three_channels():
    net = ResUNet(in_channels=3, features=SMALL).eval()
    grey = torch.randn(1, 1, 16, 16)
    torch.testing.assert_close(net(grey), net(grey.repeat(1, 3, 1, 1)))


def test_padding_repeats_the_last_row_and_column():
    net = ResUNet(features=SMALL).eval()
    image = torch.randn(1, 1, 15, 14)
    padded = torch.cat((image, image[..., -1:], image[..., -1:]), dim=3)
    padded = torch.cat((padded, padded[..., -1:, :]), dim=2)
    torch.testing.assert_close(net(image), net(padded)[..., :15, :14])


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (8, 9), (17, 31)])
def test_any_size_comes_back(size):
    assert ResUNet(features=SMALL).eval()(torch.zeros(1, 1, *size)).shape == (1, 1, *size)


def test_dropout_drops_whole_channels_of_the_bridge_in_training_only():
    net = ResUNet(features=SMALL, dropout=0.5)
    seen = []
    net.dropout.register_forward_hook(lambda _m, _i, out: seen.append(out))
    torch.manual_seed(0)
    net(torch.randn(2, 1, 16, 16))
    dropped = (seen[0] == 0).flatten(2)
    assert torch.equal(dropped.all(-1), dropped.any(-1))
    assert 0 < dropped.all(-1).float().mean() < 1
    net.eval()(torch.randn(2, 1, 16, 16))
    assert not (seen[1] == 0).flatten(2).all(-1).any()


def test_no_dropout_draws_no_random_number():
    net = ResUNet(features=SMALL)
    before = torch.get_rng_state()
    net(torch.zeros(2, 1, 8, 8))
    assert torch.equal(torch.get_rng_state(), before)


def test_all_convolutions_have_a_bias():
    with torch.device("meta"):
        net = ResUNet()
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    # initial 3, three downs and three merges of 3 each, 3 transposed, 1 output
    assert len(convolutions) == 3 + 6 * 3 + 3 + 1
    assert all(m.bias is not None for m in convolutions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"init_skip": "cnv"}, r"init_skip='cnv' is not one of conv, conv_bn, same"),
        ({"res_skip": "conv"}, r"res_skip='conv' is not one of conv3_bn"),
        ({"dropout": 1.0}, r"dropout=1.0 is a probability"),
        ({"features": []}, r"features=\[\]"),
        ({"features": [8, 0]}, r"features=\[8, 0\]"),
        ({"in_channels": 0}, r"in_channels=0"),
        ({"num_classes": 0}, r"num_classes=0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResUNet(**arguments)


@pytest.mark.parametrize(("in_channels", "channels"), [(1, 3), (3, 2)])
def test_an_image_of_other_channels_is_refused(in_channels, channels):
    with pytest.raises(ValueError, match=rf"shape \(1, {channels}, 8, 8\).*in_channels={in_channels}"):
        ResUNet(in_channels=in_channels, features=SMALL)(torch.zeros(1, channels, 8, 8))
