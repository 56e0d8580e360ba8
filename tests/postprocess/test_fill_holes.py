from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes

from lungseg.postprocess.fill_holes import FillHoles


@pytest.mark.parametrize("density", [0.0, 0.3, 0.6, 0.75, 1.0], ids=str)
def test_it_fills_what_scipy_fills(density):
    masks = np.random.default_rng(0).random((3, 40, 33)) < density
    found = FillHoles()(masks)
    assert found.dtype == bool
    assert np.array_equal(found, np.stack([binary_fill_holes(mask) for mask in masks]))


RING = np.array([[0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]], bool)


def test_a_border_closed_over_corners_holds():
    # the corners of the image stay background, since they lie at the border
    assert FillHoles()(RING[None]).sum() == 4 * 4 - 4


def test_a_bay_that_reaches_the_border_is_no_hole():
    bay = RING.copy()
    bay[0, 1] = False
    assert np.array_equal(FillHoles()(bay[None])[0], bay)


def test_structures_do_not_fill_one_another():
    found = FillHoles()(np.stack([RING, np.zeros((4, 4), bool)]))
    assert found.sum(axis=(1, 2)).tolist() == [12, 0]
