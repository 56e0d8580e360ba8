"""What every segmentation model under conf/model keeps to; a new YAML file is found by itself."""

from __future__ import annotations

import inspect
import io
from pathlib import Path

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from torch import nn

CONF = Path(__file__).resolve().parents[2] / "conf" / "model"
FILES = sorted(CONF.glob("*.yaml"))
SMALL = {"features": [4, 8, 16]}  # where a model has the argument


def build(file: Path, **arguments) -> nn.Module:
    """The model of a YAML file in a small size, with the same weights each time."""
    config = OmegaConf.load(file)
    known = inspect.signature(get_class(config["_target_"])).parameters
    small = {key: value for key, value in SMALL.items() if key in known}
    torch.manual_seed(0)
    return instantiate(config, _convert_="all", **small, **arguments)


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def file(request) -> Path:
    return request.param


def image(channels: int = 1, size: tuple[int, int] = (32, 24), batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, channels, *size, generator=torch.Generator().manual_seed(1))


def test_there_are_models():
    assert FILES


def test_first_line_says_what_the_model_is(file):
    assert file.read_text().startswith("# ")


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (30, 17), (1, 1)], ids=str)
def test_logits_have_the_size_of_the_image(file, size):
    with torch.no_grad():
        assert build(file).eval()(image(size=size)).shape == (2, 1, *size)


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("num_classes", [1, 2, 5])
def test_channels_and_classes_are_arguments(file, in_channels, num_classes):
    net = build(file, in_channels=in_channels, num_classes=num_classes)
    assert net(image(in_channels)).shape == (2, num_classes, 32, 24)
    assert net(image(1)).shape == (2, num_classes, 32, 24)  # grey is repeated


def test_output_is_logits_on_both_sides_of_zero(file):
    logits = build(file, num_classes=5)(image(batch=4))
    assert logits.dtype == torch.float32
    assert logits.min() < 0 < logits.max()


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bf16"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "channels_last"])
def test_every_parameter_gets_a_finite_gradient(file, autocast, memory_format):
    net = build(file).to(memory_format=memory_format)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        logits = net(image().to(memory_format=memory_format))
    assert logits.dtype == (torch.bfloat16 if autocast else torch.float32)
    logits.float().square().mean().backward()
    missing = [name for name, p in net.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not missing
    assert any(p.grad.abs().sum() > 0 for p in net.parameters())


def test_channels_last_gives_the_same_logits(file):
    net = build(file).eval()
    with torch.no_grad():
        expected = net(image(size=(33, 20)))
        found = net.to(memory_format=torch.channels_last)(image(size=(33, 20)).to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_evaluation_is_repeatable_and_does_not_depend_on_the_rest_of_the_batch(file):
    net = build(file).eval()
    with torch.no_grad():
        pair = net(image())
        assert torch.equal(net(image()), pair)
        torch.testing.assert_close(net(image()[:1]), pair[:1], rtol=1e-4, atol=1e-5)


def test_evaluation_leaves_the_weights_and_statistics_alone(file):
    net = build(file).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.no_grad():
        net(image())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_weights_load_safely_into_a_new_model(file):
    net = build(file)
    net(image())  # moves the running statistics, which must be saved too
    saved = io.BytesIO()
    torch.save(net.state_dict(), saved)
    saved.seek(0)
    torch.manual_seed(7)
    other = build(file)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
        other.load_state_dict(torch.load(saved, weights_only=True))
        assert torch.equal(other.eval()(image()), net.eval()(image()))


def test_model_exports_with_the_same_logits(file):
    net = build(file).eval()
    exported = torch.export.export(net, (image(size=(31, 24)),)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(image(size=(31, 24))), net(image(size=(31, 24))), rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_model_trains_on_the_gpu_in_bf16_and_channels_last(file):
    net = build(file).cuda().to(memory_format=torch.channels_last)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        logits = net(image(size=(33, 24)).cuda())
    logits.float().square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())
