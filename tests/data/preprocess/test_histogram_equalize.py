from __future__ import annotations

import cv2
import numpy as np
import pytest

from lungseg.data.io import read_radiograph
from lungseg.data.preprocess.base import Placement, Prepared
from lungseg.data.preprocess.histogram_equalize import HistogramEqualize
from lungseg.errors import ConfigError


def sample(image: np.ndarray) -> Prepared:
    return Prepared(image, np.zeros((0, *image.shape[:2]), np.uint8), Placement(0, 0, *map(float, image.shape[:2])))


def equalized(image: np.ndarray, bins: int = 256) -> np.ndarray:
    return HistogramEqualize(bins=bins)(sample(image)).image


def noise(dtype: type, seed: int = 0) -> np.ndarray:
    """Grey values crowded in the lower half of the scale."""
    values = np.random.default_rng(seed).beta(2, 6, (61, 83))
    return (values * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize(
    "image",
    [
        *(noise(np.uint8, seed) for seed in range(3)),
        np.tile(np.arange(256, dtype=np.uint8), (4, 1)),
        np.array([[7, 7, 9]], np.uint8),
        np.full((5, 5), 200, np.uint8),
        np.zeros((5, 5), np.uint8),
    ],
    ids=["noise", "noise-1", "noise-2", "ramp", "two-values", "constant", "black"],
)
def test_the_whole_scale_at_8_bits_is_cv2_s(image):
    assert np.array_equal(equalized(image), cv2.equalizeHist(image))


def test_the_whole_scale_at_16_bits_is_the_same_formula():
    # 2 pixels at the lowest value; above it 1 of 2 and 2 of 2: 65535 / 2 = 32767.5, rounded to even
    out = equalized(np.array([[100, 100, 300, 65535]], np.uint16))
    assert out.dtype == np.uint16
    assert out.tolist() == [[0, 0, 32768, 65535]]


def test_16_bits_keep_their_steps():
    image = np.random.default_rng(0).permutation(np.arange(20_000, 40_000, dtype=np.uint16)).reshape(100, 200)
    assert len(np.unique(equalized(image))) == 20_000


def test_few_bins_by_hand():
    # N = bins = 4. Black counts whole: 1 -> 1st; then 2 - 1/2 -> 2nd, 3 - 1/2 -> 3rd; white whole: 4 -> 4th
    assert equalized(np.array([[0, 1, 2, 255]], np.uint8), bins=4).tolist() == [[0, 85, 170, 255]]


def matlab(image: np.ndarray, bins: int) -> np.ndarray:
    """histeq as MATLAB words it: of all output values the one whose error against the wanted histogram is smallest."""
    levels = int(np.iinfo(image.dtype).max) + 1
    counts = np.array([(image == v).sum() for v in range(levels)], float)
    tolerance = np.minimum(np.append(counts[:-1], 0), np.insert(counts[1:], 0, 0)) / 2
    wanted = np.arange(1, bins + 1) * image.size / bins
    error = wanted[:, None] - counts.cumsum() + tolerance
    error[error < -1e-6] = image.size
    return np.floor((levels - 1) * error.argmin(0) / (bins - 1) + 0.5).astype(image.dtype)[image]


@pytest.mark.parametrize("bins", [2, 64, 255])
def test_few_bins_are_matlab_s_histeq(bins):
    image = noise(np.uint8)
    assert np.array_equal(equalized(image, bins), matlab(image, bins))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_few_bins_leave_as_many_grey_values(dtype):
    out = equalized(noise(dtype), 64)
    assert out.dtype == dtype
    assert len(np.unique(out)) == 64
    # each holds a 64th of the 61 * 83 pixels = 79.1, give or take the pixels of one grey value
    _, counts = np.unique(out, return_counts=True)
    largest = np.bincount(noise(dtype).ravel()).max()
    assert np.abs(counts - 61 * 83 / 64).max() <= largest


@pytest.mark.parametrize("bins", [1, 257, 64.5], ids=str)
def test_bins_out_of_range_are_refused(bins):
    with pytest.raises(ConfigError, match=rf"preprocess\.steps\.equalize\.bins={bins}"):
        HistogramEqualize(bins=bins)


@pytest.mark.data
def test_a_real_radiograph_gets_a_straight_cumulative_histogram(real_data):
    image = read_radiograph(next((real_data / "jsrt" / "scr-200" / "images").iterdir())).pixels
    out = equalized(image if image.ndim == 2 else np.ascontiguousarray(image[..., 0]))
    share = np.bincount(out.ravel(), minlength=256).cumsum() / out.size
    # off by no more than the largest single grey value
    largest = np.bincount(out.ravel()).max() / out.size
    assert np.abs(share - np.arange(256) / 255).max() <= largest + 1 / 255
