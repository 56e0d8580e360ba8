from __future__ import annotations

import numpy as np
import pytest

from lungseg.data.preprocess.base import Placement, Prepared
from lungseg.data.preprocess.border_only import BorderOnly
from lungseg.errors import ConfigError, DataError


def sample(image: np.ndarray | None = None) -> Prepared:
    """Lungs in rows 4 to 13 and columns 5 to 7 and 12 to 14 of 20 x 20."""
    guide = np.zeros((20, 20), np.uint8)
    guide[4:14, 5:8] = guide[4:14, 12:15] = 1
    grey = np.full((20, 20), 60, np.uint8) if image is None else image
    return Prepared(grey, np.zeros((0, 20, 20), np.uint8), Placement(0, 0, 20, 20), 0, guide)


def test_the_box_around_both_lungs_is_filled_and_the_share_around_it_told():
    image = np.full((20, 20), 60, np.uint8)
    image[4:14, 5:15] = 200
    out = BorderOnly()(sample(image))
    assert (out.image == 60).all()
    assert out.kept == pytest.approx(1 - 100 / 400)


def test_the_margin_is_a_share_of_the_box_and_ends_at_the_border():
    image = np.arange(400, dtype=np.uint16).reshape(20, 20)
    out = BorderOnly(margin=0.5)(sample(image))
    # 10 x 10 and 5 more on each side: rows -1 to 18, of which -1 is not there, and columns 0 to 19
    assert np.array_equal(out.image[19], image[19])
    assert np.ptp(out.image[:19]) == 0
    assert out.kept == pytest.approx(1 / 20)


def test_nothing_inside_the_box_is_left():
    noise = np.random.default_rng(0).integers(0, 256, (20, 20)).astype(np.uint8)
    other = noise.copy()
    other[4:14, 5:15] = np.random.default_rng(1).integers(0, 256, (10, 10))
    assert np.array_equal(BorderOnly()(sample(noise)).image, BorderOnly()(sample(other)).image)


def test_two_outlines_of_one_box_give_one_picture():
    given = sample()
    ellipse = given.guide.copy()
    ellipse[5:13, 6] = 0
    image = np.random.default_rng(0).integers(0, 256, (20, 20)).astype(np.uint8)
    other = Prepared(image, given.masks, given.placement, 0, ellipse)
    assert np.array_equal(BorderOnly()(sample(image)).image, BorderOnly()(other).image)


def test_a_radiograph_without_a_mask_is_refused():
    given = sample()
    with pytest.raises(DataError, match="needs a mask"):
        BorderOnly()(Prepared(given.image, given.masks, given.placement))


def test_an_empty_mask_may_leave_the_picture_as_it_is():
    given = sample()
    out = BorderOnly(empty="keep")(Prepared(given.image, given.masks, given.placement, 0, given.guide * 0))
    assert np.array_equal(out.image, given.image)
    assert out.kept == 1.0


@pytest.mark.parametrize(
    ("wrong", "match"), [({"margin": -0.1}, r"margin=-0\.1 is a share"), ({"masks": ""}, "masks is empty")]
)
def test_wrong_arguments_are_refused(wrong, match):
    with pytest.raises(ConfigError, match=match):
        BorderOnly(**wrong)
