from __future__ import annotations

import numpy as np
import pytest

from lungseg.data.preprocess.base import Placement, Prepared
from lungseg.data.preprocess.lungs_out import LungsOut
from lungseg.errors import ConfigError, DataError


def sample(dtype: type = np.uint8) -> Prepared:
    """100 in two lungs, rows 4 to 11 and columns 3 to 5 and 10 to 12; 30 left of column 8, 50 from it on."""
    guide = np.zeros((16, 16), np.uint8)
    guide[4:12, 3:6] = guide[4:12, 10:13] = 1
    grey = np.full((16, 16), 30, dtype)
    grey[:, 8:] = 50
    grey[guide > 0] = 100
    return Prepared(grey, np.zeros((0, 16, 16), np.uint8), Placement(0, 0, 16, 16), 0, guide)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_hull_takes_what_lies_between_the_lungs_too(dtype):
    out = LungsOut()(sample(dtype))
    # the hull is rows 4 to 11 and columns 3 to 12. Its ring is one pixel wide, rows 3 and 12 and columns 2 and 13
    # (2 * 12 + 2 * 8 = 40 pixels), half of it 30 and half of it 50
    assert (out.image[4:12, 3:13] == 40).all()
    assert out.image.dtype == dtype
    assert out.kept == pytest.approx(1 - 80 / 256)


def test_the_mask_leaves_what_lies_between_the_lungs():
    out = LungsOut(fill="mask")(sample())
    # the rings of both are of one size, so again the mean is 40
    assert (out.image[4:12, 3:6] == 40).all()
    assert (out.image[4:12, 10:13] == 40).all()
    assert (out.image[4:12, 6:8] == 30).all()
    assert out.kept == pytest.approx(1 - 48 / 256)


@pytest.mark.parametrize("fill", ["convex_hull", "mask"])
def test_nothing_of_the_lungs_is_left_and_nothing_around_is_changed(fill):
    given = sample()
    other = given.with_image(np.where(given.guide > 0, 222, given.image).astype(np.uint8))
    out = LungsOut(fill=fill)(given)
    assert np.array_equal(out.image, LungsOut(fill=fill)(other).image)
    assert np.array_equal(out.image[:4], given.image[:4])


def test_the_outline_of_the_lungs_does_not_show_through_the_hull():
    notched = sample()
    guide = notched.guide.copy()
    guide[6:9, 5] = 0  # a dent that the hull covers
    image = notched.image.copy()
    image[6:9, 5] = 30
    other = Prepared(image, notched.masks, notched.placement, 0, guide)
    assert np.array_equal(LungsOut()(other).image, LungsOut()(notched).image)


def test_lungs_that_fill_the_picture_have_no_surroundings_and_become_black():
    given = sample()
    full = Prepared(given.image, given.masks, given.placement, 0, np.ones((16, 16), np.uint8))
    out = LungsOut()(full)
    assert (out.image == 0).all()
    assert out.kept == 0


def test_colours_are_filled_each_with_its_own_mean():
    given = sample()
    colour = np.dstack([given.image, given.image * 2, given.image * 0])
    assert LungsOut()(given.with_image(colour)).image[8, 8].tolist() == [40, 80, 0]


def test_a_radiograph_without_a_mask_is_refused():
    with pytest.raises(DataError, match="needs a mask"):
        LungsOut()(Prepared(np.zeros((4, 4), np.uint8), np.zeros((0, 4, 4), np.uint8), Placement(0, 0, 4, 4)))


def test_an_empty_mask_may_leave_the_picture_as_it_is():
    given = sample()
    bare = Prepared(given.image, given.masks, given.placement, 0, np.zeros((16, 16), np.uint8))
    with pytest.raises(DataError, match="is empty"):
        LungsOut()(bare)
    assert np.array_equal(LungsOut(empty="keep")(bare).image, given.image)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"fill": "convex_hul"}, "did you mean convex_hull"),
        ({"masks": ""}, "masks is empty"),
        ({"empty": "drop"}, r"empty=drop is none of error, keep"),
    ],
)
def test_wrong_arguments_are_refused(wrong, match):
    with pytest.raises(ConfigError, match=match):
        LungsOut(**wrong)
