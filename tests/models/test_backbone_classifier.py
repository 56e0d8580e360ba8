"""What the classifiers share, on a backbone of one convolution: input, freezing, and the last layer of a file."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from lungseg.errors import ConfigError
from lungseg.models.backbone_classifier import BackboneClassifier
from lungseg.models.weights import Weights


class Means(BackboneClassifier):
    """The features are the means of two convolved maps."""

    def __init__(self, *, in_channels: int = 1, num_classes: int = 3, last_conv: str = "conv", **arguments) -> None:
        super().__init__(in_channels=in_channels, num_classes=num_classes, **arguments)
        net = nn.Sequential()
        net.add_module("conv", nn.Conv2d(self.planes, 2, 1, bias=False))
        net.add_module("norm", nn.BatchNorm2d(2))
        net.add_module("pool", nn.AdaptiveAvgPool2d(1))
        net.add_module("flat", nn.Flatten())
        self.use(net, features=2, last_conv=last_conv)


FILE = {
    "conv.weight": torch.tensor([1.0, 2, 4, 0, 0, 1]).view(2, 3, 1, 1),
    **{f"norm.{name}": value for name, value in nn.BatchNorm2d(2).state_dict().items()},
    "fc.weight": torch.arange(6.0).view(3, 2),
    "fc.bias": torch.tensor([7.0, 8, 9]),
}


def load(net: Means, tensors: dict[str, torch.Tensor]) -> None:
    net.load(Weights("model.weights=x.pth", tensors), classifier="fc", stem="conv.weight", advice="Set model.x")


def test_logits_are_the_last_layer_of_the_features_and_dropout_stands_between():
    net = Means(dropout=0.5)
    image = torch.rand(2, 1, 8, 8)
    torch.manual_seed(0)
    dropped = net.drop(net.features(image))
    torch.manual_seed(0)
    torch.testing.assert_close(net(image), net.head(dropped))
    assert (dropped == 0).any()
    net.eval()
    assert torch.equal(net(image), net.head(net.features(image)))


@pytest.mark.parametrize(
    ("in_channels", "grey", "expected"),
    [
        (1, "sum", [[7.0], [1.0]]),
        (1, "repeat", [[1.0, 2, 4], [0, 0, 1]]),
        (3, "sum", [[1.0, 2, 4], [0, 0, 1]]),
    ],
)
def test_filters_for_rgb_fit_every_kind_of_input(in_channels, grey, expected):
    net = Means(in_channels=in_channels, grey=grey)
    load(net, FILE)
    assert net.net.conv.weight.flatten(1).tolist() == expected


def test_summed_and_repeated_filters_give_the_same_features():
    summed, repeated = Means(grey="sum").eval(), Means(grey="repeat").eval()
    load(summed, FILE)
    load(repeated, FILE)
    image = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(summed.features(image), repeated.features(image))


def test_a_classifier_of_as_many_classes_is_taken_over_with_a_warning(caplog):
    net = Means()
    with caplog.at_level(logging.INFO):
        load(net, FILE)
    assert torch.equal(net.head.weight, FILE["fc.weight"])
    assert torch.equal(net.head.bias, FILE["fc.bias"])
    (line,) = caplog.records
    assert line.levelname == "WARNING"
    assert line.getMessage() == (
        "model.weights=x.pth: its classifier of 3 classes is taken over; its classes must be these, in this order"
    )


def test_a_classifier_of_other_classes_is_left_out_and_that_is_said(caplog):
    torch.manual_seed(0)
    net = Means(num_classes=5)
    drawn = net.head.weight.clone()
    with caplog.at_level(logging.INFO):
        load(net, FILE)
    assert torch.equal(net.head.weight, drawn)
    assert net.net.conv.weight.sum() == 8
    assert caplog.messages == [
        "model.weights=x.pth: its classifier of 3 classes is left out; the last layer, of 5 classes, starts from chance"
    ]


def test_a_file_without_a_classifier_is_enough(caplog):
    with caplog.at_level(logging.INFO):
        load(Means(), {name: value for name, value in FILE.items() if not name.startswith("fc")})
    assert caplog.messages == []


@pytest.mark.parametrize("classes", [3, 4])
def test_a_checkpoint_of_our_own_is_taken(classes):
    first, second = Means(in_channels=3), Means(in_channels=3, num_classes=classes)
    drawn = second.head.weight.clone()
    load(second, first.state_dict())
    assert torch.equal(second.net.conv.weight, first.net.conv.weight)
    assert torch.equal(second.head.weight, first.head.weight if classes == 3 else drawn)


def test_tensors_that_do_not_fit_are_named_with_what_to_set():
    with pytest.raises(ConfigError) as error:
        load(Means(), {**FILE, "conv.weight": torch.ones(4, 3, 1, 1)})
    assert str(error.value) == (
        "model.weights=x.pth does not fit the network. 1 of 5 tensors have other shapes: conv.weight is (4, 1, 1, 1), "
        "the network wants (2, 1, 1, 1). Set model.x"
    )


def test_a_frozen_backbone_stays_in_evaluation_mode_whatever_is_asked_of_the_network():
    net = Means(freeze="backbone").train()
    assert (net.training, net.drop.training, net.net.training, net.net.norm.training) == (True, True, False, False)
    net.set_frozen(False)
    assert net.net.norm.training
    net.eval()
    assert not net.net.norm.training
    net.set_frozen(True)
    net.set_frozen(False)
    assert not net.net.norm.training


def test_layers_without_parameters_are_none():
    net = Means()
    assert [len(layer) for layer in net.layers()] == [1, 2, 2]  # filters; scale and shift; weight and bias


def test_a_module_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"model\.last_conv=con is no module .*did you mean net\.conv\?"):
        Means(last_conv="con")
    with pytest.raises(ConfigError, match=r"model\.last_conv=zz is no module .*its last are net\.norm, net\.pool, net"):
        Means(last_conv="zz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, r"num_classes=0"),
        ({"grey": "mean"}, r"grey='mean' is not one of sum, repeat"),
        ({"freeze": "all"}, r"freeze='all' is not one of none, backbone"),
        ({"dropout": 1.0}, r"dropout=1\.0"),
        ({"unfreeze_at_epoch": 3}, r"unfreeze_at_epoch=3 with freeze=none"),
        ({"freeze": "backbone", "unfreeze_at_epoch": 0}, r"unfreeze_at_epoch=0 .*first epoch, counted from 1"),
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Means(**arguments)
