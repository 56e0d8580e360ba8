from __future__ import annotations

import numpy as np
import pytest

from lungseg.data.preprocess.base import Placement, Prepared
from lungseg.data.preprocess.window import Window
from lungseg.errors import ConfigError


def applied(image: np.ndarray, **arguments) -> np.ndarray:
    height, width = image.shape
    sample = Prepared(image, np.zeros((0, height, width), np.uint8), Placement(0, 0, float(height), float(width)))
    return Window(**arguments)(sample).image


def test_percentiles_become_black_and_white():
    # of 0 to 100, the 10th and the 90th percentile are 10 and 90: (50 - 10) / 80 = 1/2
    image = np.arange(101, dtype=np.uint8)[None]
    out = applied(image, low=10, high=90)[0]
    assert out[[0, 10, 50, 90, 100]].tolist() == [0, 0, 128, 255, 255]  # 127.5, rounded to even


def test_percentiles_undo_a_change_of_exposure():
    image = np.random.default_rng(0).integers(40, 120, (30, 30)).astype(np.uint8)
    assert np.array_equal(applied(image), applied(image * np.uint8(2) + np.uint8(5)))


def test_shares_of_the_scale_are_the_same_for_every_image():
    # 0.25 and 0.75 of 65535; a quarter of the way between them is 0.375
    image = np.array([[0, 16384, 24576, 49152, 65535]], np.uint16)
    out = applied(image, low=0.25, high=0.75, by="range")
    assert out.dtype == np.uint16
    np.testing.assert_allclose(out[0] / 65535, [0, 0, 0.25, 1, 1], atol=1e-4)


def test_an_image_without_contrast_stays_as_it_is():
    image = np.full((4, 4), 77, np.uint8)
    assert np.array_equal(applied(image), image)


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"low": 99.0, "high": 1.0}, r"low=99\.0"),
        ({"low": -1.0}, r"low=-1\.0"),
        ({"low": 0.0, "high": 2.0, "by": "range"}, r"low=0\.0 .*high=2\.0 .*0 to 1, since by=range"),
        ({"by": "value"}, "by=value"),
    ],
    ids=["falls", "below", "above", "by"],
)
def test_arguments_out_of_range_are_refused(wrong, key):
    with pytest.raises(ConfigError, match=rf"preprocess\.steps\.window\.{key}"):
        Window(**wrong)
