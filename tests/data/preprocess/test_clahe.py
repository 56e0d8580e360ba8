from __future__ import annotations

import cv2
import numpy as np
import pytest

from lungseg.data.preprocess.base import Placement, Prepared
from lungseg.data.preprocess.clahe import CLAHE
from lungseg.errors import ConfigError


def applied(image: np.ndarray, **arguments) -> np.ndarray:
    height, width = image.shape
    sample = Prepared(image, np.zeros((0, height, width), np.uint8), Placement(0, 0, float(height), float(width)))
    return CLAHE(**arguments)(sample).image


def clouds(shape: tuple[int, int]) -> np.ndarray:
    """Smooth noise between 20 and 220."""
    rough = np.random.default_rng(0).random(shape).astype(np.float32)
    smooth = cv2.GaussianBlur(rough, (0, 0), 3)
    return (20 + 200 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def test_8_bits_are_cv2_s_with_rows_of_tiles_first():
    image = clouds((60, 90))
    expected = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(9, 4)).apply(image)
    assert np.array_equal(applied(image, clip_limit=3.0, tiles=(4, 9)), expected)


@pytest.mark.parametrize(
    "shape", [(64, 80), (61, 83), (64, 83), (299, 299), (9, 9)], ids=["divides", "neither", "one", "covid", "tiny"]
)
@pytest.mark.parametrize("clip_limit", [1.0, 2.0, 40.0])
def test_16_bits_come_out_as_8_bits_do(shape, clip_limit):
    image = clouds(shape)
    shallow = applied(image, clip_limit=clip_limit)
    deep = applied(image.astype(np.uint16) * np.uint16(257), clip_limit=clip_limit)
    assert deep.dtype == np.uint16
    # cv2 rounds each tile's curve and the blend of four, half a level each
    assert np.abs(deep / 257 - shallow).max() <= 1.01


def test_16_bits_keep_their_steps():
    ramp = np.linspace(20_000, 40_000, 64 * 64).astype(np.uint16).reshape(64, 64)
    assert len(np.unique(ramp)) == 4096
    assert len(np.unique(applied(ramp, tiles=(1, 1)))) == 4096
    # grey values in between lie in between: along a row of one tile, the curve never falls
    assert (np.diff(applied(ramp, tiles=(1, 1)).astype(int).ravel()) >= 0).all()


def test_one_tile_without_a_limit_is_plain_equalisation():
    # four values, a quarter of the pixels each; no bin is cut: 65535 * (1, 2, 3, 4) / 4, rounded to even
    quarters = np.repeat(np.array([0, 257 * 10, 257 * 20, 257 * 30], np.uint16), 16).reshape(8, 8)
    out = applied(quarters, clip_limit=256.0, tiles=(1, 1))
    assert out[::2, 0].tolist() == [16384, 32768, 49151, 65535]


def test_the_limit_bounds_the_gain():
    # one tile, clip limit 1: of the 64 pixels all bins keep one (256 bins, 64 / 256 < 1), the rest is spread evenly:
    # two values hold 32 each, 62 are cut off and go to 62 bins, so the curve climbs slowly over the whole scale
    image = np.repeat(np.array([257 * 100, 257 * 101], np.uint16), 32).reshape(8, 8)
    out = applied(image, clip_limit=1.0, tiles=(1, 1)).astype(float)
    # neighbours 100 and 101 hold their 1 and at most 1 of the spread: at most 2 of 64 pixels apart
    assert 0 < np.ptp(out) <= 65535 * 2 / 64 + 1


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"clip_limit": 0.0}, "clip_limit=0.0"),
        ({"clip_limit": float("nan")}, "clip_limit=nan"),
        ({"tiles": (8,)}, r"tiles=\[8\]"),
        ({"tiles": (8, 0)}, r"tiles=\[8, 0\]"),
        ({"tiles": (8, 1.5)}, r"tiles=\[8, 1\.5\]"),
    ],
    ids=["zero-limit", "nan-limit", "one-number", "no-tile", "half-a-tile"],
)
def test_arguments_out_of_range_are_refused(wrong, key):
    with pytest.raises(ConfigError, match=rf"preprocess\.steps\.clahe\.{key}"):
        CLAHE(**wrong)


@pytest.mark.data
def test_a_real_12_bit_radiograph_looks_the_same_at_either_depth(real_data):
    file = real_data / "jsrt" / "raw-img-sample" / "All247images" / "JPCLN001.IMG"
    raw = 4095 - np.fromfile(file, ">u2").reshape(2048, 2048).astype(np.int64)
    deep = cv2.resize((raw * 65535 // 4095).astype(np.uint16), (256, 256), interpolation=cv2.INTER_AREA)
    shallow = np.rint(deep / 257).astype(np.uint8)
    # rounding to 8 bits costs half a level, times the gain of contrast, which the limit bounds to about 2
    assert np.abs(applied(deep) / 257 - applied(shallow)).mean() < 1.0
