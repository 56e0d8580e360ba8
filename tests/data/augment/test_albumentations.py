from __future__ import annotations

import albumentations
import numpy as np
import pytest

from lungseg.data.augment.albumentations import Albumentations
from lungseg.data.augment.base import sample_key
from lungseg.errors import ConfigError


def pipeline() -> Albumentations:
    return Albumentations(
        transforms={
            "affine": albumentations.Affine(rotate=(-10, 10), scale=(0.9, 1.1), p=1.0),
            "noise": albumentations.GaussNoise(std_range=(0.05, 0.1), p=1.0),
            "off": None,
        }
    )


IMAGE = np.arange(32 * 32, dtype=np.uint8).reshape(32, 32)
MASKS = np.stack([np.tri(32), 1 - np.tri(32)]).astype(np.uint8)


def draw(augment: Albumentations, epoch: int, name: str) -> bytes:
    return augment(IMAGE, MASKS, seed=0, epoch=epoch, key=sample_key(name))[0].tobytes()


NAMES = [(epoch, f"s/{i}") for epoch in range(2) for i in range(6)]


def test_draws_do_not_depend_on_the_order_of_the_calls():
    forward = {case: draw(pipeline(), *case) for case in NAMES}
    one = pipeline()
    assert {case: draw(one, *case) for case in reversed(NAMES)} == forward


def test_draws_do_not_depend_on_how_many_workers_share_the_samples():
    alone = pipeline()
    two = [pipeline(), pipeline()]
    assert [draw(alone, *case) for case in NAMES] == [draw(two[i % 2], *case) for i, case in enumerate(NAMES)]


def test_every_sample_and_epoch_has_its_own_draw():
    one = pipeline()
    assert len({draw(one, *case) for case in NAMES}) == len(NAMES)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_dtypes_and_shapes_are_kept(dtype):
    image, masks = pipeline()(IMAGE.astype(dtype), MASKS, seed=0, epoch=0, key=1)
    assert (image.shape, image.dtype) == ((32, 32), dtype)
    assert (masks.shape, masks.dtype) == ((2, 32, 32), np.uint8)
    assert set(np.unique(masks)) <= {0, 1}


def test_16_bits_go_through_without_loss():
    image = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    flip = Albumentations(transforms={"flip": albumentations.HorizontalFlip(p=1.0)})
    out, _ = flip(image, np.zeros((1, 256, 256), np.uint8), seed=0, epoch=0, key=1)
    assert np.array_equal(out, image[:, ::-1])


def test_a_sample_without_masks_goes_through():
    _, masks = pipeline()(IMAGE, np.zeros((0, 32, 32), np.uint8), seed=0, epoch=0, key=1)
    assert masks.shape == (0, 32, 32)


def test_every_plane_moves_alike_and_an_empty_one_stays_empty():
    given = np.stack([np.tri(32), np.zeros((32, 32)), np.tri(32)]).astype(np.uint8)
    _, moved = pipeline()(IMAGE, given, seed=0, epoch=0, key=1)
    assert not np.array_equal(moved[0], given[0])
    assert np.array_equal(moved[2], moved[0])
    assert not moved[1].any()


def test_the_image_moves_alike_with_and_without_planes():
    # the pixels that are left out must not change what is drawn
    images = [pipeline()(IMAGE, MASKS[:planes], seed=0, epoch=0, key=1)[0] for planes in (0, 1, 2)]
    assert np.array_equal(images[0], images[1])
    assert np.array_equal(images[0], images[2])


def test_a_change_of_size_is_refused_with_the_key_to_use():
    crop = Albumentations(transforms={"crop": albumentations.CenterCrop(16, 16)})
    with pytest.raises(ConfigError, match=r"\(32, 32\) to \(16, 16\).*preprocess\.steps\.resize\.size"):
        crop(IMAGE, MASKS, seed=0, epoch=0, key=1)


@pytest.mark.parametrize("transforms", [{}, {"off": None}], ids=["empty", "all-off"])
def test_no_transforms_point_to_augment_none(transforms):
    with pytest.raises(ConfigError, match="augment=none"):
        Albumentations(transforms=transforms)
