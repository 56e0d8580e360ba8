from __future__ import annotations

import numpy as np
import pytest

from lungseg.data.preprocess.base import Placement, Prepared
from lungseg.data.preprocess.lung_crop import LungCrop
from lungseg.data.preprocess.resize import Resize
from lungseg.errors import ConfigError, DataError


def sample() -> Prepared:
    """Two structures: rows 10 to 29 and columns 20 to 39; rows 20 to 49 and columns 50 to 59."""
    masks = np.zeros((2, 60, 80), np.uint8)
    masks[0, 10:30, 20:40] = 1
    masks[1, 20:50, 50:60] = 1
    image = np.arange(60 * 80, dtype=np.uint16).reshape(60, 80)
    return Prepared(image, masks, Placement(0, 0, 60, 80))


def test_the_box_holds_all_structures():
    out = LungCrop(margin=0)(sample())
    assert np.array_equal(out.image, sample().image[10:50, 20:60])
    assert np.array_equal(out.masks, sample().masks[:, 10:50, 20:60])


def test_the_margin_is_a_share_of_each_side_and_ends_at_the_border():
    # the box is 40 x 40: 0.3 * 40 = 12 more on each side, of which rows -2 and -1 are not there: rows 0 to 61, of 60
    out = LungCrop(margin=0.3)(sample())
    assert np.array_equal(out.image, sample().image[0:60, 8:72])


def test_the_placement_says_where_the_whole_image_lies():
    out = LungCrop(margin=0)(sample())
    assert out.placement == Placement(-10, -20, 60, 80)
    # a resize by 2 and by 1 moves it along
    assert Resize(size=(80, 40))(out).placement == Placement(-20, -20, 120, 80)


def test_a_crop_of_a_crop_counts_from_the_whole_image():
    once = LungCrop(margin=0)(sample())
    assert LungCrop(margin=0)(once).placement == once.placement


def test_what_is_left_out_of_the_metrics_does_not_widen_the_box():
    plain = sample()
    left_out = np.ones((1, 60, 80), np.uint8)
    out = LungCrop(margin=0)(
        Prepared(plain.image, np.concatenate([plain.masks, left_out]), plain.placement, structures=2)
    )
    assert out.masks.shape == (3, 40, 40)
    assert out.structures == 2


@pytest.mark.parametrize(
    "masks",
    [np.zeros((2, 4, 4), np.uint8), np.zeros((0, 4, 4), np.uint8)],
    ids=["empty", "none"],
)
def test_a_sample_without_a_mask_is_refused_with_the_way_out(masks):
    bare = Prepared(np.zeros((4, 4), np.uint8), masks, Placement(0, 0, 4, 4))
    with pytest.raises(DataError, match=r"needs a mask.*missing=drop.*preprocess=resize_256"):
        LungCrop()(bare)


def test_a_left_out_plane_alone_is_no_mask():
    planes = np.stack([np.zeros((4, 4)), np.ones((4, 4))]).astype(np.uint8)
    bare = Prepared(np.zeros((4, 4), np.uint8), planes, Placement(0, 0, 4, 4), structures=1)
    with pytest.raises(DataError, match="needs a mask"):
        LungCrop()(bare)


def test_a_negative_margin_is_refused():
    with pytest.raises(ConfigError, match=r"preprocess\.steps\.crop\.margin=-0\.1"):
        LungCrop(margin=-0.1)


def guided() -> Prepared:
    plain = sample()
    guide = np.zeros((60, 80), np.uint8)
    guide[30:40, 20:60] = 1
    return Prepared(plain.image, plain.masks, plain.placement, guide=guide)


def test_with_masks_named_the_box_is_that_of_the_lungs_alone():
    out = LungCrop(margin=0, masks="disk")(guided())
    assert np.array_equal(out.image, sample().image[30:40, 20:60])
    assert out.guide.shape == (10, 40)
    assert out.kept == pytest.approx(400 / 4800)


def test_without_masks_named_the_guide_moves_along_and_decides_nothing():
    out = LungCrop(margin=0)(guided())
    assert np.array_equal(out.image, sample().image[10:50, 20:60])
    assert np.array_equal(out.guide, guided().guide[10:50, 20:60])


def test_with_masks_named_the_structures_are_no_substitute_for_a_guide_that_is_not_there():
    with pytest.raises(DataError, match=r"needs a mask of the lungs.*lungs=full"):
        LungCrop(masks="disk")(sample())
