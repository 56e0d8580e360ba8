"""Classifiers of torchvision: counts, cost, the very logits of torchvision, its files, and what is refused."""

from __future__ import annotations

import logging

import pytest
import torch
from huggingface_hub import constants
from torch import nn
from torchvision.models import get_model, get_model_weights

from lungseg.errors import ConfigError, ResourceError
from lungseg.models.cost import count_macs
from lungseg.models.torchvision_classifier import NAMES, TorchvisionClassifier

ARCHITECTURES = sorted(NAMES)


def image(channels: int = 1, size: tuple[int, int] = (64, 40)) -> torch.Tensor:
    return torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(1))


def theirs(architecture: str, num_classes: int = 1000) -> nn.Module:
    """torchvision's own network, its batch norms used to its activations."""
    torch.manual_seed(1)
    net = get_model(architecture, weights=None, num_classes=num_classes)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        net(image(3, (96, 96)))
    return net.eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of weights as torchvision publishes them, and the networks that they are of."""
    folder = tmp_path_factory.mktemp("torchvision")
    nets = {name: theirs(name) for name in ARCHITECTURES}
    for name, net in nets.items():
        torch.save(net.state_dict(), folder / f"{name}.pth")
    return folder, nets


@pytest.mark.parametrize(
    ("architecture", "classes", "arguments", "count"),
    [
        ("resnet34", 3, {"in_channels": 3}, 21_286_211),
        ("mobilenet_v3_large", 3, {"in_channels": 3}, 4_205_875),
        ("efficientnet_b1", 3, {"in_channels": 3}, 6_517_027),
        ("resnet34", 7, {"grey": "repeat"}, 21_288_263),
        ("mobilenet_v3_large", 7, {"grey": "repeat"}, 4_210_999),
        ("efficientnet_b1", 7, {"grey": "repeat"}, 6_522_151),
        ("resnet34", 3, {}, 21_279_939),
        ("mobilenet_v3_large", 3, {}, 4_205_587),
        ("efficientnet_b1", 3, {}, 6_516_451),
    ],
)
def test_parameter_counts(architecture, classes, arguments, count):
    with torch.device("meta"):
        net = TorchvisionClassifier(architecture=architecture, num_classes=classes, **arguments)
    assert sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize(
    ("architecture", "billions", "printed", "apart"),
    [
        # operations counted at 1024 x 1024; what the paper's Table 2 prints, and how far it is from that
        ("resnet34", 153.11, 153.9, 0.006),
        ("mobilenet_v3_large", 8.89, 8.7, 0.022),
        ("efficientnet_b1", 23.71, 25.8, 0.081),
    ],
)
def test_operations_are_those_of_the_papers_table_2_at_1024_pixels(architecture, billions, printed, apart):
    with torch.device("meta"):
        net = TorchvisionClassifier(architecture=architecture, num_classes=1000, in_channels=3)
    counted = 2 * count_macs(net, (1024, 1024)) / 1e9
    assert counted == pytest.approx(billions, abs=0.005)
    assert abs(counted / printed - 1) == pytest.approx(apart, abs=0.001)


@pytest.mark.parametrize(
    ("architecture", "size", "scaled"),
    [("resnet34", 224, 153.1), ("mobilenet_v3_large", 224, 9.1), ("efficientnet_b1", 240, 25.0)],
)
def test_operations_at_the_size_of_imagenet_are_those_that_torchvision_publishes(architecture, size, scaled):
    # scaled by area to 1024 x 1024 they are too many, where maps of odd sides are rounded up: 240 / 32 = 7.5 -> 8
    with torch.device("meta"):
        net = TorchvisionClassifier(architecture=architecture, num_classes=1000, in_channels=3)
    macs = count_macs(net, (size, size)) / 1e9
    assert macs == pytest.approx(get_model_weights(architecture).DEFAULT.meta["_ops"], abs=0.0005)
    assert 2 * macs * (1024 / size) ** 2 == pytest.approx(scaled, abs=0.06)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_file_of_torchvision_gives_its_logits(files, architecture):
    folder, nets = files
    net = TorchvisionClassifier(
        architecture=architecture, num_classes=1000, in_channels=3, weights=str(folder / f"{architecture}.pth")
    ).eval()
    with torch.no_grad():
        expected = nets[architecture](image(3))
        torch.testing.assert_close(net(image(3)), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 1e-3


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_on_grey_images_summed_and_repeated_filters_give_the_features_of_three_copies(files, architecture):
    folder, nets = files
    file = str(folder / f"{architecture}.pth")
    names, found = NAMES[architecture], []
    hook = nets[architecture].get_submodule(names.classifier).register_forward_pre_hook(lambda _, x: found.append(x[0]))
    with torch.no_grad():
        nets[architecture](image().expand(-1, 3, -1, -1))
        hook.remove()
        for grey, planes in (("sum", 1), ("repeat", 3)):
            net = TorchvisionClassifier(architecture=architecture, num_classes=3, grey=grey, weights=file).eval()
            assert net.net.get_submodule(names.stem).in_channels == planes
            torch.testing.assert_close(net.features(image()), found[0], rtol=1e-3, atol=1e-3)


def test_a_file_s_classifier_of_1000_classes_is_left_out_and_that_is_said(files, caplog):
    folder, _ = files
    with caplog.at_level(logging.INFO):
        TorchvisionClassifier(num_classes=3, weights=str(folder / "resnet34.pth"))
    assert "its classifier of 1000 classes is left out; the last layer, of 3 classes, starts from chance" in caplog.text


@pytest.mark.parametrize(("architecture", "layer"), [("resnet34", "layer4.2"), ("efficientnet_b1", "features.8")])
def test_the_last_convolution_is_the_papers(architecture, layer):
    with torch.device("meta"):
        net = TorchvisionClassifier(architecture=architecture)
    assert net.last_conv is net.net.get_submodule(layer)


@pytest.mark.parametrize(
    ("architecture", "dropout", "expected"),
    [("resnet34", None, 0), ("mobilenet_v3_large", None, 0.2), ("efficientnet_b1", None, 0.2), ("resnet34", 0.5, 0.5)],
)
def test_dropout_is_torchvisions_unless_it_is_set(architecture, dropout, expected):
    with torch.device("meta"):
        net = TorchvisionClassifier(architecture=architecture, dropout=dropout)
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == [expected]


def test_the_momentum_of_batch_norms_can_be_set():
    with torch.device("meta"):
        own, fast = (TorchvisionClassifier(architecture="mobilenet_v3_large", bn_momentum=m) for m in (None, 0.1))
    momenta = [{m.momentum for m in net.modules() if isinstance(m, nn.BatchNorm2d)} for net in (own, fast)]
    assert momenta == [{0.01}, {0.1}]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_imagenet_offline_names_file_address_folder_and_key(architecture, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    url = get_model_weights(architecture).DEFAULT.url
    file = url.rpartition("/")[2]
    with pytest.raises(ResourceError) as error:
        TorchvisionClassifier(architecture=architecture, weights="imagenet")
    text = str(error.value)
    assert f"model.weights=imagenet needs the file {file}, which is not in {tmp_path / 'checkpoints'}" in text
    assert f"fetch {url} and copy it into {tmp_path / 'checkpoints'}; or set model.weights=/path/to/{file}" in text


def test_imagenet_is_taken_from_torchs_cache(files, tmp_path, monkeypatch):
    folder, nets = files
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    name = get_model_weights("resnet34").DEFAULT.url.rpartition("/")[2]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / name).symlink_to(folder / "resnet34.pth")
    net = TorchvisionClassifier(in_channels=3, weights="imagenet")
    assert torch.equal(net.net.conv1.weight, nets["resnet34"].conv1.weight)


def test_a_file_of_another_network_is_refused_with_its_layers_and_the_key(files):
    folder, _ = files
    message = (
        r"mobilenet_v3_large\.pth does not fit the network\. \d+ of \d+ tensors are not in it: conv1\.weight, .*"
        r"its own begin with features\.0\.0\.weight.*Set model\.architecture to the network .*\(now resnet34\)"
    )
    with pytest.raises(ConfigError, match=message):
        TorchvisionClassifier(weights=str(folder / "mobilenet_v3_large.pth"))


def test_a_file_of_other_widths_is_refused_with_its_layers_and_the_key(files, tmp_path):
    _, nets = files
    state = nets["resnet34"].state_dict()
    torch.save({**state, "layer1.0.conv1.weight": torch.ones(32, 64, 3, 3)}, tmp_path / "narrow.pth")
    message = (
        r"1 of \d+ tensors have other shapes: layer1\.0\.conv1\.weight is \(32, 64, 3, 3\), the network wants "
        r"\(64, 64, 3, 3\)\. Set model\.architecture"
    )
    with pytest.raises(ConfigError, match=message):
        TorchvisionClassifier(weights=str(tmp_path / "narrow.pth"))


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("resnet43", r"model\.architecture=resnet43 is none of resnet34, .*; did you mean resnet34\?"),
        ("zz", r"model\.architecture=zz is none of .*Others are in timm: model=timm model\.backbone="),
    ],
)
def test_another_architecture_is_refused(architecture, message):
    with pytest.raises(ConfigError, match=message):
        TorchvisionClassifier(architecture=architecture)
