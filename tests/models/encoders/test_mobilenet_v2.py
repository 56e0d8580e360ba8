"""MobileNetV2 as an encoder: its taps, Keras's arithmetic against torch's, weights of timm and torchvision."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from torch import nn
from torch.nn import functional as F  # noqa: N812

from lungseg.errors import ConfigError, ResourceError
from lungseg.models.encoders.mobilenet_v2 import PUBLISHED, MobileNetV2Encoder

SMALL = {"alpha": 0.1}


def shuffle_statistics(net: nn.Module) -> nn.Module:
    """Give every batch norm statistics and scales of its own, so that a mix-up would show."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.1)
    return net.eval()


def outputs(layers: list[nn.Module], net: nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    """What each layer gives in one pass."""
    seen: list[torch.Tensor] = []
    hooks = [layer.register_forward_hook(lambda _m, _i, out: seen.append(out)) for layer in layers]
    with torch.no_grad():
        net(image)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize(
    ("arguments", "channels"),
    [
        ({}, (96, 144, 192, 576)),
        ({"alpha": 0.35}, (48, 48, 96, 192)),  # 6 times 8, 8, 16 and 32: the channels of blocks 0, 2, 5 and 12
        ({"taps": "stage"}, (16, 24, 32, 96, 1280)),
        ({"taps": "stage", "alpha": 1.4}, (24, 32, 48, 136, 1792)),
    ],
    ids=["expand", "expand-narrow", "stage", "stage-wide"],
)
def test_taps_have_the_channels_of_the_published_network(arguments, channels):
    with torch.device("meta"):
        encoder = MobileNetV2Encoder(**arguments)
        levels = encoder(torch.empty(2, 3, 64, 96))
    assert encoder.channels == channels
    assert [tuple(level.shape[1:]) for level in levels] == [
        (count, 64 // 2 ** (i + 1), 96 // 2 ** (i + 1)) for i, count in enumerate(channels)
    ]


@pytest.mark.parametrize("taps", ["expand", "stage"])
def test_features_equal_timms_from_timms_file(tmp_path, taps):
    torch.manual_seed(0)
    theirs = shuffle_statistics(timm.create_model("mobilenetv2_050", num_classes=0))
    torch.save(theirs.state_dict(), tmp_path / "timm.pth")
    ours = MobileNetV2Encoder(alpha=0.5, taps=taps, convention="torch").eval()
    ours.load(str(tmp_path / "timm.pth"))
    image = torch.randn(1, 3, 64, 32)
    blocks = theirs.blocks
    tapped = (
        [blocks[stage][0].bn1 for stage in (1, 2, 3, 5)]  # timm's batch norm includes the activation
        if taps == "expand"
        else [blocks[0], blocks[1], blocks[2], blocks[4], theirs.bn2]
    )
    with torch.no_grad():
        found = ours(image)
    for level, expected in zip(found, outputs(tapped, theirs, image), strict=True):
        torch.testing.assert_close(level, expected)


def test_features_equal_torchvisions_from_torchvisions_file(tmp_path):
    torch.manual_seed(0)
    theirs = shuffle_statistics(torchvision.models.MobileNetV2(width_mult=0.35, num_classes=3))
    torch.save(theirs.state_dict(), tmp_path / "torchvision.pth")
    ours = MobileNetV2Encoder(alpha=0.35, taps="expand", convention="torch").eval()
    ours.load(str(tmp_path / "torchvision.pth"))
    image = torch.randn(1, 3, 32, 64)
    tapped = [theirs.features[i].conv[0] for i in (2, 4, 7, 14)]
    with torch.no_grad():
        found = ours(image)
    for level, expected in zip(found, outputs(tapped, theirs, image), strict=True):
        torch.testing.assert_close(level, expected)


def test_keras_pads_even_sides_at_the_bottom_and_right_only():
    # with centre-only filters a stride-2 convolution picks pixels: with padding (1, 1) those at 0, 2, 4, ..., with
    # padding (0, 1) those at 1, 3, 5, ...
    image = torch.arange(64.0).view(1, 1, 8, 8)
    picked = {}
    for convention in ("keras", "torch"):
        conv = MobileNetV2Encoder(in_channels=1, convention=convention, **SMALL).features[0][0]
        with torch.no_grad():
            conv.weight.zero_()
            conv.weight[:, :, 1, 1] = 1
            picked[convention] = conv(image)[0, 0]
    assert torch.equal(picked["torch"], image[0, 0, ::2, ::2])
    assert torch.equal(picked["keras"], image[0, 0, 1::2, 1::2])


def test_keras_is_torch_on_an_image_moved_by_one_pixel():
    # at the first level, away from the edges, which see other zeros
    torch.manual_seed(0)
    keras, torchs = (MobileNetV2Encoder(in_channels=1, convention=c, **SMALL).eval() for c in ("keras", "torch"))
    torchs.load_state_dict(keras.state_dict())
    for layer in keras.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 1e-5
    image = torch.randn(1, 1, 64, 64)
    shifted = F.pad(image, (1, -1, 1, -1))  # down and right: keras's pixel 2i + 1 is torch's 2i
    with torch.no_grad():
        torch.testing.assert_close(keras(shifted)[0][..., 4:-4, 4:-4], torchs(image)[0][..., 4:-4, 4:-4])


@pytest.mark.parametrize("convention", ["keras", "torch"])
def test_every_halving_is_padded_alike(convention):
    encoder = MobileNetV2Encoder(taps="stage", convention=convention, **SMALL)
    strided = [m for m in encoder.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    assert len(strided) == 5
    assert {conv.padding for conv in strided} == {(0, 0) if convention == "keras" else (1, 1)}


@pytest.mark.parametrize(
    ("arguments", "constants_"),
    [({}, (1e-3, 0.001)), ({"convention": "torch"}, (1e-5, 0.1)), ({"bn_momentum": 0.2}, (1e-3, 0.2))],
    ids=["keras", "torch", "given"],
)
def test_batch_norm_has_the_constants_of_its_library(arguments, constants_):
    norms = [m for m in MobileNetV2Encoder(**SMALL, **arguments).modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {constants_}


def test_activations_end_at_six():
    encoder = MobileNetV2Encoder(in_channels=1, **SMALL)
    levels = encoder(1e4 * torch.randn(2, 1, 32, 32))
    assert all(level.min() >= 0 and level.max() <= 6 for level in levels)


def test_weights_for_rgb_are_summed_for_grey(tmp_path):
    torch.manual_seed(0)
    rgb = MobileNetV2Encoder(convention="torch", **SMALL).eval()
    torch.save({f"encoder.{name}": value for name, value in rgb.state_dict().items()}, tmp_path / "own.pth")
    grey = MobileNetV2Encoder(in_channels=1, convention="torch", **SMALL).eval()
    grey.load(str(tmp_path / "own.pth"))
    image = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(grey(image)[-1], rgb(image.expand(-1, 3, -1, -1))[-1], rtol=1e-4, atol=1e-5)


def test_a_file_of_another_width_is_refused(tmp_path):
    torch.save(MobileNetV2Encoder(alpha=0.5).state_dict(), tmp_path / "half.pth")
    with pytest.raises(
        ConfigError, match=r"half\.pth does not fit.*features\.2\.conv\.2\.weight is \(16, 48, 1, 1\).*alpha=0\.35"
    ):
        MobileNetV2Encoder(alpha=0.35).load(str(tmp_path / "half.pth"))


@pytest.mark.parametrize("alpha", sorted(PUBLISHED))
def test_published_names_are_those_of_timm(alpha):
    name = PUBLISHED[alpha].repo.removeprefix("timm/")
    assert timm.models.get_pretrained_cfg(name).hf_hub_id == PUBLISHED[alpha].repo


def test_imagenet_offline_names_the_file_and_other_widths_have_none(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ResourceError, match=r"model\.safetensors of timm/mobilenetv2_050\.lamb_in1k"):
        MobileNetV2Encoder(alpha=0.5).load("imagenet")
    with pytest.raises(ConfigError, match=r"nobody has published weights for a network of these widths"):
        MobileNetV2Encoder(alpha=0.35).load("imagenet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 0}, r"in_channels=0"),
        ({"alpha": 0.0}, r"alpha=0.0 .* published ones are \[0.5, 1.0, 1.4\]"),
        ({"taps": "all"}, r"taps='all' is not one of expand, stage"),
        ({"convention": "tf"}, r"convention='tf' is not one of keras, torch"),
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MobileNetV2Encoder(**arguments)
