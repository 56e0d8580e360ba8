from __future__ import annotations

import numpy as np
import pytest

from lungseg.data.preprocess.structuring import check_shape, odd_side, structuring_element
from lungseg.errors import ConfigError


@pytest.mark.parametrize("side", [1, 2, 4, 2.5, -3], ids=str)
def test_a_side_without_a_middle_pixel_is_refused_under_its_key(side):
    with pytest.raises(ConfigError, match=rf"preprocess\.steps\.blur\.kernel={side} must be an odd number"):
        odd_side(side, "preprocess.steps.blur.kernel")


def test_a_whole_float_is_a_side():
    assert odd_side(5.0, "key") == 5


def test_a_mistyped_shape_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"key=elipse is none of rect, ellipse, cross; did you mean ellipse\?"):
        check_shape("elipse", "key")


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [("rect", 25), ("cross", 9), ("ellipse", 17)],  # the ellipse of 5: rows of 1, 5, 5, 5, 1
)
def test_an_element_has_the_pixels_of_its_shape(shape, pixels):
    element = structuring_element(5, shape)
    assert element.dtype == np.uint8
    assert element.sum() == pixels
