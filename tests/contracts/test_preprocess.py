"""What every preprocessing step and every choice under conf/preprocess keeps to; new ones are found by themselves."""

from __future__ import annotations

import importlib
import inspect
import json
import pickle
import pkgutil
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from lungseg import build
from lungseg.cli.composition import Composer
from lungseg.config import config_dir
from lungseg.data import preprocess
from lungseg.data.preprocess.base import Placement, Prepared, Step
from lungseg.data.preprocess.border_only import BorderOnly
from lungseg.data.preprocess.lung_crop import LungCrop
from lungseg.data.preprocess.lungs_only import LungsOnly
from lungseg.data.preprocess.lungs_out import LungsOut
from lungseg.data.store import describe
from lungseg.errors import DataError
from lungseg.postprocess.published_grid import on_published_grid

HEIGHT, WIDTH = 75, 61
CHOICES = sorted(file.stem for file in (config_dir() / "preprocess").glob("*.yaml"))


def step_classes() -> list[type]:
    """Return the classes of lungseg.data.preprocess that can be called with a sample."""
    modules = [
        importlib.import_module(f"{preprocess.__name__}.{found.name}")
        for found in pkgutil.iter_modules(preprocess.__path__)
    ]
    return [
        value
        for module in modules
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and value.__module__ == module.__name__
        and "__call__" in vars(value)
        and value is not Step
        and not name.startswith("_")
    ]


CLASSES = step_classes()
LUNGS = sorted(f"lungs={file.stem}" for file in (config_dir() / "lungs").glob("*.yaml"))
Make = Callable[[], dict[str, Step]]


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer("train", config_dir())


@pytest.fixture(
    params=[*CLASSES, *CHOICES, *LUNGS], ids=lambda param: param if isinstance(param, str) else param.__name__
)
def make(request, composer) -> Make:
    """The steps of a choice, or one step with its default arguments; made anew by each call."""
    if isinstance(request.param, str):
        config = chosen(composer, request.param)
        return lambda: build.steps(config)
    return lambda: {"step": request.param()}


def chosen(composer: Composer, choice: str) -> dict[str, Any]:
    """Return the configuration of a run that sets nothing but the choice."""
    line = choice if "=" in choice else f"preprocess={choice}"
    return composer.compose(["experiment=null", "name=any", "data=phantom", line]).config


def disc(row: float, column: float, radius: float) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (y - row) ** 2 + (x - column) ** 2 < radius**2


def radiograph(dtype: type = np.uint8) -> Prepared:
    """Two discs on noise, their union as a guide, a third plane of pixels that are left out; all write-protected."""
    left, right, aside = disc(30, 20, 13), disc(35, 42, 11), disc(10, 50, 6)
    grey = 0.6 - 0.3 * (left | right) + 0.05 * np.random.default_rng(0).random((HEIGHT, WIDTH))
    image = (grey * np.iinfo(dtype).max).astype(dtype)
    masks = np.stack([left, right, aside]).astype(np.uint8)
    guide = (left | right).astype(np.uint8)
    image.flags.writeable = masks.flags.writeable = guide.flags.writeable = False
    return Prepared(image, masks, Placement(0, 0, HEIGHT, WIDTH), structures=2, guide=guide)


def run(steps: dict[str, Step], sample: Prepared) -> Prepared:
    for step in steps.values():
        sample = step(sample)
    return sample


