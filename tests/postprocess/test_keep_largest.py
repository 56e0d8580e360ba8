from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lungseg.errors import ConfigError
from lungseg.postprocess.keep_largest import KeepLargest


def kept(mask: np.ndarray, k: int, connectivity: int) -> np.ndarray:
    """By scipy's labels, whose numbers run in the order of the parts' first pixels."""
    labels, count = ndimage.label(mask, np.ones((3, 3)) if connectivity == 8 else None)
    sizes = [(labels == i).sum() for i in range(1, count + 1)]
    largest = np.argsort(-np.array(sizes), kind="stable")[:k] + 1
    return np.isin(labels, largest)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("k", [1, 2, 5, 1000])
@pytest.mark.parametrize("density", [0.2, 0.35, 0.5])
def test_the_largest_parts_stay(connectivity, k, density):
    # many small parts, so that many are of equal size
    masks = np.random.default_rng(0).random((3, 30, 37)) < density
    found = KeepLargest(k=k, connectivity=connectivity)(masks)
    assert found.dtype == bool
    for mask, out in zip(masks, found, strict=True):
        assert np.array_equal(out, kept(mask, k, connectivity))


def test_each_structure_keeps_its_own():
    masks = np.zeros((2, 5, 9), bool)
    masks[0, 0, 0:3] = masks[0, 2, 0:2] = masks[0, 4, 0] = True
    masks[1, 1, 4:6] = masks[1, 3, 4:8] = masks[1, 3, 0] = True
    # two of 3, 2 and 1 pixels; two of 2, 4 and 1
    assert KeepLargest()(masks).sum(axis=(1, 2)).tolist() == [5, 6]


def test_an_empty_structure_stays_empty():
    assert not KeepLargest()(np.zeros((1, 6, 6), bool)).any()


def test_a_corner_connects_unless_asked_otherwise():
    diagonal = np.eye(4, dtype=bool)[None]
    assert KeepLargest(k=1)(diagonal).sum() == 4
    assert KeepLargest(k=1, connectivity=4)(diagonal).sum() == 1


@pytest.mark.parametrize(
    ("wrong", "key"), [({"k": 0}, "k=0"), ({"k": 1.5}, r"k=1\.5"), ({"connectivity": 6}, "connectivity=6")]
)
def test_arguments_out_of_range_are_refused(wrong, key):
    with pytest.raises(ConfigError, match=rf"postprocess\.steps\.largest\.{key}"):
        KeepLargest(**wrong)
