"""Otsu's threshold against trying every level, and against cv2."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lungseg.errors import ConfigError
from lungseg.postprocess.otsu import Otsu, otsu_threshold


def two_heaps(seed: int = 0, size: tuple[int, int] = (40, 50)) -> np.ndarray:
    generator = np.random.default_rng(seed)
    low, high = generator.beta(2, 12, size), generator.beta(12, 3, size)
    return np.where(generator.random(size) < 0.7, low, high).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_parts_the_classes_that_differ_most(seed):
    levels = np.rint(two_heaps(seed) * 255)
    between = []
    for t in range(255):
        low, high = levels[levels <= t], levels[levels > t]
        apart = (low.mean() - high.mean()) ** 2 if low.size and high.size else 0.0
        between.append(low.size * high.size * apart)
    assert otsu_threshold(two_heaps(seed)) == pytest.approx((np.argmax(between) + 0.5) / 255)


@pytest.mark.parametrize("seed", range(4))
def test_the_masks_are_cv2_s(seed):
    levels = np.rint(two_heaps(seed) * np.float32(255)).astype(np.uint8)
    _, expected = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    assert np.array_equal(Otsu()(two_heaps(seed)[None])[0], expected.astype(bool))


def test_each_structure_of_an_image_has_its_own():
    # halved probabilities: the same mask, which one common threshold would not give
    p = np.stack([two_heaps(), two_heaps() / 2])
    masks = Otsu(guard=0)(p)
    assert (masks[0] != masks[1]).mean() < 0.02  # levels are half as many
    assert otsu_threshold(p[1]) == pytest.approx(otsu_threshold(p[0]) / 2, abs=0.01)


def test_noise_of_the_background_is_no_structure():
    unrest = 0.03 * two_heaps()[None]
    assert Otsu(guard=0)(unrest).any()
    assert not Otsu()(unrest).any()


@pytest.mark.parametrize(("value", "foreground"), [(0.0, False), (0.3, False), (0.5, False), (0.7, True), (1.0, True)])
def test_a_constant_map_is_compared_with_a_half(value, foreground):
    masks = Otsu()(np.full((1, 4, 4), value, np.float32))
    assert (masks == foreground).all()


def test_a_constant_map_has_no_threshold():
    assert otsu_threshold(np.full((3, 3), 0.4)) is None


@pytest.mark.parametrize("wrong", [{"guard": -0.1}, {"fallback": 1.5}], ids=str)
def test_what_is_no_probability_is_refused(wrong):
    ((key, value),) = wrong.items()
    with pytest.raises(ConfigError, match=rf"postprocess\.steps\.otsu\.{key}={value}"):
        Otsu(**wrong)