def test_there_are_steps_and_choices():
    assert len(CLASSES) >= 9
    assert len(CHOICES) >= 8
    assert len(LUNGS) >= 6


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_depth_is_kept_and_image_and_planes_have_one_size(make, dtype):
    out = run(make(), radiograph(dtype))
    assert out.image.dtype == dtype
    assert out.masks.dtype == np.uint8
    assert out.masks.shape == (3, *out.image.shape)
    assert out.structures == 2
    assert set(np.unique(out.masks)) == {0, 1}
    assert out.guide is not None
    assert (out.guide.shape, out.guide.dtype) == (out.image.shape, np.uint8)
    # it moved with the structures it is the union of; of each, half of a pixel's area decides
    assert np.count_nonzero(out.guide != out.masks[:2].max(axis=0)) <= 0.01 * out.guide.size


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_sample_comes_out_the_same_every_time(make, dtype):
    one, other = run(make(), radiograph(dtype)), run(make(), radiograph(dtype))
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.masks, other.masks)
    assert one.placement == other.placement


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("share", [0, 0.5, 1], ids=["black", "grey", "white"])
def test_an_image_without_contrast_comes_through(make, dtype, share):
    given = radiograph(dtype)
    flat = np.full(given.image.shape, int(share * np.iinfo(dtype).max), dtype)
    out = run(make(), given.with_image(flat))
    assert out.image.dtype == dtype
    p = out.placement
    inside = out.image[max(round(p.top), 0) : round(p.top + p.height), max(round(p.left), 0) : round(p.left + p.width)]
    if any(isinstance(step, LungsOnly) for step in make().values()):  # it draws an outline, as it should
        assert out.guide is not None
        inside = out.image[cv2.erode(out.guide, np.ones((9, 9))) > 0]
        assert inside.size
    assert np.ptp(inside) <= np.iinfo(dtype).max / 255  # no edges where there are none


def test_the_image_does_not_depend_on_the_masks_or_the_step_says_that_it_needs_them(make):
    given = radiograph()
    bare = Prepared(given.image, given.masks[:0], given.placement)
    steps = make()
    if any(type(step) in (LungCrop, LungsOnly, LungsOut, BorderOnly) for step in steps.values()):
        with pytest.raises(DataError, match="needs a mask"):
            run(steps, bare)
    else:
        out = run(steps, bare)
        assert out.masks.shape == (0, *out.image.shape)
        assert np.array_equal(out.image, run(steps, given).image)


def test_a_step_says_all_there_is_to_it_in_plain_attributes(make):
    # the store's key is made of them; an object would be written with its address, another in every process
    for step in make().values():
        json.dumps(vars(step))
    assert describe(make(), ["lungs"]) == describe(make(), ["lungs"])


def test_steps_travel_to_worker_processes(make):
    out = run(pickle.loads(pickle.dumps(make())), radiograph())
    assert np.array_equal(out.image, run(make(), radiograph()).image)


def test_masks_come_back_to_the_published_grid_where_they_were(make):
    out = run(make(), radiograph())
    logits = np.where(out.masks, 8, -8).astype(np.float32)
    back = on_published_grid(logits, out.placement, (HEIGHT, WIDTH)) > 0
    for k in range(2):
        # a shift by one pixel would cost some 5 %: 2 * 11 of the 380 pixels of the smaller disc, of twice as many
        assert 2 * (back[k] & (radiograph().masks[k] > 0)).sum() / (back[k].sum() + radiograph().masks[k].sum()) > 0.98


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_arguments_are_named_and_have_defaults(cls):
    arguments = list(inspect.signature(cls).parameters.values())
    assert all(argument.kind is argument.KEYWORD_ONLY for argument in arguments)
    assert all(argument.default is not argument.empty for argument in arguments)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_choice_makes_one_channel_of_colour(composer, choice, dtype):
    config = chosen(composer, choice)
    given = radiograph(dtype)
    out = run(build.steps(config), given.with_image(np.dstack([given.image] * 3)))
    assert np.array_equal(out.image, run(build.steps(config), given).image)
    assert out.image.shape == build.steps(config)["resize"].size


@pytest.mark.parametrize(
    ("choice", "order", "size"),
    [
        ("covid_paper", ["grey", "blur", "gradient", "clahe", "resize"], (128, 128)),
        ("equalize_300x340", ["grey", "resize", "equalize"], (300, 340)),
    ],
)
def test_a_paper_s_steps_stand_in_its_order(composer, choice, order, size):
    steps = build.steps(chosen(composer, choice))
    assert list(steps) == order
    assert run(steps, radiograph()).image.shape == size
