from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lungseg.data.preprocess.base import Placement, Prepared
from lungseg.data.preprocess.morphology import Morphology
from lungseg.data.preprocess.structuring import structuring_element
from lungseg.errors import ConfigError


def applied(image: np.ndarray, **arguments) -> np.ndarray:
    height, width = image.shape
    sample = Prepared(image, np.zeros((0, height, width), np.uint8), Placement(0, 0, float(height), float(width)))
    return Morphology(**arguments)(sample).image


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("erode", [10, 10, 10, 10, 10, 10, 90]),
        ("dilate", [10, 10, 50, 50, 90, 90, 90]),
        ("open", [10, 10, 10, 10, 10, 90, 90]),  # the speck of one pixel is gone, the edge of two stays
        ("close", [10, 10, 10, 50, 50, 90, 90]),  # the gap of one pixel is shut up to its lower bank
        ("tophat", [0, 0, 0, 40, 0, 0, 0]),
        ("blackhat", [0, 0, 0, 0, 40, 0, 0]),
    ],
)
def test_an_operation_by_hand(operation, expected):
    image = np.array([[10, 10, 10, 50, 10, 90, 90]], np.uint8)
    assert applied(image, operation=operation).tolist() == [expected]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", ["rect", "ellipse", "cross"])
def test_erosion_and_dilation_are_scipy_s(dtype, shape):
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (15, 13)).astype(dtype)
    footprint = structuring_element(5, shape).astype(bool)
    white = np.iinfo(dtype).max
    eroded = ndimage.grey_erosion(image, footprint=footprint, mode="constant", cval=white)
    dilated = ndimage.grey_dilation(image, footprint=footprint, mode="constant", cval=0)
    assert np.array_equal(applied(image, operation="erode", kernel=5, shape=shape), eroded)
    assert np.array_equal(applied(image, operation="dilate", kernel=5, shape=shape), dilated)
    assert applied(image, kernel=5, shape=shape).dtype == dtype


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"operation": "opne"}, "operation=opne .*did you mean open"),
        ({"kernel": 4}, "kernel=4"),
        ({"shape": "disc"}, "shape=disc"),
    ],
    ids=["operation", "kernel", "shape"],
)
def test_arguments_out_of_range_are_refused(wrong, key):
    with pytest.raises(ConfigError, match=rf"preprocess\.steps\.morphology\.{key}"):
        Morphology(**wrong)
