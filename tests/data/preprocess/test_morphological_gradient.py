from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import grey_dilation, grey_erosion

from lungseg.data.preprocess.base import Placement, Prepared
from lungseg.data.preprocess.morphological_gradient import MorphologicalGradient
from lungseg.errors import ConfigError


def applied(image: np.ndarray, **arguments) -> np.ndarray:
    height, width = image.shape
    sample = Prepared(image, np.zeros((0, height, width), np.uint8), Placement(0, 0, float(height), float(width)))
    return MorphologicalGradient(**arguments)(sample).image


STEP = np.array([[0, 0, 0, 0, 100, 100, 100, 100]], np.uint8)
"""An edge between columns 3 and 4."""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"times": 1}, [0, 0, 0, 100, 100, 0, 0, 0]),
        # the gradient of that two-pixel line: 100 wherever the line begins or ends within a pixel's reach
        ({}, [0, 0, 100, 100, 100, 100, 0, 0]),
        # two dilations reach two pixels, and so do two erosions; the same as above for one edge alone
        ({"mode": "cv2_iterations"}, [0, 0, 100, 100, 100, 100, 0, 0]),
        ({"mode": "add"}, [0, 0, 100, 100, 200, 200, 100, 100]),
        ({"mode": "add", "blend": 0.5}, [0, 0, 50, 50, 150, 150, 100, 100]),
        ({"blend": 0.25}, [0, 0, 25, 25, 100, 100, 75, 75]),  # 3/4 of the image and 1/4 of the gradient
        ({"blend": 0.0}, [0, 0, 0, 0, 100, 100, 100, 100]),
        ({"mode": "off"}, [0, 0, 0, 0, 100, 100, 100, 100]),
    ],
    ids=["once", "twice", "iterations", "add", "add-half", "blend", "no-blend", "off"],
)
def test_an_edge_is_highlighted_as_the_mode_says(arguments, expected):
    assert applied(STEP, **arguments).tolist() == [expected]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kernel", [3, 5])
def test_twice_in_sequence_is_the_gradient_of_the_gradient(dtype, kernel):
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (15, 13)).astype(dtype)
    expected = image
    for _ in range(2):
        size = (kernel, kernel)
        expected = grey_dilation(expected, size, mode="nearest") - grey_erosion(expected, size, mode="nearest")
    out = applied(image, kernel=kernel)
    assert out.dtype == dtype
    assert np.array_equal(out, expected)


def test_iterations_of_cv2_are_another_image():
    image = np.random.default_rng(0).integers(0, 256, (15, 13)).astype(np.uint8)
    # two passes of a 3 x 3 square are one of 5 x 5
    expected = grey_dilation(image, (5, 5), mode="nearest") - grey_erosion(image, (5, 5), mode="nearest")
    out = applied(image, mode="cv2_iterations")
    assert np.array_equal(out, expected)
    assert not np.array_equal(out, applied(image))


def test_a_sum_ends_at_white():
    assert applied(STEP * np.uint8(2), mode="add").max() == 255


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"kernel": 2}, "kernel=2"),
        ({"times": 0}, "times=0"),
        ({"mode": "sequental"}, "mode=sequental .*did you mean sequential"),
        ({"blend": 1.5}, r"blend=1\.5"),
    ],
    ids=["kernel", "times", "mode", "blend"],
)
def test_arguments_out_of_range_are_refused(wrong, key):
    with pytest.raises(ConfigError, match=rf"preprocess\.steps\.gradient\.{key}"):
        MorphologicalGradient(**wrong)
