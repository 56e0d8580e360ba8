from __future__ import annotations

import numpy as np

from lungseg.data.preprocess.base import Placement
from lungseg.explain.base import as_heat, on_image


def test_the_highest_value_becomes_1_and_0_stays_0():
    heat = as_heat(np.array([[0.0, 2.0], [-3.0, 4.0]]), (2, 2))
    assert heat.tolist() == [[0, 0.5], [0, 1]]
    assert heat.dtype == np.float32


def test_a_small_slope_is_no_smaller_a_map():
    raw = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert np.allclose(as_heat(raw * 1e-12, (8, 8)), as_heat(raw, (8, 8)))


def test_nan_is_no_heat():
    assert as_heat(np.array([[np.nan, 1.0]]), (1, 2)).tolist() == [[0, 1]]


def test_a_map_goes_back_to_the_radiograph_s_own_size():
    heat = np.zeros((1, 4, 4), np.float32)
    heat[0, :2] = 1
    out = on_image(heat, Placement(0, 0, 4, 4), (40, 20))
    assert out.shape == (1, 40, 20)
    assert (out[0, :15] == 1).all()
    assert (out[0, 25:] == 0).all()


def test_what_a_crop_left_out_has_no_heat():
    # the network saw rows 2 to 5 and columns 2 to 5 of 8 x 8
    out = on_image(np.ones((1, 4, 4), np.float32), Placement(-2, -2, 8, 8), (8, 8))[0]
    expected = np.zeros((8, 8))
    expected[2:6, 2:6] = 1
    assert np.array_equal(out, expected)
