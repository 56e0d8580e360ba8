"""What the verbs that test a network share."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lungseg.commands.tested import describe, require_enough
from lungseg.errors import ConfigError
from lungseg.models.resunet import ResUNet

SIZES = {"train": 9, "val": 2, "test": 0}
MODULE = SimpleNamespace(positions=lambda part: range(SIZES[part]))


def test_a_part_with_fewer_images_than_processes_is_refused_by_name():
    with pytest.raises(
        ConfigError, match=r"the val part has 2 images and there are 3 processes.*trainer\.devices to 2"
    ):
        require_enough(MODULE, 3, "train", "val")


def test_enough_images_and_parts_that_are_empty_pass():
    require_enough(MODULE, 2, "train", "val", "test", "val")


def test_a_network_is_told_with_its_parameters_and_its_cost():
    net = ResUNet(in_channels=1, features=(4, 8))
    told = describe(net, (32, 32))
    assert told["class"] == "ResUNet"
    assert told["parameters"] == told["trainable"] == sum(p.numel() for p in net.parameters())
    assert told["input_size"] == [32, 32]
    assert told["macs"] > 0
