from __future__ import annotations

import numpy as np
import pytest

from lungseg.data.phantom.generator import Phantom
from lungseg.data.polarity import contrast, looks_inverted


@pytest.mark.parametrize("with_mask", [True, False], ids=["mask", "pixels only"])
def test_a_phantom_looks_upright_and_its_negative_inverted(with_mask):
    sample = Phantom(0, (96, 96)).sample(0)
    lungs = sample.masks["right_lung"] | sample.masks["left_lung"] if with_mask else None
    assert not looks_inverted(sample.pixels, lungs)
    assert looks_inverted(255 - sample.pixels, lungs)


def test_the_contrast_is_the_difference_of_means_around_and_inside():
    # lungs at 51 (0.2 of the range), the rest at 204 (0.8): 0.6
    lungs = np.zeros((20, 20), bool)
    lungs[5:15, 2:8] = lungs[5:15, 12:18] = True
    pixels = np.where(lungs, 51, 204).astype(np.uint8)
    assert contrast(pixels, lungs) == pytest.approx(0.6)
    assert contrast(pixels[..., None].repeat(3, axis=2), lungs) == pytest.approx(0.6)


def test_a_mask_of_another_size_is_compared_on_its_own_grid():
    lungs = np.zeros((10, 10), bool)
    lungs[2:8, 1:4] = lungs[2:8, 6:9] = True
    pixels = np.where(np.kron(lungs, np.ones((4, 4), bool)), 0, 65535).astype(np.uint16)
    assert contrast(pixels, lungs) == pytest.approx(1.0)
