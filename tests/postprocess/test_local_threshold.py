from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from lungseg.errors import ConfigError
from lungseg.postprocess.local_threshold import LocalThreshold


def hill(size: tuple[int, int] = (60, 70)) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    smooth = 0.9 * np.exp(-((y - 30) ** 2 + (x - 35) ** 2) / 300)
    return (smooth + 0.05 * np.random.default_rng(0).random(size)).astype(np.float32)


def expected(p: np.ndarray, block: int, offset: float, guard: float) -> tuple[np.ndarray, np.ndarray]:
    """The mask in float64, and where its answer is not a matter of rounding."""
    sigma = 0.3 * ((block - 1) / 2 - 1) + 0.8
    weights = np.exp(-((np.arange(block) - block // 2) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    mean = correlate1d(correlate1d(p.astype(float), weights, axis=0, mode="nearest"), weights, axis=1, mode="nearest")
    return (p > mean - offset) & (p >= np.float32(guard)), np.abs(p - mean + offset) > 1e-5


@pytest.mark.parametrize(
    ("block", "offset", "guard"), [(35, 0.0, 0.1), (11, 0.0, 0.0), (35, 0.05, 0.3), (35, -0.1, 0.1)], ids=str
)
def test_a_pixel_is_compared_with_the_gaussian_mean_around_it(block, offset, guard):
    wanted, decided = expected(hill(), block, offset, guard)
    found = LocalThreshold(block=block, offset=offset, guard=guard)(hill()[None])[0]
    assert decided.mean() > 0.99
    assert np.array_equal(found[decided], wanted[decided])
    assert 0 < found.mean() < 1


@pytest.mark.parametrize("value", [0.0, 0.2, 0.1 + 0.6, 1.0], ids=str)
def test_a_constant_map_is_background_whatever_the_mean_is_rounded_to(value):
    # cv2.adaptiveThreshold with a positive constant would light all of it up
    assert not LocalThreshold()(np.full((1, 50, 50), value, np.float32)).any()


def test_the_inside_of_a_large_structure_is_no_foreground_but_its_rim_is():
    p = np.zeros((1, 200, 200), np.float32)
    p[0, 50:150, 50:150] = 0.9
    found = LocalThreshold()(p)[0]
    # a block of 35 reaches 17 pixels: what is deeper inside sees nothing but 0.9
    assert not found[67:133, 67:133].any()
    assert found[50:150, 50].all()
    assert not found[:, :50].any()


def test_without_the_guard_the_unrest_of_the_background_is_foreground():
    unrest = 0.01 * np.random.default_rng(0).random((1, 60, 60)).astype(np.float32)
    assert LocalThreshold(guard=0.0)(unrest).mean() > 0.3
    assert not LocalThreshold()(unrest).any()


def test_a_pixel_at_the_guard_is_foreground():
    p = np.zeros((1, 9, 9), np.float32)
    p[0, 4, 4] = 0.1
    assert LocalThreshold(guard=0.1)(p).sum() == 1


@pytest.mark.parametrize(
    ("wrong", "key"),
    [({"block": 34}, "block=34"), ({"offset": 2.0}, r"offset=2\.0"), ({"guard": -0.5}, r"guard=-0\.5")],
    ids=["even", "offset", "guard"],
)
def test_arguments_out_of_range_are_refused(wrong, key):
    with pytest.raises(ConfigError, match=rf"postprocess\.steps\.local\.{key}"):
        LocalThreshold(**wrong)
