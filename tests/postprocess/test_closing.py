from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lungseg.data.preprocess.structuring import structuring_element
from lungseg.errors import ConfigError
from lungseg.postprocess.closing import Closing


def blots(structures: int = 2) -> np.ndarray:
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(structures, 40, 50)), (0, 1.5, 1.5))
    return smooth > 0


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("shape", ["rect", "ellipse", "cross"])
def test_it_is_a_dilation_and_an_erosion_that_know_nothing_beyond_the_border(kernel, shape):
    element = structuring_element(kernel, shape).astype(bool)
    found = Closing(kernel=kernel, shape=shape)(blots())
    for mask, out in zip(blots(), found, strict=True):
        dilated = ndimage.binary_dilation(mask, element)
        assert np.array_equal(out, ndimage.binary_erosion(dilated, element, border_value=1))
    assert found.dtype == bool
    assert not np.array_equal(found, blots())


def test_a_gap_is_shut_and_the_outline_stays():
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 4:16, 4:16] = True
    whole = mask.copy()
    mask[0, 8:10, 8:10] = False  # 2 x 2 pixels inside
    assert np.array_equal(Closing()(mask), whole)


def test_the_masks_given_are_left_as_they_were():
    masks = blots()
    masks.flags.writeable = False
    Closing()(masks)


@pytest.mark.parametrize(("wrong", "key"), [({"kernel": 1}, "kernel=1"), ({"shape": "disc"}, "shape=disc")])
def test_arguments_out_of_range_are_refused(wrong, key):
    with pytest.raises(ConfigError, match=rf"postprocess\.steps\.closing\.{key}"):
        Closing(**wrong)
