"""What every chain under conf/postprocess keeps to; a new YAML file is found by itself."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from lungseg import build
from lungseg.cli.composition import Composer
from lungseg.config import config_dir
from lungseg.postprocess.chain import Postprocess

CHOICES = sorted(file.stem for file in (config_dir() / "postprocess").glob("*.yaml"))


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer("train", config_dir())


@pytest.fixture(params=CHOICES)
def chain(request, composer) -> Postprocess:
    return build.postprocess(composer.compose([f"postprocess={request.param}"]).config)


def probabilities(structures: int = 2, size: tuple[int, int] = (122, 141)) -> np.ndarray:
    """Discs of 0.95 side by side on 0.02, which add up to less than 1; cannot be written to."""
    y, x = np.mgrid[: size[0], : size[1]]
    p = np.full((structures, *size), 0.02, np.float32)
    for k in range(structures):
        disc = (y - size[0] / 2) ** 2 + (x - (k + 0.5) * size[1] / structures) ** 2 < (size[1] / structures / 2.5) ** 2
        p[k][disc] = 0.95 - 0.02 * structures
    p.flags.writeable = False
    return p


def test_there_are_choices():
    assert len(CHOICES) >= 5


@pytest.mark.parametrize("structures", [1, 2, 5])
def test_clear_probabilities_give_their_masks(chain, structures):
    masks = chain.masks(probabilities(structures))
    assert masks.dtype == bool
    expected = probabilities(structures) > 0.5
    for mask, wanted in zip(masks, expected, strict=True):
        # a chain may round a corner off, and no more
        assert 2 * (mask & wanted).sum() / (mask.sum() + wanted.sum()) > 0.95


def test_the_same_probabilities_give_the_same_masks(chain):
    masks = chain.masks(probabilities())
    assert np.array_equal(chain.masks(probabilities()), masks)
    assert np.array_equal(pickle.loads(pickle.dumps(chain)).masks(probabilities()), masks)


@pytest.mark.parametrize("value", [0.0, 0.01], ids=["nothing", "hardly-anything"])
def test_a_map_without_a_structure_gives_an_empty_mask(chain, value):
    unrest = value * np.random.default_rng(0).random((1, 40, 40)).astype(np.float32)
    assert not chain.masks(unrest).any()


def test_a_map_full_of_a_structure_gives_a_full_mask(chain):
    assert chain.masks(np.ones((1, 40, 40), np.float32)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 2)], ids=str)
def test_the_smallest_images_come_through(chain, size):
    assert chain.masks(np.full((2, *size), 0.4, np.float32)).shape == (2, *size)
