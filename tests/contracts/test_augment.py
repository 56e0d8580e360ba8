"""What every augmentation under conf/augment keeps to; a new YAML file is found by itself."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest

from lungseg import build
from lungseg.cli.composition import Composer
from lungseg.config import config_dir
from lungseg.data.augment.base import Augmentation

CHOICES = sorted(file.stem for file in (config_dir() / "augment").glob("*.yaml"))
DRAWS = [{"seed": seed, "epoch": epoch, "key": key} for seed in (0, 1) for epoch in (0, 1) for key in (3, 2**64 - 1)]


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer("train", config_dir())


@pytest.fixture(params=CHOICES)
def make(request, composer) -> Callable[[], Augmentation]:
    node = composer.compose([f"augment={request.param}"]).config["augment"]
    return lambda: build.make(node, "augment")


def image(dtype: type = np.uint8) -> np.ndarray:
    return (np.random.default_rng(0).random((48, 40)) * np.iinfo(dtype).max).astype(dtype)


def planes(count: int) -> np.ndarray:
    """Blots of structures, then nothing at all."""
    y, x = np.mgrid[:48, :40]
    found = [(y - 20) ** 2 + (x - 15 - 3 * k) ** 2 < 90 for k in range(count - 1)] + [np.zeros((48, 40), bool)]
    return np.stack(found[:count]).astype(np.uint8) if count else np.zeros((0, 48, 40), np.uint8)


def all_or_nothing(augment: Augmentation) -> bool:
    """Whether an augmentation draws choices and no numbers: over many samples, most change as some other does."""
    found = {augment(image(), planes(0), seed=0, epoch=0, key=key)[0].tobytes() for key in range(40)}
    return len(found) < 20


def test_there_are_choices():
    assert len(CHOICES) >= 5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [0, 1, 4])
def test_shapes_and_depth_are_kept_and_planes_stay_planes(make, dtype, count):
    for draw in DRAWS:
        out, moved = make()(image(dtype), planes(count), **draw)
        assert (out.shape, out.dtype) == ((48, 40), dtype)
        assert (moved.shape, moved.dtype) == ((count, 48, 40), np.uint8)
        assert set(np.unique(moved)) <= {0, 1}
        assert not moved[count - 1 :].any()  # the empty plane, if there is one


def test_a_draw_depends_on_seed_epoch_and_sample_alone(make):
    forward, backward = make(), pickle.loads(pickle.dumps(make()))
    once = [forward(image(), planes(2), **draw) for draw in DRAWS]
    again = [backward(image(), planes(2), **draw) for draw in reversed(DRAWS)][::-1]
    for (one, masks), (other, other_masks) in zip(once, again, strict=True):
        assert np.array_equal(one, other)
        assert np.array_equal(masks, other_masks)
    changes = [not np.array_equal(one, image()) for one, _ in once]
    if any(changes):
        found = len({one.tobytes() for one, _ in once})
        # where all that is drawn is yes or no, some of the samples are changed alike
        assert found == len(DRAWS) or (all_or_nothing(forward) and found > len(DRAWS) // 4)


def test_the_image_does_not_depend_on_its_planes(make):
    for draw in DRAWS:
        alone, _ = make()(image(), planes(0), **draw)
        assert np.array_equal(make()(image(), planes(4), **draw)[0], alone)


def test_the_sample_given_is_left_as_it_was(make):
    given, masks = image(), planes(3)
    given.flags.writeable = masks.flags.writeable = False
    for draw in DRAWS:
        make()(given, masks, **draw)
