"""What every segmentation model under conf/model keeps to; a new YAML file is found by itself.

Most tests build a model in a tiny form: `conf/narrow/small_<model>.yaml`, narrower still where TINY says so. What they
ask does not depend on the widths.
"""

from __future__ import annotations

import copy
import functools
import io
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

CONF = Path(__file__).resolve().parents[2] / "conf"
FILES = sorted((CONF / "model").glob("*.yaml"))
NARROW = sorted((CONF / "narrow").glob("small_*.yaml"))
TINY = {
    "resunet": {"features": [4, 8, 16]},
    "unet": {"features": [4, 8, 16]},
    "unet_keras": {"n_filters": 2},
    "fcn": {"n_filters": 2},
    "deeplab_aspp": {"n_filters": 2},
    "res_cr_net": {"n_conv": 1, "n_lstm": 1, "filters": 2},
    "smp": {"encoder": "tu-mobilenetv3_small_050", "options": {"decoder_channels": [16, 8, 8, 4, 4]}},
    "unet_mobilenet_v2": {"alpha": 0.1, "decoder_channels": [8, 8, 4, 4]},
    "unet_inception_resnet_v2": {"alpha": 0.05, "blocks": [1, 1], "decoder_channels": [8, 8, 4, 4]},
    "dual_encoder": {
        "mobilenet_alpha": 0.1,
        "inception_alpha": 0.05,
        "inception_blocks": [1, 1, 1],
        "decoder_channels": [8, 8, 8, 4, 4],
    },
    "stacked": {
        "bases": {
            "unet_mobilenet_v2": {"alpha": 0.1, "decoder_channels": [8, 8, 4, 4]},
            "unet_inception_resnet_v2": {"alpha": 0.1, "blocks": [1, 1], "decoder_channels": [8, 8, 4, 4]},
        }
    },
}
"""Where the small form is still large for what is asked here."""


def build(file: Path, form: str = "tiny", **arguments) -> nn.Module:
    """The model of a YAML file in its full, small or tiny form, with the same weights each time."""
    widths = CONF / "narrow" / f"small_{file.name}"
    config = OmegaConf.load(file)
    if form != "full" and widths.exists():
        config = OmegaConf.merge(config, OmegaConf.load(widths))
    if form == "tiny":
        config = OmegaConf.merge(config, TINY.get(file.stem, {}))
    torch.manual_seed(0)
    return instantiate(config, _convert_="all", **arguments)


built = functools.cache(build)


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def file(request) -> Path:
    return request.param


@pytest.fixture
def net(file) -> nn.Module:
    """A copy of its own of the tiny form; what it drops out is the same each time."""
    net = copy.deepcopy(built(file))
    torch.manual_seed(0)
    return net


def image(channels: int = 1, size: tuple[int, int] = (32, 24), batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, channels, *size, generator=torch.Generator().manual_seed(1))


def test_there_are_models():
    assert FILES


def test_first_line_says_what_the_model_is(file):
    assert file.read_text().startswith("# ")


def test_the_file_alone_builds_a_model(file):
    with torch.device("meta"):  # shapes without numbers: the widest model has 67 million of them
        assert build(file, "full")(torch.empty(2, 1, 64, 48)).shape == (2, 1, 64, 48)


@pytest.mark.parametrize("narrow", NARROW, ids=lambda file: file.stem)
def test_small_form_has_fewer_parameters(narrow):
    file = CONF / "model" / narrow.name.removeprefix("small_")
    assert narrow.read_text().startswith("# @package model\n# ")
    if file.stem == "smp":
        pytest.skip("the widths of smp's networks are their encoders'")
    with torch.device("meta"):
        assert parameters(build(file, "small")) < parameters(build(file, "full"))


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (30, 17), (1, 1)], ids=str)
def test_logits_have_the_size_of_the_image(net, size):
    with torch.no_grad():
        assert net.eval()(image(size=size)).shape == (2, 1, *size)


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("num_classes", [1, 2, 5])
def test_channels_and_classes_are_arguments(file, in_channels, num_classes):
    with torch.device("meta"):
        net = build(file, in_channels=in_channels, num_classes=num_classes)
        assert (net.in_channels, net.num_classes) == (in_channels, num_classes)
        assert net(torch.empty(2, in_channels, 32, 24)).shape == (2, num_classes, 32, 24)
        assert net(torch.empty(2, 1, 32, 24)).shape == (2, num_classes, 32, 24)


def test_a_grey_image_is_repeated_to_three_channels(file):
    net = build(file, in_channels=3, num_classes=2).eval()
    with torch.no_grad():
        torch.testing.assert_close(net(image()), net(image().repeat(1, 3, 1, 1)))
        assert not torch.allclose(net(image(3)), net(image()))  # all three are looked at


def test_an_image_of_other_channels_is_refused(net):
    with pytest.raises(ValueError, match=r"shape \(2, 2, 32, 24\)"):
        net(image(2))


def test_output_is_logits_on_both_sides_of_zero(file):
    logits = build(file, num_classes=5)(image(batch=4))
    assert logits.dtype == torch.float32
    assert logits.min() < 0 < logits.max()


@pytest.mark.parametrize(
    ("autocast", "memory_format"),
    [
        pytest.param(False, torch.contiguous_format, id="float32"),
        pytest.param(True, torch.channels_last, id="bf16-channels_last"),
    ],
)
def test_every_parameter_gets_a_finite_gradient(net, autocast, memory_format):
    net = net.to(memory_format=memory_format)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        logits = net(image(size=(64, 48)).to(memory_format=memory_format))
    assert logits.dtype == (torch.bfloat16 if autocast else torch.float32)
    logits.float().square().mean().backward()
    trained = {name: p.grad for name, p in net.named_parameters() if p.requires_grad}
    assert not [name for name, gradient in trained.items() if gradient is None or not gradient.isfinite().all()]
    assert [name for name, gradient in trained.items() if gradient.ndim > 1 and not gradient.any()] == []


def test_channels_last_gives_the_same_logits(net):
    net.eval()
    with torch.no_grad():
        expected = net(image(size=(33, 20)))
        found = net.to(memory_format=torch.channels_last)(image(size=(33, 20)).to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_evaluation_is_repeatable_and_does_not_depend_on_the_rest_of_the_batch(net):
    net.eval()
    with torch.no_grad():
        pair = net(image())
        assert torch.equal(net(image()), pair)
        torch.testing.assert_close(net(image()[:1]), pair[:1], rtol=1e-4, atol=1e-5)


def test_evaluation_leaves_the_weights_and_statistics_alone(net):
    net.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.no_grad():
        net(image())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_weights_load_safely_into_a_new_model(file, net):
    net(image())  # moves the running statistics, which must be saved too
    saved = io.BytesIO()
    torch.save(net.state_dict(), saved)
    saved.seek(0)
    other = copy.deepcopy(built(file))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
        other.load_state_dict(torch.load(saved, weights_only=True))
        assert torch.equal(other.eval()(image()), net.eval()(image()))


def test_model_exports_with_the_same_logits(net):
    net.eval()
    exported = torch.export.export(net, (image(size=(15, 10)),)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(image(size=(15, 10))), net(image(size=(15, 10))), rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_model_trains_on_the_gpu_in_bf16_and_channels_last(net):
    net = net.cuda().to(memory_format=torch.channels_last)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        logits = net(image(size=(33, 24)).cuda())
    logits.float().square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.requires_grad)
