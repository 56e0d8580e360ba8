from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from lungseg.data.preprocess.base import Placement, Prepared
from lungseg.data.preprocess.gaussian_blur import GaussianBlur
from lungseg.errors import ConfigError


def applied(image: np.ndarray, **arguments) -> np.ndarray:
    height, width = image.shape
    sample = Prepared(image, np.zeros((0, height, width), np.uint8), Placement(0, 0, float(height), float(width)))
    return GaussianBlur(**arguments)(sample).image


def convolved(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """scipy calls "mirror" what does not repeat the edge."""
    rows = correlate1d(image.astype(float), weights / weights.sum(), axis=0, mode="mirror")
    return correlate1d(rows, weights / weights.sum(), axis=1, mode="mirror")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("arguments", "weights"),
    [
        ({}, np.array([1, 4, 6, 4, 1.0])),
        ({"kernel": 3}, np.array([1, 2, 1.0])),
        # 0.3 * (5 - 1) + 0.8 = 2
        ({"kernel": 11}, np.exp(-(np.arange(-5, 6) ** 2) / 8)),
        ({"kernel": 5, "sigma": 2.0}, np.exp(-(np.arange(-2, 3) ** 2) / 8)),
    ],
    ids=["default", "3", "11", "sigma"],
)
def test_it_is_a_convolution_with_a_gaussian(dtype, arguments, weights):
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (20, 17)).astype(dtype)
    out = applied(image, **arguments)
    assert out.dtype == dtype
    # rounding, and weights in 256ths or 65536ths
    assert np.abs(out - convolved(image, weights)).max() <= (1 if dtype == np.uint8 else 2)


@pytest.mark.parametrize(
    ("wrong", "key"), [({"kernel": 4}, "kernel=4"), ({"sigma": -1.0}, r"sigma=-1\.0")], ids=["even", "negative"]
)
def test_arguments_out_of_range_are_refused(wrong, key):
    with pytest.raises(ConfigError, match=rf"preprocess\.steps\.blur\.{key}"):
        GaussianBlur(**wrong)
