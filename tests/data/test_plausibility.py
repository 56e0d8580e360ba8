"""Pictures that are plainly no chest radiograph raise a doubt, radiographs seldom."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from lungseg.data.io import read_radiograph
from lungseg.data.phantom.generator import Phantom
from lungseg.data.plausibility import doubts

SETS = {
    "kermany": ("kermany/chest_xray", "*/*/*.jpeg"),
    "nih": ("nih-chestxray", "images*/**/*.png"),
    "shenzhen": ("chest-xray-masks-and-labels", "Lung Segmentation/CXR_png/CHN*.png"),
    "montgomery": ("montgomery-nlm", "MontgomerySet/CXR_png/*.png"),
}


def phantom(index: int = 0) -> np.ndarray:
    """8 bits out of floats in [0, 1]."""
    pixels = Phantom(0, (128, 128)).sample(index).pixels
    return np.asarray(pixels if pixels.dtype == np.uint8 else np.round(pixels * 255), np.uint8)


@pytest.mark.parametrize("index", range(6))
def test_a_phantom_raises_none(index):
    assert doubts(phantom(index)) == []


def test_depth_and_grey_in_three_channels_change_nothing():
    deep = phantom().astype(np.uint16) * 257
    assert doubts(deep) == doubts(np.repeat(phantom()[..., None], 3, axis=2)) == []


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_a_photograph_is_in_colour(name):
    assert "it is in colour" in doubts(load_sample_image(name)[..., ::-1].copy())


def test_a_coloured_arrow_on_a_radiograph_is_no_colour():
    stamped = np.repeat(phantom()[..., None], 3, axis=2)
    stamped[40:44, 30:60] = (0, 0, 255)  # 120 of 16,384 pixels
    assert doubts(stamped) == []


def page() -> np.ndarray:
    """A white page with lines of black strokes."""
    paper = np.full((300, 220), 255, np.uint8)
    paper[20:280:12, 20:200:3] = 0
    return paper


def stripes() -> np.ndarray:
    """Two grey values in wide stripes, as a drawing has them."""
    return np.tile(np.repeat(np.array([40, 200], np.uint8), 64), (128, 2))


def lit_from_the_side() -> np.ndarray:
    """Brighter from left to right, with a bright column where the spine would be and all grey values."""
    picture = np.tile(np.linspace(0, 230, 128), (128, 1))
    picture[:, 56:72] = 200
    return picture.astype(np.uint8)


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (255 - phantom(), "inverted"),
        (phantom()[:128, :40], "its sides are 128 x 40"),
        (phantom()[32:96, 32:90], "only 64 x 58 pixels"),
        (np.full((128, 128), 90, np.uint8), "one grey value"),
        (page(), "one grey value"),
        (stripes(), "only 2 grey values"),
        (lit_from_the_side(), "left and right are not alike"),
        (np.random.default_rng(0).integers(0, 256, (200, 200)).astype(np.uint8), "nothing to do with one another"),
    ],
    ids=["inverted", "narrow", "small", "even", "page", "stripes", "lopsided", "noise"],
)
def test_what_is_plainly_something_else_raises_a_doubt_that_says_why(picture, said):
    assert any(said in doubt for doubt in doubts(picture))


@pytest.mark.data
@pytest.mark.parametrize("name", sorted(SETS))
def test_few_real_radiographs_raise_any(real_data, name):
    folder, pattern = SETS[name]
    if not (real_data / folder).is_dir():
        pytest.skip(f"{folder} is not there")
    files = list(islice(sorted((real_data / folder).glob(pattern))[::7], 40))
    raised = [file.name for file in files if doubts(read_radiograph(file).pixels)]
    assert len(files) == 40 or name == "montgomery"
    assert len(raised) <= len(files) * 0.08, raised
