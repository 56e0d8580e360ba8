"""U-Net + MobileNetV2: the sheet's counts, Keras's layers, its weights."""

from __future__ import annotations

import logging

import pytest
import timm
import torch
from torch import nn

from lungseg.errors import ConfigError
from lungseg.models.unet_mobilenet_v2 import UNetMobileNetV2

SMALL = {"alpha": 0.1, "decoder_channels": (8, 8, 4, 4)}


def parameters(**arguments) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in UNetMobileNetV2(**arguments).parameters())


@pytest.mark.parametrize(
    ("alpha", "count"),
    [(0.35, 8_056_961), (0.5, 8_437_985), (0.75, 9_309_169), (1.0, 10_069_249), (1.4, 11_725_617)],
)
def test_parameter_count_with_three_channels_is_kerass(alpha, count):
    assert parameters(in_channels=3, alpha=alpha) == count


def test_one_channel_saves_two_planes_of_the_two_convolutions_that_see_the_image():
    # the encoder's first, 2 x 32 x 9 = 576, and the decoder's last merge with the image as skip, 2 x 64 x 9 = 1,152
    assert parameters(in_channels=3) - parameters() == 576 + 1_152
    assert parameters() == 10_067_521


def test_the_convention_changes_no_parameter():
    assert parameters(convention="torch") == parameters()


def test_each_further_class_costs_one_1x1_filter():
    assert parameters(num_classes=5) - parameters() == 4 * 65  # 64 weights and a bias


def test_levels_are_those_of_keras():
    with torch.device("meta"):
        net = UNetMobileNetV2()
        seen = []
        for merge in net.decoder.merges:
            merge.register_forward_hook(lambda _m, i, o: seen.append((i[0].shape[1], *o.shape[1:])))
        net(torch.empty(2, 1, 64, 32))
    # channels in: up + skip; the skips are block_6, 3 and 1 and the image
    assert seen == [(512 + 192, 512, 8, 4), (256 + 144, 256, 16, 8), (128 + 96, 128, 32, 16), (64 + 1, 64, 64, 32)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {(1e-3, 0.001), (1e-3, 0.01)}),  # encoder, decoder
        ({"convention": "torch"}, {(1e-5, 0.1), (1e-3, 0.01)}),
        ({"bn_momentum": 0.1}, {(1e-3, 0.1)}),
    ],
    ids=["keras", "torch", "given"],
)
def test_batch_norm_constants(arguments, expected):
    norms = [m for m in UNetMobileNetV2(**SMALL, **arguments).modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == expected


def test_initial_weights_are_glorots():
    torch.manual_seed(0)
    net = UNetMobileNetV2(**SMALL)
    weight = net.decoder.merges[0][3].weight  # 8 -> 8 channels, 3 x 3: bound sqrt(6 / (72 + 72))
    assert 0.95 * (6 / 144) ** 0.5 < weight.abs().max() <= (6 / 144) ** 0.5
    assert not net.output.bias.any()


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (16, 17), (33, 31)], ids=str)
def test_any_size_comes_back(size):
    with torch.no_grad():
        assert UNetMobileNetV2(**SMALL).eval()(torch.rand(1, 1, *size)).shape == (1, 1, *size)


def test_a_grey_image_is_repeated_to_three_channels():
    net = UNetMobileNetV2(in_channels=3, **SMALL).eval()
    grey = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(net(grey), net(grey.repeat(1, 3, 1, 1)))


def test_the_image_is_the_last_skip():
    # with an encoder of zeros only the skip carries the image
    net = UNetMobileNetV2(**SMALL).eval()
    for parameter in net.encoder.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        a, b = net(torch.zeros(1, 1, 16, 16)), net(torch.ones(1, 1, 16, 16))
    assert not torch.allclose(a, b)


def test_weights_of_timm_go_into_the_encoder_and_nowhere_else(tmp_path, caplog):
    torch.manual_seed(0)
    theirs = timm.create_model("mobilenetv2_050", num_classes=7)
    torch.save(theirs.state_dict(), tmp_path / "timm.pth")
    torch.manual_seed(1)
    net = UNetMobileNetV2(
        in_channels=3, alpha=0.5, decoder_channels=(8, 8, 4, 4), convention="torch", weights=str(tmp_path / "timm.pth")
    )
    torch.manual_seed(1)
    random = UNetMobileNetV2(in_channels=3, alpha=0.5, decoder_channels=(8, 8, 4, 4), convention="torch")
    assert torch.equal(net.encoder.features[0][0].weight, theirs.conv_stem.weight)
    assert torch.equal(net.encoder.features[14].conv[0][0].weight, theirs.blocks[5][0].conv_pw.weight)
    assert torch.equal(net.output.weight, random.output.weight)
    assert not caplog.records


def test_weights_of_its_own_checkpoint_are_its_encoders(tmp_path):
    torch.manual_seed(0)
    trained = UNetMobileNetV2(**SMALL, convention="torch")
    content = {f"model.{name}": value for name, value in trained.state_dict().items()}
    torch.save({"state_dict": content, "epoch": 4}, tmp_path / "best.ckpt")
    net = UNetMobileNetV2(**SMALL, convention="torch", weights=str(tmp_path / "best.ckpt"))
    own = net.state_dict()
    assert all(torch.equal(own[f"encoder.{name}"], value) for name, value in trained.encoder.state_dict().items())


def test_torchs_weights_in_kerass_arithmetic_warn(tmp_path, caplog):
    torch.save(UNetMobileNetV2(**SMALL).encoder.state_dict(), tmp_path / "file.pth")
    with caplog.at_level(logging.WARNING):
        UNetMobileNetV2(**SMALL, weights=str(tmp_path / "file.pth"))
    assert [record.getMessage() for record in caplog.records] == [
        f"the weights of model.weights={tmp_path / 'file.pth'} were trained with torch's padding and epsilon; their "
        "feature maps are right with model.convention=torch only"
    ]


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"model\.weights=.*none\.pth does not exist"):
        UNetMobileNetV2(**SMALL, weights=str(tmp_path / "none.pth"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 0}, r"in_channels=0"),
        ({"num_classes": 0}, r"num_classes=0"),
        ({"alpha": 0.0}, r"alpha=0\.0"),
        ({"decoder_channels": (8, 8)}, r"decoder_channels=\[8, 8\] must be 4 channel counts"),
        ({"convention": "tf"}, r"convention='tf'"),
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        UNetMobileNetV2(**{**SMALL, **arguments})
