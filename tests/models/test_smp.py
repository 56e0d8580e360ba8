"""Networks of segmentation-models-pytorch: counts, every architecture at any size, weights, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import get_args

import pytest
import segmentation_models_pytorch
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from lungseg.errors import ConfigError, ResourceError
from lungseg.models.smp import Architecture, Smp
from lungseg.models.smp_encoders import published

TINY = "tu-test_efficientnet"  # timm made some for tests: 82,300 parameters
NARROW = {"Unet": {"decoder_channels": [8, 8, 8, 8, 4]}, "DPT": {"decoder_intermediate_channels": [8, 8, 8, 8]}}


def small(architecture: str = "Unet", **arguments) -> Smp:
    """A network of some architecture on a small encoder."""
    encoder = "tu-test_vit2" if architecture == "DPT" else TINY
    options = {**NARROW.get(architecture, {}), **arguments.pop("options", {})}
    torch.manual_seed(0)
    return Smp(**{"architecture": architecture, "encoder": encoder, "options": options, **arguments})


def image(channels: int = 1, size: tuple[int, int] = (64, 40)) -> torch.Tensor:
    return torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=get_args(Architecture))
def architecture(request) -> str:
    return request.param


@pytest.fixture
def offline(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return folder


def test_architectures_are_all_that_the_library_has():
    assert sorted(get_args(Architecture)) == sorted(
        cls.__name__ for cls in segmentation_models_pytorch.MODEL_ARCHITECTURES_MAPPING.values()
    )


@pytest.mark.parametrize(
    ("name", "encoder", "count"),
    [
        ("Unet", "mobilenet_v2", 6_628_945),
        ("Unet", "inceptionresnetv2", 62_029_297),
        ("Unet", "resnet34", 24_436_369),
        ("DeepLabV3", "resnet34", 26_007_105),
        ("DeepLabV3Plus", "resnet34", 22_437_457),
    ],
)
def test_parameter_count_is_the_librarys(name, encoder, count):
    with torch.device("meta"):
        net = Smp(architecture=name, encoder=encoder, in_channels=3)
    assert sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (130, 30)], ids=str)
def test_logits_of_every_architecture_have_the_size_of_the_image(architecture, size):
    net = small(architecture, num_classes=3).eval()
    with torch.no_grad():
        assert net(image(size=size)).shape == (2, 3, *size)


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bf16"])
def test_every_architecture_trains_in_channels_last(architecture, autocast):
    net = small(architecture).train().to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        logits = net(image(size=(140, 130)).to(memory_format=torch.channels_last))
    logits.float().square().mean().backward()
    bad = [name for name, p in net.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    assert not bad
    assert next(net.parameters()).grad.abs().sum() > 0


def test_every_architecture_saves_exports_and_repeats_itself(architecture):
    net = small(architecture).eval()
    odd = image(size=(65, 31))
    with torch.no_grad():
        expected = net(odd)
        assert torch.equal(net(odd), expected)
        file = io.BytesIO()
        torch.save(net.state_dict(), file)
        file.seek(0)
        other = small(architecture)
        for parameter in other.parameters():
            parameter.add_(1)
        other.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(other.eval()(odd), expected)
        exported = torch.export.export(net, (odd,)).module()
        torch.testing.assert_close(exported(odd), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("encoder", ["resnet18", "mobilenet_v2", "mit_b0", "timm-efficientnet-b0"])
def test_native_encoders_take_grey_images_of_any_size(encoder):
    net = Smp(encoder=encoder, options=NARROW["Unet"]).eval()
    with torch.no_grad():
        assert net(image(size=(33, 20))).shape == (2, 1, 33, 20)


def test_pan_needs_larger_images_than_the_others():
    # it pools 1/16 of the size three times: 16 x 8 = 128
    assert (small("PAN").smallest, small("Unet").smallest) == (128, 32)


@pytest.mark.parametrize(("grey", "planes"), [("sum", 1), ("repeat", 3)])
def test_a_grey_image_meets_one_summed_or_three_equal_planes(tmp_path, grey, planes):
    rgb = Smp(in_channels=3, encoder="resnet18", options=NARROW["Unet"])
    torch.save(rgb.net.encoder.state_dict(), tmp_path / "encoder.pth")
    net = Smp(encoder="resnet18", grey=grey, weights=str(tmp_path / "encoder.pth"), options=NARROW["Unet"])
    filters = net.net.encoder.conv1.weight
    assert filters.shape[1] == planes
    expected = rgb.net.encoder.conv1.weight
    torch.testing.assert_close(filters, expected.sum(1, keepdim=True) if grey == "sum" else expected)
    assert net(image()).shape == (2, 1, 64, 40)


def test_both_kinds_of_grey_give_the_same_features(tmp_path):
    rgb = Smp(in_channels=3, encoder=TINY, options=NARROW["Unet"]).eval()
    torch.save({"state_dict": {f"model.{k}": v for k, v in rgb.state_dict().items()}}, tmp_path / "best.ckpt")
    file = str(tmp_path / "best.ckpt")
    features = [
        Smp(encoder=TINY, grey=grey, weights=file, options=NARROW["Unet"]).eval().net.encoder(x)[-1]
        for grey, x in (("sum", image()), ("repeat", image().expand(-1, 3, -1, -1)))
    ]
    torch.testing.assert_close(*features, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "encoder",
    [
        TINY,
        "tu-test_convnext",  # its names change where timm taps it
        "tu-test_resnet",
    ],
)
@pytest.mark.parametrize("in_channels", [1, 3])
def test_timms_files_go_into_timms_encoders(tmp_path, encoder, in_channels):
    torch.manual_seed(0)
    theirs = timm.create_model(encoder.removeprefix("tu-"), num_classes=5).eval()
    torch.save(theirs.state_dict(), tmp_path / "timm.pth")
    torch.manual_seed(1)
    net = Smp(
        in_channels=in_channels, encoder=encoder, weights=str(tmp_path / "timm.pth"), options=NARROW["Unet"]
    ).eval()
    x = image()
    with torch.no_grad():
        expected = theirs.forward_intermediates(x.expand(-1, 3, -1, -1), intermediates_only=True)[-1]
        found = net.net.encoder(x.expand(-1, in_channels, -1, -1))[-1]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    stem = next(p for p in theirs.parameters() if p.ndim == 4)
    own = next(p for p in net.net.encoder.parameters() if p.ndim == 4)
    torch.testing.assert_close(own, stem if in_channels == 3 else stem.sum(1, keepdim=True))


def test_timm_keeps_no_copy_of_the_file(tmp_path):
    torch.save(timm.create_model(TINY.removeprefix("tu-"), num_classes=0).state_dict(), tmp_path / "timm.pth")
    net = Smp(encoder=TINY, weights=str(tmp_path / "timm.pth"), options=NARROW["Unet"])
    assert "state_dict" not in net.net.encoder.model.pretrained_cfg


def test_a_transformer_gets_timms_file(tmp_path):
    theirs = timm.create_model("test_vit2")  # with its classifier, as published
    save_file(theirs.state_dict(), tmp_path / "vit.safetensors")
    net = small("DPT", weights=str(tmp_path / "vit.safetensors"))
    torch.testing.assert_close(net.net.encoder.model.blocks[3].mlp.fc1.weight, theirs.blocks[3].mlp.fc1.weight)


def test_weights_leave_the_decoder_as_the_seed_has_it(tmp_path):
    torch.save(timm.create_model(TINY.removeprefix("tu-"), num_classes=0).state_dict(), tmp_path / "timm.pth")
    loaded, random = small(weights=str(tmp_path / "timm.pth")), small()
    assert torch.equal(loaded.net.segmentation_head[0].weight, random.net.segmentation_head[0].weight)


@pytest.mark.parametrize(
    ("encoder", "other"), [("resnet18", "resnet50"), ("tu-mobilenetv3_small_050", "tu-mobilenetv3_small_075")]
)
def test_a_file_of_other_widths_is_refused_with_its_layers(tmp_path, encoder, other):
    net = Smp(in_channels=3, encoder=other, options=NARROW["Unet"])
    content = (
        timm.create_model(other.removeprefix("tu-"), num_classes=0).state_dict()
        if other.startswith("tu-")
        else net.net.encoder.state_dict()
    )
    torch.save(content, tmp_path / "other.pth")
    message = rf"other\.pth does not fit the network.*Set model\.encoder to the network .* \(now {encoder}\)"
    with pytest.raises(ConfigError, match=message) as error:
        Smp(encoder=encoder, weights=str(tmp_path / "other.pth"), options=NARROW["Unet"])
    assert "layer1.0.conv1.weight" in str(error.value) or "size mismatch for blocks" in str(error.value)


def test_a_file_of_another_network_is_not_taken_for_timms(tmp_path):
    # timm itself loads nothing of it and says nothing
    torch.save(timm.create_model("test_convnext", num_classes=0).state_dict(), tmp_path / "convnext.pth")
    with pytest.raises(ConfigError, match=r"convnext\.pth does not fit the network\. \d+ of \d+ tensors are not in it"):
        Smp(encoder=TINY, weights=str(tmp_path / "convnext.pth"), options=NARROW["Unet"])


def test_published_weights_of_the_library_come_from_the_cache(offline):
    rgb = Smp(in_channels=3, encoder="resnet18", options=NARROW["Unet"])
    file = published("resnet18")
    folder = offline / f"models--{file.repo.replace('/', '--')}" / "snapshots" / file.revision
    folder.mkdir(parents=True)
    save_file(rgb.net.encoder.state_dict(), folder / file.name)
    net = Smp(in_channels=3, encoder="resnet18", weights="imagenet", options=NARROW["Unet"])
    assert torch.equal(net.net.encoder.conv1.weight, rgb.net.encoder.conv1.weight)


@pytest.mark.parametrize(
    ("encoder", "repo"),
    [("mobilenet_v2", r"smp-hub/mobilenet_v2\.imagenet"), (TINY, r"timm/test_efficientnet\.r160_in1k")],
)
def test_imagenet_offline_names_file_folder_and_key(offline, encoder, repo):
    with pytest.raises(
        ResourceError, match=rf"model\.safetensors of {repo}.*not in {offline}.*model\.weights=/path/to"
    ):
        Smp(encoder=encoder, weights="imagenet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            {"architecture": "DeepLabV3Plus", "encoder": "inceptionresnetv2"},
            r"model\.architecture=DeepLabV3Plus with model\.encoder=inceptionresnetv2: .* at 1/16 .*does not have.*"
            r"such as resnet34, .*or an architecture without, such as Unet",
            id="no-dilation",
        ),
        pytest.param(
            {"architecture": "PAN", "encoder": "vgg11"},
            r"at 1/16 .*or model\.options\.encoder_output_stride=32",
            id="no-dilation-pan",
        ),
        pytest.param(
            {"architecture": "DeepLabV3", "encoder": "tu-pvt_v2_b0"},
            r"model\.architecture=DeepLabV3 with model\.encoder=tu-pvt_v2_b0: .* at 1/8 .*does not have",
            id="no-dilation-timm",
        ),
        pytest.param(
            {"architecture": "DPT", "encoder": "tu-vit_small_patch14_dinov2"},
            r"model\.architecture=DPT with model\.encoder=tu-vit_small_patch14_dinov2 does not take images of any size "
            r".*divisible by 14.*patches of 8, 16 or 32 pixels",
            id="patches-of-14",
        ),
        pytest.param(
            {"architecture": "DPT", "encoder": "resnet18"},
            r"Only Timm encoders.*patches of 16 pixels, such as tu-vit_small_patch16_224",
            id="dpt-without-transformer",
        ),
        pytest.param(
            {"encoder": "tu-swin_tiny_patch4_window7_224"},
            r"does not take images of any size .*model\.encoder_options\.strict_img_size=false",
            id="one-size-only",
        ),
        pytest.param(
            {"architecture": "DeepLabV3", "encoder": "resnet18", "options": {"encoder_output_stride": 4}},
            r"support output stride 8 or 16, got 4.*Check model\.options",
            id="wrong-stride",
        ),
        pytest.param({"architecture": "unet"}, r"model\.architecture=unet is none of .*did you mean Unet\?", id="case"),
        pytest.param({"encoder": "resnet43"}, r"model\.encoder=resnet43 .*did you mean resnet34\?", id="encoder"),
        pytest.param(
            {"options": {"decoder_chanels": 3}},
            r"model\.options\.decoder_chanels is no option of Unet; did you mean decoder_channels\?",
            id="option",
        ),
        pytest.param({"options": {"xyz": 3}}, r"no option of Unet; it has encoder_depth, ", id="far-option"),
        pytest.param({"options": {"activation": "sigmoid"}}, r"model\.options\.activation is set by", id="activation"),
        pytest.param(
            {"encoder": "resnet18", "options": {"decoder_channels": [8]}},
            r"cannot be built \(ValueError: Model depth is 5, .*Check model\.options",
            id="option-value",
        ),
        pytest.param(
            {"architecture": "FPN", "encoder": "resnet18", "options": {"upsampling": 2}},
            r"an image of 256 x 288 gives logits of 128 x 144",
            id="other-size",
        ),
        pytest.param(
            {"encoder": "resnet18", "encoder_options": {"img_size": 32}},
            r"model\.encoder_options are for timm's encoders",
            id="native-encoder-options",
        ),
        pytest.param(
            {"encoder": TINY, "encoder_options": {"in_chans": 2}},
            r"model\.encoder_options\.in_chans is set by other keys",
            id="our-encoder-option",
        ),
        pytest.param(
            {"encoder": TINY, "encoder_options": {"xyz": 2}}, r"cannot be built \(TypeError: .*xyz", id="timm"
        ),
    ],
)
def test_combinations_that_cannot_be_are_refused(arguments, message):
    with torch.device("meta"), pytest.raises(ConfigError, match=message):
        Smp(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"in_channels": 0}, r"in_channels=0"), ({"grey": "mean"}, r"grey='mean' is not one of sum, repeat")],
    ids=str,
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Smp(**arguments)


def test_a_transformer_of_dpt_has_no_classifier_that_would_get_no_gradient():
    assert not [name for name, _ in small("DPT").named_parameters() if name.startswith("net.encoder.model.head")]


def test_a_swin_network_takes_any_size_when_told():
    net = Smp(
        encoder="tu-swin_tiny_patch4_window7_224",
        encoder_options={"strict_img_size": False, "depths": (1, 1, 1, 1), "embed_dim": 24},
        options=NARROW["Unet"],
    ).eval()
    with torch.no_grad():
        assert net(image(size=(65, 40))).shape == (2, 1, 65, 40)


def test_the_momentum_of_all_batch_norms_can_be_set():
    net = Smp(encoder="resnet18", bn_momentum=0.25)
    found = {module.momentum for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)}
    assert found == {0.25}
    with pytest.raises(ValueError, match="bn_momentum=0"):
        Smp(encoder="resnet18", bn_momentum=0.0)
