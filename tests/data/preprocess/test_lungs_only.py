from __future__ import annotations

import numpy as np
import pytest

from lungseg.data.preprocess.base import Placement, Prepared
from lungseg.data.preprocess.lungs_only import LungsOnly
from lungseg.data.preprocess.resize import Resize
from lungseg.errors import ConfigError, DataError


def sample(guide: np.ndarray | None) -> Prepared:
    image = np.arange(1, 13, dtype=np.uint8).reshape(3, 4)
    return Prepared(image, np.zeros((0, 3, 4), np.uint8), Placement(0, 0, 3, 4), 0, guide)


LUNGS = np.array([[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 0, 1]], np.uint8)


def test_all_but_the_lungs_is_black_and_the_share_that_stays_is_told():
    out = LungsOnly()(sample(LUNGS))
    assert out.image.tolist() == [[0, 0, 0, 0], [0, 6, 0, 8], [0, 10, 0, 12]]
    assert out.kept == pytest.approx(4 / 12)


def test_the_sample_given_is_not_written_to():
    given = sample(LUNGS)
    LungsOnly()(given)
    assert given.image.tolist() == sample(LUNGS).image.tolist()


def test_what_lies_around_the_lungs_changes_nothing_of_the_result():
    given = sample(LUNGS)
    other = given.with_image(np.where(LUNGS > 0, given.image, 255).astype(np.uint8))
    assert np.array_equal(LungsOnly()(given).image, LungsOnly()(other).image)


def test_colour_is_cut_in_every_channel():
    given = sample(LUNGS)
    out = LungsOnly()(given.with_image(np.dstack([given.image] * 3)))
    assert np.array_equal(out.image[..., 2], LungsOnly()(given).image)


def test_after_a_resize_the_guide_fits_the_new_grid():
    out = LungsOnly()(Resize(size=(12, 16))(sample(LUNGS)))
    assert (out.image[:4] == 0).all()
    assert (out.image[5:, 5:7] > 0).all()
    assert out.guide.sum() == np.count_nonzero(out.image)


def test_a_radiograph_without_a_mask_is_refused_with_the_way_out():
    with pytest.raises(DataError, match=r"has none\. Name where.*lung_masks=disk, a folder"):
        LungsOnly()(sample(None))


def test_an_empty_mask_is_refused_or_leaves_the_picture_as_it_is():
    empty = sample(np.zeros((3, 4), np.uint8))
    with pytest.raises(DataError, match=r"is empty.*preprocess\.steps\.lungs\.empty=keep"):
        LungsOnly()(empty)
    out = LungsOnly(empty="keep")(empty)
    assert np.array_equal(out.image, empty.image)
    assert out.kept == 1.0


@pytest.mark.parametrize(
    ("wrong", "match"),
    [({"masks": " "}, r"preprocess\.steps\.lungs\.masks is empty"), ({"empty": "kep"}, "did you mean keep")],
)
def test_wrong_arguments_are_refused(wrong, match):
    with pytest.raises(ConfigError, match=match):
        LungsOnly(**wrong)
