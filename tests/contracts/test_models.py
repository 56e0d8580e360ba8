"""What every model under conf/model keeps to; a new YAML file is found by itself.

Networks whose class says `task = "classification"` come last; the others are of segmentation. Most tests build a model
in a tiny form: `conf/narrow/small_<model>.yaml`, narrower still where TINY says so. What they ask does not depend on
the widths.
"""

from __future__ import annotations

import copy
import functools
import io
import re
from pathlib import Path

import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from torch import nn

CONF = Path(__file__).resolve().parents[2] / "conf"
ALL = sorted((CONF / "model").glob("*.yaml"))
CLASSIFIERS = [f for f in ALL if getattr(get_class(OmegaConf.load(f)["_target_"]), "task", "") == "classification"]
FILES = [file for file in ALL if file not in CLASSIFIERS]
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
    "timm": {"backbone": "test_efficientnet"},
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


@functools.cache
def settled(file: Path, **arguments) -> nn.Module:
    """A model whose batch norms know its activations: as drawn, those of deep networks fade until nothing is told."""
    net = build(file, **arguments)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    momentum = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        net(image(arguments.get("in_channels", 1), size=(128, 128), batch=4))
    for norm, own in zip(norms, momentum, strict=True):
        norm.momentum = own
    return net


class TestClassifiers:
    @pytest.fixture(params=CLASSIFIERS, ids=lambda file: file.stem)
    def file(self, request) -> Path:
        return request.param

    @pytest.fixture
    def net(self, file) -> nn.Module:
        """A copy of its own; what it drops out is the same each time."""
        net = copy.deepcopy(settled(file))
        torch.manual_seed(0)
        return net

    def test_there_are_some(self):
        assert {"resnet34", "mobilenet_v3_large", "efficientnet_b1", "timm"} <= {file.stem for file in CLASSIFIERS}

    def test_first_line_says_what_the_model_is(self, file):
        assert file.read_text().startswith("# ")

    def test_the_file_alone_builds_a_model(self, file):
        with torch.device("meta"):
            assert build(file, "full")(torch.empty(2, 1, 64, 48)).shape == (2, 2)

    @pytest.mark.parametrize("size", [(64, 64), (33, 47), (1, 1)], ids=str)
    def test_images_of_any_size_give_one_logit_a_class_and_features(self, net, size):
        net.eval()
        with torch.no_grad():
            logits, features = net(image(size=size)), net.features(image(size=size))
        assert logits.shape == (2, 2)
        assert features.shape == (2, net.head.in_features)
        torch.testing.assert_close(net.head(features), logits)

    @pytest.mark.parametrize("in_channels", [1, 3])
    @pytest.mark.parametrize("num_classes", [1, 3, 7])
    def test_channels_and_classes_are_arguments(self, file, in_channels, num_classes):
        with torch.device("meta"):
            net = build(file, in_channels=in_channels, num_classes=num_classes)
            assert (net.in_channels, net.num_classes) == (in_channels, num_classes)
            assert net(torch.empty(2, in_channels, 32, 24)).shape == (2, num_classes)
            assert net(torch.empty(2, 1, 32, 24)).shape == (2, num_classes)

    def test_a_grey_image_is_repeated_to_three_channels(self, file):
        net = copy.deepcopy(settled(file, in_channels=3)).eval()
        with torch.no_grad():
            torch.testing.assert_close(net(image()), net(image().repeat(1, 3, 1, 1)))
            assert not torch.allclose(net(image(3)), net(image()))  # all three are looked at

    def test_an_image_of_other_channels_is_refused(self, net):
        with pytest.raises(ValueError, match=r"shape \(2, 2, 32, 24\)"):
            net(image(2))

    @pytest.mark.parametrize(
        ("autocast", "memory_format"),
        [
            pytest.param(False, torch.contiguous_format, id="float32"),
            pytest.param(True, torch.channels_last, id="bf16-channels_last"),
        ],
    )
    def test_every_parameter_gets_a_finite_gradient(self, net, autocast, memory_format):
        net = net.to(memory_format=memory_format)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            logits = net(image(size=(96, 64), batch=4).to(memory_format=memory_format))
        assert logits.dtype == (torch.bfloat16 if autocast else torch.float32)
        logits.float().square().mean().backward()
        gradients = {name: p.grad for name, p in net.named_parameters()}
        assert not [name for name, gradient in gradients.items() if gradient is None or not gradient.isfinite().all()]
        assert [name for name, gradient in gradients.items() if gradient.ndim > 1 and not gradient.any()] == []

    def test_channels_last_gives_the_same_logits(self, net):
        net.eval()
        with torch.no_grad():
            expected = net(image(size=(33, 20)))
            found = net.to(memory_format=torch.channels_last)(image(size=(33, 20)))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)

    def test_evaluation_is_repeatable_and_does_not_depend_on_the_rest_of_the_batch(self, net):
        net.eval()
        with torch.no_grad():
            pair = net(image())
            assert torch.equal(net(image()), pair)
            torch.testing.assert_close(net(image()[:1]), pair[:1], rtol=1e-4, atol=1e-5)
            assert not torch.allclose(pair[0], pair[1])

    def test_weights_load_safely_into_a_new_model(self, file, net):
        net(image(size=(64, 48)))  # moves the running statistics, which must be saved too
        saved = io.BytesIO()
        torch.save(net.state_dict(), saved)
        saved.seek(0)
        other = copy.deepcopy(built(file))
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(1)
            other.load_state_dict(torch.load(saved, weights_only=True))
            assert torch.equal(other.eval()(image()), net.eval()(image()))

    def test_model_exports_with_the_same_logits(self, net):
        net.eval()
        exported = torch.export.export(net, (image(size=(35, 40)),)).module()
        with torch.no_grad():
            torch.testing.assert_close(exported(image(size=(35, 40))), net(image(size=(35, 40))), rtol=1e-4, atol=1e-5)

    def test_the_last_convolution_gives_maps_in_the_proportions_of_the_image_that_the_logits_owe_to(self, net):
        seen = []
        hook = net.last_conv.register_forward_hook(lambda module, inputs, out: seen.append(out))
        logits = net.eval()(image(size=(128, 192)))
        hook.remove()
        (maps,) = seen
        assert maps.shape[0] == 2
        assert tuple(maps.shape[2:]) == (4, 6)  # 1/32
        (slopes,) = torch.autograd.grad(logits[:, 0].sum(), maps)
        assert slopes.abs().sum() > 0

    def test_another_layer_can_be_named_and_a_mistyped_one_suggests_the_near(self, file):
        with torch.device("meta"):
            first = next(name for name, m in build(file).net.named_modules() if isinstance(m, nn.Conv2d))
            net = build(file, last_conv=f"net.{first}")
            assert net.last_conv is net.net.get_submodule(first)
            with pytest.raises(InstantiationException, match=rf"did you mean net\.{re.escape(first)}\?"):
                build(file, last_conv=f"{first}x")

    def test_layers_hold_every_parameter_once_and_end_with_the_head(self, net):
        layers = net.layers()
        assert len(layers) > 4
        flat = [p for layer in layers for p in layer]
        assert len(flat) == len(set(flat))
        assert set(flat) == set(net.parameters())
        assert layers[-1] == list(net.head.parameters())
        assert next(p for p in net.net.parameters()) in set(layers[0])

    def test_a_frozen_backbone_keeps_its_weights_and_statistics_in_training_and_can_be_trained_later(self, file):
        net = build(file, freeze="backbone", unfreeze_at_epoch=2).train()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        net(image(size=(64, 48))).square().sum().backward()
        assert {name for name, p in net.named_parameters() if p.grad is not None} == {"head.weight", "head.bias"}
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
        net.set_frozen(False)
        net(image(size=(64, 48))).square().sum().backward()
        assert all(p.grad is not None for p in net.parameters())
        assert not all(torch.equal(value, before[name]) for name, value in net.state_dict().items())

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    def test_model_trains_on_the_gpu_in_bf16_and_channels_last(self, net):
        net = net.cuda().to(memory_format=torch.channels_last)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            logits = net(image(size=(64, 48)).cuda())
        logits.float().square().mean().backward()
        assert all(torch.isfinite(p.grad).all() for p in net.parameters())
