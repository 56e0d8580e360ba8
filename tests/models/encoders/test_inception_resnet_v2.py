"""Inception-ResNet-v2 as an encoder: its taps and their zero padding, against timm and segmentation-models-pytorch."""

from __future__ import annotations

import pytest
import timm
import torch
from huggingface_hub import constants
from segmentation_models_pytorch.encoders.inceptionresnetv2 import InceptionResNetV2Encoder as SmpEncoder
from torch import nn
from torch.nn import functional as F  # noqa: N812

from lungseg.errors import ConfigError, ResourceError
from lungseg.models.encoders.inception_resnet_v2 import InceptionResNetV2Encoder, ShiftNorm, pad_to

SMALL = {"alpha": 0.05, "blocks": (1, 1)}


def shortened(net: nn.Module) -> nn.Module:
    """A published network with one residual block per run, made without numbers, and then given some."""
    for run in ("repeat", "repeat_1", "repeat_2"):
        setattr(net, run, getattr(net, run)[:1])
    net.to_empty(device="cpu")
    torch.manual_seed(0)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.normal_(layer.bias, 0, 0.1)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.normal_(layer.bias, 0, 0.1)
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
            layer.num_batches_tracked.zero_()
    return net.eval()


@pytest.fixture(scope="module")
def from_timm() -> nn.Module:
    with torch.device("meta"):
        net = timm.create_model("inception_resnet_v2", num_classes=0)
    return shortened(net)


@pytest.fixture(scope="module")
def from_smp() -> nn.Module:
    with torch.device("meta"):
        net = SmpEncoder(out_channels=[3, 64, 192, 320, 1088, 1536], num_classes=1000)
    return shortened(net)


def test_taps_padded_by_the_papers_zeros_equal_timms_activations(tmp_path, from_timm):
    ours = InceptionResNetV2Encoder(blocks=(1, 1)).eval()
    needed = {
        name: value for name, value in from_timm.state_dict().items() if not name.startswith(("repeat_2", "conv2d_7"))
    }
    torch.save(needed, tmp_path / "timm.pth")  # with the scales of its batch norms, all 1
    ours.load(str(tmp_path / "timm.pth"))
    image = torch.randn(1, 3, 80, 96)
    seen: list[torch.Tensor] = []
    # Keras's activation, activation_3, activation_74, activation_161
    tapped = [from_timm.conv2d_1a, from_timm.conv2d_3b, from_timm.mixed_6a.branch1[1], from_timm.mixed_7a.branch2[1]]
    hooks = [layer.register_forward_hook(lambda _m, _i, out: seen.append(out)) for layer in tapped]
    with torch.no_grad():
        from_timm(image)
        found = ours(image)
    for hook in hooks:
        hook.remove()
    padding = [(1, 0, 1, 0), (1, 1, 1, 1), (2, 1, 2, 1), (1, 1, 1, 1)]  # left, right, top, bottom: the sheet's for 512
    for level, activation, zeros in zip(found, seen, padding, strict=True):
        torch.testing.assert_close(level, F.pad(activation, zeros))


def test_stages_equal_those_of_segmentation_models_pytorch(from_smp):
    ours = InceptionResNetV2Encoder(blocks=(1, 1, 1), taps="stage").eval()
    ours.load_state_dict(from_smp.state_dict())  # strict: the names are the same
    image = torch.randn(1, 3, 64, 32)
    with torch.no_grad():
        for level, expected in zip(ours(image), from_smp(image)[1:], strict=True):
            torch.testing.assert_close(level, expected)


@pytest.mark.parametrize("size", [(512, 512), (48, 48), (64, 80), (176, 336)], ids=str)
def test_taps_of_any_multiple_of_16_lack_what_the_sheet_pads_at_512(size):
    with torch.device("meta"):
        encoder = InceptionResNetV2Encoder(**SMALL)
        taken: list[torch.Size] = []
        for name in ("conv2d_1a", "conv2d_3b", "mixed_6a.branch1.1", "mixed_7a.branch2"):
            encoder.get_submodule(name).register_forward_hook(lambda _m, _i, out: taken.append(out.shape[-2:]))
        levels = encoder(torch.empty(2, 3, *size))
    full = [(size[0] // step, size[1] // step) for step in (2, 4, 8, 16)]
    assert [tuple(level.shape[-2:]) for level in levels] == full
    lacking = [(height - tap[0], width - tap[1]) for (height, width), tap in zip(full, taken, strict=True)]
    assert lacking == [(1, 1), (2, 2), (3, 3), (2, 2)]  # ((1,0),(1,0)), (1,1), ((2,1),(2,1)), (1,1)


@pytest.mark.parametrize(
    ("arguments", "channels"),
    [({}, (32, 80, 256, 288)), ({"taps": "stage", "blocks": (10, 20, 9)}, (64, 192, 320, 1088, 1536))],
    ids=["keras", "stage"],
)
def test_published_widths(arguments, channels):
    with torch.device("meta"):
        assert InceptionResNetV2Encoder(**arguments).channels == channels


def test_whole_network_has_the_librarys_parameters():
    with torch.device("meta"):
        whole = InceptionResNetV2Encoder(taps="stage", blocks=(10, 20, 9))
    assert sum(p.numel() for p in whole.parameters()) == 54_306_464


def test_batch_norm_has_no_scale_as_keras_and_one_in_the_library():
    keras = [m for m in InceptionResNetV2Encoder(**SMALL).modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum, "weight" in dict(norm.named_parameters())) for norm in keras} == {
        (1e-3, 0.01, False)
    }
    stage = InceptionResNetV2Encoder(alpha=0.05, blocks=(1, 1, 1), taps="stage")
    norms = [m for m in stage.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum, "weight" in dict(norm.named_parameters())) for norm in norms} == {
        (1e-3, 0.1, True)
    }


