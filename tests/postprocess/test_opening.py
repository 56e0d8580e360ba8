from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lungseg.data.preprocess.structuring import structuring_element
from lungseg.errors import ConfigError
from lungseg.postprocess.opening import Opening


def blots(structures: int = 2) -> np.ndarray:
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(structures, 40, 50)), (0, 1.5, 1.5))
    return smooth > 0


@pytest.mark.parametrize("kernel", [3, 7])
@pytest.mark.parametrize("shape", ["rect", "ellipse", "cross"])
def test_it_is_an_erosion_and_a_dilation_that_know_nothing_beyond_the_border(kernel, shape):
    element = structuring_element(kernel, shape).astype(bool)
    found = Opening(kernel=kernel, shape=shape)(blots())
    for mask, out in zip(blots(), found, strict=True):
        eroded = ndimage.binary_erosion(mask, element, border_value=1)
        assert np.array_equal(out, ndimage.binary_dilation(eroded, element))
    assert found.dtype == bool
    assert not np.array_equal(found, blots())


def test_a_speck_goes_and_a_structure_at_the_border_stays():
    mask = np.zeros((1, 10, 10), bool)
    mask[0, :4, :4] = True
    mask[0, 7:9, 7:9] = True  # 2 x 2: smaller than the element
    found = Opening()(mask)
    assert found[0, :4, :4].all()
    assert found.sum() == 16


def test_the_masks_given_are_left_as_they_were():
    masks = blots()
    masks.flags.writeable = False
    Opening()(masks)


@pytest.mark.parametrize(("wrong", "key"), [({"kernel": 4}, "kernel=4"), ({"shape": "round"}, "shape=round")])
def test_arguments_out_of_range_are_refused(wrong, key):
    with pytest.raises(ConfigError, match=rf"postprocess\.steps\.opening\.{key}"):
        Opening(**wrong)
