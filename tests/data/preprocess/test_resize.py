from __future__ import annotations

import numpy as np
import pytest

from lungseg.data.preprocess.base import Placement, Prepared
from lungseg.data.preprocess.resize import Resize, resized, resized_masks
from lungseg.errors import ConfigError


def sample(height: int, width: int, dtype: type = np.uint8) -> Prepared:
    image = np.full((height, width), 200, dtype)
    return Prepared(image, np.ones((1, height, width), np.uint8), Placement(0, 0, float(height), float(width)))


def test_shrinking_averages_over_areas():
    # two by two: (0 + 40 + 80 + 120) / 4 = 60
    assert resized(np.array([[0, 40], [80, 120]], np.uint8), 1, 1).tolist() == [[60]]


def test_growing_interpolates_between_pixel_centres():
    # output centres lie at -1/4, 1/4, 3/4, 5/4 of the input: 0, 25, 75, 100 per cent of 100
    assert resized(np.array([[0, 100]], np.uint8), 1, 4).tolist() == [[0, 25, 75, 100]]


def test_an_image_of_the_right_size_is_handed_on():
    image = np.zeros((8, 8), np.uint8)
    assert resized(image, 8, 8) is image


@pytest.mark.parametrize(("ones", "belongs"), [(1, 0), (2, 1), (3, 1)], ids=["quarter", "half", "three-quarters"])
def test_a_pixel_belongs_to_a_structure_from_half_of_its_area_on(ones, belongs):
    mask = np.zeros(4, np.uint8)
    mask[:ones] = 1
    assert resized_masks(mask.reshape(1, 2, 2), 1, 1).tolist() == [[[belongs]]]


def test_overlapping_structures_are_resized_apart():
    masks = np.stack([np.ones((4, 4)), np.tri(4)]).astype(np.uint8)
    out = resized_masks(masks, 2, 2)
    # lower triangle in 2 x 2 blocks: 3, 0, 4, 3 of 4 pixels
    assert out.tolist() == [[[1, 1], [1, 1]], [[1, 0], [1, 1]]]


def test_no_masks_stay_no_masks():
    assert resized_masks(np.zeros((0, 4, 4), np.uint8), 2, 2).shape == (0, 2, 2)


def test_stretching_places_the_image_on_the_whole_grid():
    out = Resize(size=(16, 32))(sample(20, 20))
    assert out.image.shape == (16, 32)
    assert out.placement == Placement(0, 0, 16, 32)


@pytest.mark.parametrize(
    ("size", "placement"),
    [
        ((20, 40), Placement(8, 0, 16, 32)),  # 0.8: 16 x 32, (32 - 16) / 2 = 8 above
        ((40, 20), Placement(0, 8, 32, 16)),
        ((16, 16), Placement(0, 0, 32, 32)),  # grows
        ((33, 66), Placement(8, 0, 16, 32)),  # 33 * 32 / 66 = 16
        ((31, 64), Placement(8, 0, 16, 32)),  # 15.5 rounds to 16 (half to even)
        ((29, 64), Placement(9, 0, 14, 32)),  # 14.5 rounds to 14; (32 - 14) / 2 = 9
    ],
    ids=lambda value: f"{value[0]}x{value[1]}" if isinstance(value, tuple) else "",
)
def test_a_letterbox_keeps_the_sides_ratio_and_centres(size, placement):
    out = Resize(size=(32, 32), mode="letterbox")(sample(*size))
    assert (out.placement.top, out.placement.left) == (placement.top, placement.left)
    assert (out.placement.height, out.placement.width) == pytest.approx((placement.height, placement.width))


def test_the_bars_of_a_letterbox_are_black_and_hold_no_structure():
    out = Resize(size=(32, 32), mode="letterbox")(sample(20, 40, np.uint16))
    assert out.image.dtype == np.uint16
    assert (out.image > 0).sum(axis=1).tolist() == [0] * 8 + [32] * 16 + [0] * 8
    assert np.array_equal(out.masks[0] > 0, out.image > 0)


def test_a_resize_after_a_resize_moves_the_placement_along():
    boxed = Resize(size=(32, 32), mode="letterbox")(sample(20, 40))
    assert Resize(size=(64, 16))(boxed).placement == Placement(16, 0, 32, 16)  # 8 * 2 above, 16 * 2 high, 32 / 2 wide


@pytest.mark.parametrize("size", [(256,), (256, 256, 3), (4, 256)], ids=["one", "three", "too-small"])
def test_a_size_that_is_no_height_and_width_is_refused(size):
    with pytest.raises(ConfigError, match=r"preprocess\.steps\.resize\.size"):
        Resize(size=size)


def test_a_guide_is_resized_and_letterboxed_with_the_image():
    guide = np.zeros((8, 16), np.uint8)
    guide[:, 8:] = 1
    given = Prepared(guide * np.uint8(200), guide[None], Placement(0, 0, 8, 16), guide=guide)
    stretched, boxed = Resize(size=(16, 16))(given), Resize(size=(16, 16), mode="letterbox")(given)
    for out in (stretched, boxed):
        assert np.array_equal(out.guide, out.masks[0])
    assert stretched.guide.sum() == 16 * 8
    assert boxed.guide.sum() == 8 * 8  # bars of 4 rows above and below