def test_norm_without_scale_normalises_and_shifts():
    # values 0 and 2: mean 1, biased variance 1, so (x - 1) / sqrt(1 + 0.001) + 5
    norm = ShiftNorm(1, 0.1)
    nn.init.constant_(norm.bias, 5)
    found = norm(torch.tensor([0.0, 2.0]).view(2, 1, 1, 1)).flatten()
    torch.testing.assert_close(found, 5 + torch.tensor([-1.0, 1.0]) / 1.001**0.5)
    assert sorted(norm.state_dict()) == ["bias", "num_batches_tracked", "running_mean", "running_var"]


@pytest.mark.parametrize(
    ("side", "size", "zeros"), [(3, 4, (1, 0)), (2, 4, (1, 1)), (5, 8, (2, 1)), (4, 4, (0, 0))], ids=str
)
def test_an_odd_row_of_zeros_goes_first(side, size, zeros):
    padded = pad_to(torch.ones(1, 1, side, side), (size, size))[0, 0]
    ones = [0.0] * zeros[0] + [1.0] * side + [0.0] * zeros[1]
    assert padded.amax(0).tolist() == padded.amax(1).tolist() == ones


def test_residual_blocks_are_scaled_and_end_with_relu():
    encoder = InceptionResNetV2Encoder(alpha=0.05, blocks=(1, 1, 1), taps="stage").eval()
    scales = {"repeat.0": 0.17, "repeat_1.0": 0.1, "repeat_2.0": 0.2, "block8": 1.0}
    for name, scale in scales.items():
        block = encoder.get_submodule(name)
        nn.init.zeros_(block.conv2d.weight)
        nn.init.constant_(block.conv2d.bias, -1)
        x = torch.rand(1, block.conv2d.out_channels, 3, 3)
        expected = x - scale
        with torch.no_grad():
            torch.testing.assert_close(block(x), expected if name == "block8" else expected.clamp(min=0))


def test_scales_other_than_one_are_refused(tmp_path):
    tensors = InceptionResNetV2Encoder(**SMALL).state_dict()
    tensors["conv2d_2a.bn.weight"] = torch.full((2,), 1.5)
    torch.save(tensors, tmp_path / "scaled.pth")
    with pytest.raises(ConfigError, match=r"scaled\.pth has scales other than 1 in 1 batch norms \(conv2d_2a\.bn\)"):
        InceptionResNetV2Encoder(**SMALL).load(str(tmp_path / "scaled.pth"))


def test_a_file_of_other_widths_is_refused(tmp_path):
    torch.save(InceptionResNetV2Encoder(**SMALL).state_dict(), tmp_path / "small.pth")
    with pytest.raises(ConfigError, match=r"small\.pth does not fit.*other shapes.*alpha=0\.1 and blocks=\[1, 1\]"):
        InceptionResNetV2Encoder(alpha=0.1, blocks=(1, 1)).load(str(tmp_path / "small.pth"))


def test_weights_for_rgb_are_summed_for_grey(tmp_path):
    torch.manual_seed(0)
    rgb = InceptionResNetV2Encoder(**SMALL).eval()
    torch.save(rgb.state_dict(), tmp_path / "rgb.pth")
    grey = InceptionResNetV2Encoder(in_channels=1, **SMALL).eval()
    grey.load(str(tmp_path / "rgb.pth"))
    image = torch.randn(1, 1, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(grey(image)[-1], rgb(image.expand(-1, 3, -1, -1))[-1], rtol=1e-4, atol=1e-5)


def test_imagenet_is_timms_port_and_small_forms_have_none(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with torch.device("meta"):
        whole = InceptionResNetV2Encoder()
    with pytest.raises(ResourceError, match=r"model\.safetensors of timm/inception_resnet_v2\.tf_in1k"):
        whole.load("imagenet")
    with pytest.raises(ConfigError, match=r"nobody has published"):
        InceptionResNetV2Encoder(**SMALL).load("imagenet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 0}, r"in_channels=0"),
        ({"alpha": -1.0}, r"alpha=-1.0"),
        ({"taps": "all"}, r"taps='all' is not one of keras, stage"),
        ({"blocks": (1, 1, 1)}, r"blocks=\[1, 1, 1\] must be 2 counts .* as in \[10, 20\]"),
        ({"blocks": (1, 1), "taps": "stage"}, r"blocks=\[1, 1\] must be 3 counts .* as in \[10, 20, 9\]"),
        ({"blocks": (1, -1)}, r"blocks=\[1, -1\]"),
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        InceptionResNetV2Encoder(**arguments)
