from __future__ import annotations

import math

import numpy as np
import pytest

from lungseg.explain.energy import energy_inside

MASK = np.zeros((10, 10), bool)
MASK[2:6, 1:6] = True  # 20 of 100 pixels


def test_an_even_map_gives_the_mask_s_share_of_the_area():
    assert energy_inside(np.full((10, 10), 0.3, np.float32), MASK) == pytest.approx(0.2)


@pytest.mark.parametrize(("at", "expected"), [((3, 3), 1.0), ((0, 0), 0.0)], ids=["inside", "outside"])
def test_a_single_hot_pixel_is_inside_or_not(at, expected):
    heat = np.zeros((10, 10), np.float32)
    heat[at] = 0.7
    assert energy_inside(heat, MASK) == expected


def test_heat_counts_by_its_amount():
    heat = np.zeros((10, 10), np.float32)
    heat[3, 3], heat[9, 9] = 0.75, 0.25
    assert energy_inside(heat, MASK) == pytest.approx(0.75)


def test_no_heat_has_no_share():
    assert math.isnan(energy_inside(np.zeros((10, 10), np.float32), MASK))


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match=r"\(10, 10\) and a mask of \(5, 5\)"):
        energy_inside(np.ones((10, 10), np.float32), np.ones((5, 5), bool))
