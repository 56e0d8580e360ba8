from __future__ import annotations

import numpy as np
import pytest

from lungseg.data.preprocess.base import Placement, Prepared
from lungseg.data.preprocess.grey import Grey


def sample(image: np.ndarray) -> Prepared:
    return Prepared(image, np.zeros((0, *image.shape[:2]), np.uint8), Placement(0, 0, *map(float, image.shape[:2])))


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 1), (np.uint16, 257)])
def test_colours_are_weighed_as_in_bt_601(dtype, scale):
    colour = (np.array([[[100, 150, 200]]]) * scale).astype(dtype)
    # 0.299 * 100 + 0.587 * 150 + 0.114 * 200 = 29.9 + 88.05 + 22.8 = 140.75
    grey = Grey()(sample(colour)).image
    assert grey.dtype == dtype
    assert abs(int(grey[0, 0]) - 140.75 * scale) <= 1  # cv2 rounds the weights to 14 bits


def test_three_equal_channels_give_the_channel_itself():
    channel = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(Grey()(sample(np.dstack([channel] * 3))).image, channel)


def test_a_grey_image_is_handed_on():
    image = np.zeros((4, 4), np.uint8)
    assert Grey()(sample(image)).image is image
