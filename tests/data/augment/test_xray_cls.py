"""Sharpness, autocontrast and flip: torchvision's values, each with its own probability."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import functional, v2

from lungseg.data.augment.xray_cls import XrayCls, autocontrasted, sharpened
from lungseg.errors import ConfigError


def noise(dtype=np.uint8, low=0.1, high=0.7, size=(37, 29)):
    draws = np.random.default_rng(3).uniform(low, high, size)
    return (draws * np.iinfo(dtype).max).astype(dtype)


def theirs(image, function, *arguments):
    return function(torch.from_numpy(image)[None], *arguments)[0].numpy()


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 2.0, 3.7])
def test_sharpness_is_torchvisions(factor):
    assert np.array_equal(sharpened(noise(), factor), theirs(noise(), functional.adjust_sharpness, factor))


def test_sharpness_by_hand():
    image = np.full((3, 3), 100, np.uint8)
    image[1, 1] = 113
    # the smooth centre is (8 * 100 + 5 * 113) / 13 = 105, so 2 * 113 - 105 = 121; the border has no smooth copy
    wanted = np.full((3, 3), 100, np.uint8)
    wanted[1, 1] = 121
    assert np.array_equal(sharpened(image, 2.0), wanted)


def test_sharpness_works_at_16_bits():
    image = np.full((3, 3), 40000, np.uint16)
    image[1, 1] = 40013
    assert sharpened(image, 2.0)[1, 1] == 40021


def test_an_image_without_an_inside_is_not_sharpened():
    image = noise(size=(2, 9))
    assert np.array_equal(sharpened(image, 2.0), image)
    assert np.array_equal(theirs(image, functional.adjust_sharpness, 2.0), image)


@pytest.mark.parametrize("image", [noise(), noise(low=0.2, high=0.21), np.full((5, 4), 77, np.uint8)],
                         ids=["wide", "narrow", "flat"])  # fmt: skip
def test_autocontrast_is_torchvisions(image):
    assert np.array_equal(autocontrasted(image), theirs(image, functional.autocontrast))


def test_autocontrast_fills_the_scale_of_16_bits():
    image = np.array([[1000, 2000, 3000]], np.uint16)
    # 65535 / 2000 times 0, 1000 and 2000; fractions are cut off
    assert autocontrasted(image).tolist() == [[0, 32767, 65535]]


@pytest.mark.parametrize(
    ("key", "kind"),
    [("sharpness", v2.RandomAdjustSharpness(2, p=1.0)), ("autocontrast", v2.RandomAutocontrast(p=1.0)),
     ("flip", v2.RandomHorizontalFlip(p=1.0))],
    ids=["sharpness", "autocontrast", "flip"],
)  # fmt: skip
def test_each_choice_is_the_transform_that_the_paper_names(key, kind):
    only = XrayCls(**{name: float(name == key) for name in ("sharpness", "autocontrast", "flip")})
    found, _ = only(noise(), np.zeros((0, 37, 29), np.uint8), seed=0, epoch=0, key=1)
    # v2 rounds a fraction near a whole number to its other side here and there
    assert np.abs(found.astype(int) - kind(torch.from_numpy(noise())[None])[0].numpy().astype(int)).max() <= 1
    assert not np.array_equal(found, noise())


def test_masks_are_mirrored_with_the_image():
    masks = np.zeros((1, 37, 29), np.uint8)
    masks[0, 5, 3] = 1
    _, moved = XrayCls(flip=1.0)(noise(), masks, seed=0, epoch=0, key=1)
    assert np.argwhere(moved[0]).tolist() == [[5, 25]]


def test_choices_fall_as_often_as_asked_and_apart_from_one_another():
    augment = XrayCls(sharpness=0.2, autocontrast=0.5, flip=0.8)
    drawn = [augment.sample(seed=1, epoch=e, key=k) for e in range(10) for k in range(200)]
    flags = np.array([(d.sharpen, d.stretch, d.flip) for d in drawn], float)
    # of 2,000 draws four standard deviations are 4 sqrt(0.25 / 2000) = 0.045
    assert flags.mean(axis=0) == pytest.approx([0.2, 0.5, 0.8], abs=0.045)
    assert np.abs(np.corrcoef(flags.T) - np.eye(3)).max() < 0.09


@pytest.mark.parametrize(
    ("given", "said"),
    [({"sharpness_factor": -1.0}, r"augment\.sharpness_factor=-1"), ({"flip": 1.5}, r"augment\.flip=1\.5"),
     ({"sharpness": -0.1}, r"augment\.sharpness=-0\.1"), ({"autocontrast": 2.0}, r"augment\.autocontrast=2")],
)  # fmt: skip
def test_values_out_of_range_are_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        XrayCls(**given)
