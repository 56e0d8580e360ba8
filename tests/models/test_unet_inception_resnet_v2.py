"""U-Net + InceptionResNetV2: the sheet's counts, Keras's layers, its weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lungseg.errors import ConfigError
from lungseg.models.unet_inception_resnet_v2 import UNetInceptionResNetV2

SMALL = {"alpha": 0.05, "blocks": (1, 1), "decoder_channels": (8, 8, 4, 4)}


@pytest.fixture(scope="module")
def published() -> nn.Module:
    with torch.device("meta"):
        return UNetInceptionResNetV2(in_channels=3)


def test_parameter_count_is_kerass(published):
    assert sum(p.numel() for p in published.parameters()) == 36_752_065


def test_batch_norm_statistics_make_it_36793089(published):
    # 20,512 channels are normalised, each with a mean and a variance
    running = [value.numel() for name, value in published.named_buffers() if "running" in name]
    assert sum(running) == 2 * 20_512
    assert 36_752_065 + sum(running) == 36_793_089


def test_one_channel_saves_two_planes_of_the_two_convolutions_that_see_the_image():
    # the encoder's first, 2 x 32 x 9 = 576, and the decoder's last merge with the image as skip, 2 x 64 x 9 = 1,152
    with torch.device("meta"):
        assert sum(p.numel() for p in UNetInceptionResNetV2().parameters()) == 36_752_065 - 576 - 1_152


def test_levels_are_those_of_keras(published):
    seen = []
    hooks = [
        merge.register_forward_hook(lambda _m, i, o: seen.append((i[0].shape[1], *o.shape[1:])))
        for merge in published.decoder.merges
    ]
    published(torch.empty(2, 3, 64, 80, device="meta"))
    for hook in hooks:
        hook.remove()
    # channels in: up + skip; the skips are activation_74, activation_3, activation and the image
    assert seen == [
        (512 + 256, 512, 8, 10),
        (256 + 80, 256, 16, 20),
        (128 + 32, 128, 32, 40),
        (64 + 3, 64, 64, 80),
    ]


@pytest.mark.parametrize(("momentum", "expected"), [(None, 0.01), (0.1, 0.1)], ids=["keras", "given"])
def test_batch_norm_constants(momentum, expected):
    norms = [m for m in UNetInceptionResNetV2(**SMALL, bn_momentum=momentum).modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, expected)}


@pytest.mark.parametrize("size", [(1, 1), (5, 60), (48, 49), (65, 31)], ids=str)
def test_any_size_comes_back(size):
    with torch.no_grad():
        assert UNetInceptionResNetV2(**SMALL).eval()(torch.rand(1, 1, *size)).shape == (1, 1, *size)


def test_a_grey_image_is_repeated_to_three_channels():
    net = UNetInceptionResNetV2(in_channels=3, **SMALL).eval()
    grey = torch.rand(1, 1, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(net(grey), net(grey.repeat(1, 3, 1, 1)))


def test_weights_go_into_the_encoder_and_nowhere_else(tmp_path):
    torch.manual_seed(0)
    trained = UNetInceptionResNetV2(**SMALL)
    torch.save({"state_dict": {f"model.{k}": v for k, v in trained.state_dict().items()}}, tmp_path / "best.ckpt")
    torch.manual_seed(1)
    net = UNetInceptionResNetV2(**SMALL, weights=str(tmp_path / "best.ckpt"))
    torch.manual_seed(1)
    random = UNetInceptionResNetV2(**SMALL)
    own = net.state_dict()
    assert all(torch.equal(own[f"encoder.{name}"], value) for name, value in trained.encoder.state_dict().items())
    assert torch.equal(net.output.weight, random.output.weight)
    assert not torch.equal(net.output.weight, trained.output.weight)


def test_a_file_of_other_blocks_is_refused(tmp_path):
    torch.save(UNetInceptionResNetV2(**SMALL).encoder.state_dict(), tmp_path / "file.pth")
    more = {**SMALL, "blocks": (2, 1)}
    with pytest.raises(ConfigError, match=r"file\.pth does not fit.*are not in it: repeat\.1\..*blocks=\[2, 1\]"):
        UNetInceptionResNetV2(**more, weights=str(tmp_path / "file.pth"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 0}, r"in_channels=0"),
        ({"num_classes": 0}, r"num_classes=0"),
        ({"alpha": 0.0}, r"alpha=0\.0"),
        ({"blocks": (1, 1, 1)}, r"blocks=\[1, 1, 1\] must be 2 counts"),
        ({"decoder_channels": (8, 8)}, r"decoder_channels=\[8, 8\] must be 4 channel counts"),
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        UNetInceptionResNetV2(**{**SMALL, **arguments})
