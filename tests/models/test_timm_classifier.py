"""Classifiers on networks of timm: sizes, features, Grad-CAM's layer, timm's files, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from lungseg.errors import ConfigError, ResourceError
from lungseg.models.timm_classifier import TimmClassifier, _trial

TINY = "test_efficientnet"  # timm made some for tests
BACKBONES = [TINY, "test_resnet", "test_convnext", "test_vit", "test_mambaout"]


def image(channels: int = 1, size: tuple[int, int] = (64, 40)) -> torch.Tensor:
    return torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(1))


def save(name: str, path: Path, **arguments) -> torch.nn.Module:
    """A file of weights as timm publishes them, and the network that it is of."""
    torch.manual_seed(3)
    net = timm.create_model(name, **arguments).eval()
    if path.suffix == ".safetensors":
        save_file(net.state_dict(), path)
    else:
        torch.save(net.state_dict(), path)
    return net


@pytest.fixture
def offline(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return folder


@pytest.mark.parametrize(
    ("backbone", "count"),
    [("resnet34", 21_279_939), ("mobilenetv3_large_100", 4_205_587), ("efficientnet_b1", 6_516_451)],
)
def test_parameter_counts_are_those_of_torchvisions_networks(backbone, count):
    with torch.device("meta"):
        net = TimmClassifier(backbone=backbone, num_classes=3)
    assert sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("size", [(1, 1), (33, 47), (130, 30)], ids=str)
def test_images_of_any_size_are_taken(backbone, size):
    net = TimmClassifier(backbone=backbone, num_classes=3).eval()
    with torch.no_grad():
        assert net(image(size=size)).shape == (2, 3)


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_transformers_made_for_one_size_are_told_to_take_any(backbone):
    with torch.device("meta"):
        net = TimmClassifier(backbone=backbone)
        assert net(torch.empty(2, 1, 100, 60, device="meta")).shape == (2, 2)


def test_patches_that_do_not_divide_32_are_filled_up():
    with torch.device("meta"):
        net = TimmClassifier(backbone="vit_small_patch14_dinov2")
        assert net.stride == 14
        assert net(torch.empty(2, 1, 100, 60, device="meta")).shape == (2, 2)


def test_a_network_of_one_size_says_which_and_takes_it():
    net = TimmClassifier(backbone="resmlp_12_224", options={"img_size": 64}).eval()
    with torch.no_grad():
        assert net(image(size=(64, 64))).shape == (2, 2)
    with pytest.raises(ValueError, match=r"has 64 x 40 pixels, but model\.backbone=resmlp_12_224 takes 64 x 64 only\."):
        net(image())


def test_what_is_found_out_leaves_weights_and_mode_as_they_are():
    torch.manual_seed(5)
    plain = timm.create_model("test_vit", num_classes=0, in_chans=1)
    torch.manual_seed(5)
    net = TimmClassifier(backbone="test_vit")
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in net.net.state_dict().items())
    assert all(module.training for module in net.modules())


@pytest.mark.parametrize(
    ("backbone", "layer", "maps"),
    [
        ("test_resnet", "layer4", (3, 4)),
        (TINY, "bn2", (3, 4)),  # after the convolution that widens the last block
        ("test_convnext", "stages", (3, 4)),
        ("test_vit", "patch_embed.proj", (6, 8)),  # a transformer has no other: patches of 16 pixels
    ],
)
def test_the_last_maps_are_found(backbone, layer, maps):
    net, seen = TimmClassifier(backbone=backbone).eval(), []
    assert net.last_conv is net.net.get_submodule(layer)
    net.last_conv.register_forward_hook(lambda module, inputs, out: seen.append(out.shape))
    with torch.no_grad():
        net(image(size=(96, 128)))
    assert seen[0][2:] == maps


def test_a_dense_layer_written_as_a_convolution_is_no_last_map():
    """VGG's 7 x 7 on maps of 7 x 7, found without numbers: it has 129 million weights."""
    with torch.device("meta"):
        net = timm.create_model("vgg11", num_classes=0, in_chans=1)
    found = _trial(net, 1, (256, 260))
    assert found == (4096, "features")


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_timm_gives_its_logits(tmp_path, backbone, suffix):
    path = tmp_path / f"weights{suffix}"
    theirs = save(backbone, path, num_classes=5)
    net = TimmClassifier(backbone=backbone, in_channels=3, num_classes=5, weights=str(path)).eval()
    size = theirs.pretrained_cfg["input_size"][1:]
    with torch.no_grad():
        torch.testing.assert_close(net(image(3, size)), theirs(image(3, size)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("backbone", [TINY, "test_vit"])
def test_on_grey_images_summed_and_repeated_filters_give_the_same_features(tmp_path, backbone):
    save(backbone, tmp_path / "weights.pth")
    nets = [TimmClassifier(backbone=backbone, grey=g, weights=str(tmp_path / "weights.pth")) for g in ("sum", "repeat")]
    with torch.no_grad():
        torch.testing.assert_close(*(net.eval().features(image()) for net in nets), rtol=1e-3, atol=1e-4)
    assert [net.planes for net in nets] == [1, 3]


def test_a_classifier_of_other_classes_is_left_out_and_that_is_said(tmp_path, caplog):
    theirs = save("test_resnet", tmp_path / "weights.pth", num_classes=7)
    with caplog.at_level(logging.INFO, logger="lungseg"):
        net = TimmClassifier(backbone="test_resnet", num_classes=3, weights=str(tmp_path / "weights.pth"))
    assert "its classifier of 7 classes is left out; the last layer, of 3 classes, starts from chance" in caplog.text
    torch.testing.assert_close(net.net.layer4[0].conv1.weight, theirs.layer4[0].conv1.weight)


@pytest.mark.parametrize("classes", [3, 4])
def test_a_checkpoint_of_our_own_is_taken(tmp_path, classes):
    first = TimmClassifier(backbone="test_vit", num_classes=3)
    state = {f"model.{name}": value for name, value in first.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "best.ckpt")
    net = TimmClassifier(backbone="test_vit", num_classes=classes, weights=str(tmp_path / "best.ckpt"))
    assert all(torch.equal(value, first.net.state_dict()[name]) for name, value in net.net.state_dict().items())
    assert (classes == 3) == (net.head.weight.shape == first.head.weight.shape)


def test_timm_keeps_no_copy_of_the_file(tmp_path):
    save(TINY, tmp_path / "weights.pth")
    net = TimmClassifier(backbone=TINY, weights=str(tmp_path / "weights.pth"))
    assert "state_dict" not in net.net.pretrained_cfg


def test_published_weights_come_from_the_cache(offline):
    folder = offline / "models--timm--test_resnet.r160_in1k" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    (folder.parents[1] / "refs").mkdir()
    (folder.parents[1] / "refs" / "main").write_text("abc")
    theirs = save("test_resnet", folder / "model.safetensors")
    net = TimmClassifier(backbone="test_resnet.r160_in1k", in_channels=3, weights="imagenet")
    assert torch.equal(net.net.conv1[0].weight, theirs.conv1[0].weight)


def test_imagenet_offline_names_file_folder_and_key(offline):
    message = rf"model\.safetensors of timm/test_resnet\.r160_in1k.*not in {offline}.*model\.weights=/path/to"
    with pytest.raises(ResourceError, match=message):
        TimmClassifier(backbone="test_resnet", weights="imagenet")


def test_layers_are_timms_stages():
    net = TimmClassifier(backbone="test_resnet")
    names = {p: name for name, p in net.named_parameters()}
    firsts = [names[layer[0]] for layer in net.layers()]
    assert firsts == [
        "net.conv1.0.weight", "net.layer1.0.conv1.weight", "net.layer2.0.conv1.weight", "net.layer3.0.conv1.weight",
        "net.layer4.0.conv1.weight", "head.weight",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"backbone": "resnet43"}, r"=resnet43 is no network .*mean resnet\d+\w*\?", id="near"),
        pytest.param({"backbone": "zzz"}, r"model\.backbone=zzz is no network of timm; it has resnet34, ", id="far"),
        pytest.param(
            {"backbone": "resnet34.a1_in2k"},
            r"timm has no weights of resnet34 by the tag a1_in2k; did you mean resnet34\.a1_in1k\?",
            id="tag",
        ),
        pytest.param(
            {"backbone": TINY, "options": {"in_chans": 3}}, r"model\.options\.in_chans is set by other keys", id="ours"
        ),
        pytest.param(
            {"backbone": TINY, "options": {"xyz": 3}},
            r"model\.backbone=test_efficientnet cannot be built \(TypeError: .*xyz.*Check model\.options",
            id="option",
        ),
        pytest.param(
            {"backbone": TINY, "last_conv": "bn3"}, r"model\.last_conv=bn3 is no module .*mean net\.bn\d\?", id="layer"
        ),
        pytest.param(
            {"backbone": "resnet14t", "weights": "imagenet"},
            r"model\.weights=imagenet.*not in",
            id="published-nowhere-here",
        ),
    ],
)
def test_what_cannot_be_is_refused(offline, arguments, message):
    with pytest.raises((ConfigError, ResourceError), match=message):
        TimmClassifier(**arguments)


@pytest.mark.parametrize("other", ["test_resnet", "test_efficientnet_ln"])
def test_a_file_of_another_network_is_refused_with_the_key(tmp_path, other):
    save(other, tmp_path / "other.pth")
    message = rf"other\.pth does not fit the network.*Set model\.backbone to the network .*\(now {TINY}\)"
    with pytest.raises(ConfigError, match=message):
        TimmClassifier(backbone=TINY, weights=str(tmp_path / "other.pth"))


def test_a_file_of_other_widths_is_refused_with_its_layers(tmp_path):
    save("mobilenetv3_small_075", tmp_path / "other.pth")
    with pytest.raises(ConfigError, match=r"other\.pth does not fit .*: size mismatch for blocks.*and \d+ more"):
        TimmClassifier(backbone="mobilenetv3_small_050", weights=str(tmp_path / "other.pth"))
