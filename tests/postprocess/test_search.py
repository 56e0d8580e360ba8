"""The best chain is that of running each on every image."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lungseg.metrics.counts import counts_of_image
from lungseg.metrics.overlap import dice
from lungseg.postprocess.fill_holes import FillHoles
from lungseg.postprocess.keep_largest import KeepLargest
from lungseg.postprocess.search import PostprocessSearch
from lungseg.postprocess.threshold import Threshold

HALF, FILL, LARGEST = Threshold(), FillHoles(), KeepLargest(k=1)
CHAINS = {
    "all": [HALF, FILL, LARGEST],
    "fill": [HALF, FILL],
    "largest": [HALF, LARGEST],
    "half": [HALF],
    "low": [Threshold(value=0.3), FILL],
}


def images(n: int = 5) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Probability, mask and valid of two structures; of the second the first image has no mask, the last nothing."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:20, :24]
    found = []
    for i in range(n):
        mask = np.stack([(y - 9 - i) ** 2 + (x - 8) ** 2 < 30, (y - 10) ** 2 + (x - 17 + i) ** 2 < 20])
        if i == 0:
            mask[1] = False
        p = np.clip(0.45 * mask + 0.6 * generator.random(mask.shape), 0, 1).astype(np.float32)
        if i == n - 1:
            mask[1], p[1] = False, 0
        found.append((p, mask, generator.random(mask.shape[1:]) > 0.2))
    return found


@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
def test_the_dice_of_each_chain_is_that_of_running_it(use_valid):
    search = PostprocessSearch(candidates=CHAINS)
    for p, mask, valid in images():
        search.update(p, mask, valid if use_valid else None)
    found = search.dice()
    assert list(found) == list(CHAINS)
    for name, steps in CHAINS.items():
        values = []
        for p, mask, valid in images():
            masks = p
            for step in steps:
                masks = step(masks)
            values.append(
                dice(counts_of_image(masks & valid, mask & valid) if use_valid else counts_of_image(masks, mask))
            )
        assert found[name] == pytest.approx(np.nanmean(values, axis=0).mean())
    assert len({round(value, 6) for value in found.values()}) == len(CHAINS)  # no chain could stand for another


def test_the_highest_wins():
    # a lung of 4 pixels and a speck of 1: Dice 2 * 4 / (5 + 4) with the speck, 1 without
    p = np.zeros((1, 3, 9), np.float32)
    p[0, 1, :4] = p[0, 1, 7] = 0.9
    search = PostprocessSearch(candidates={"half": [HALF], "largest": [HALF, LARGEST]})
    search.update(p, (p > 0.5) & (np.arange(9) < 5))
    assert search.dice() == {"half": pytest.approx(8 / 9), "largest": 1.0}
    assert search.best() == ("largest", 1.0)


def test_among_equals_the_first_wins():
    p = np.zeros((1, 3, 3), np.float32)
    p[0, 1, 1] = 0.9
    search = PostprocessSearch(candidates={"b": [HALF, FILL], "a": [HALF]})
    search.update(p, p > 0.5)
    assert search.best() == ("b", 1.0)


def test_an_image_without_the_structure_counts_only_where_something_is_found():
    search = PostprocessSearch(candidates={"high": [Threshold(value=0.9)], "low": [Threshold(value=0.1)]})
    full = np.full((1, 2, 2), 0.95, np.float32)
    search.update(full, full > 0)
    search.update(0.5 * full, np.zeros((1, 2, 2), bool))
    # high: 1, and undefined; low: 1, and 0 for pixels found where there are none
    assert search.dice() == {"high": 1.0, "low": 0.5}


def test_pixels_left_out_are_seen_by_the_steps_but_not_counted():
    # the hole is filled although all around it is left out; only the hole counts
    ring = np.full((1, 3, 3), 0.9, np.float32)
    ring[0, 1, 1] = 0
    valid = np.zeros((3, 3), bool)
    valid[1, 1] = True
    search = PostprocessSearch(candidates={"fill": [HALF, FILL], "half": [HALF]})
    search.update(ring, np.ones((1, 3, 3), bool), valid)
    assert search.dice() == {"fill": 1.0, "half": 0.0}


def test_a_step_that_chains_share_runs_once_an_image():
    calls = []

    def first(probability: np.ndarray) -> np.ndarray:
        calls.append("first")
        return probability > 0.5

    def second(masks: np.ndarray) -> np.ndarray:
        calls.append("second")
        return masks

    chains = {"both": [first, second], "both and fill": [first, second, FILL], "first": [first], "fill": [first, FILL]}
    search = PostprocessSearch(candidates=chains)
    for p, mask, _ in images(2):
        search.update(p, mask)
    assert calls == ["first", "second"] * 2


def test_memory_does_not_grow_with_the_images():
    search = PostprocessSearch(candidates=CHAINS)
    p, mask, _ = images()[0]
    search.update(p, mask)
    before = {name: np.asarray(value).nbytes for name, value in vars(search).items() if name != "candidates"}
    for _ in range(5):
        search.update(p, mask)
    assert {name: np.asarray(value).nbytes for name, value in vars(search).items() if name != "candidates"} == before


@pytest.mark.parametrize("update", [False, True], ids=["no-image", "empty-image"])
def test_nothing_to_choose_from_is_refused(update):
    search = PostprocessSearch(candidates={"half": [HALF]})
    if update:
        search.update(np.zeros((1, 2, 2), np.float32), np.zeros((1, 2, 2), bool))
    assert math.isnan(search.dice()["half"])
    with pytest.raises(ValueError, match="no postprocessing can be chosen"):
        search.best()


@pytest.mark.parametrize("candidates", [{}, {"none": []}], ids=["no-candidate", "no-step"])
def test_candidates_without_steps_are_refused(candidates):
    with pytest.raises(ValueError, match="one step in each"):
        PostprocessSearch(candidates=candidates)


@pytest.mark.parametrize(
    ("p", "mask", "valid", "message"),
    [
        ((1, 2, 2), (1, 3, 3), None, r"\(1, 2, 2\).*\(1, 3, 3\)"),
        ((2, 2, 2), (2, 2, 2), None, r"both must be \(1, h, w\)"),
        ((1, 2, 2), (1, 2, 2), (3, 3), r"valid has shape \(3, 3\)"),
    ],
    ids=["mask", "structures", "valid"],
)
def test_shapes_that_do_not_fit_are_refused(p, mask, valid, message):
    search = PostprocessSearch(candidates={"half": [HALF]})
    search.update(np.zeros((1, 4, 4), np.float32), np.zeros((1, 4, 4), bool))
    with pytest.raises(ValueError, match=message):
        search.update(np.zeros(p, np.float32), np.zeros(mask, bool), None if valid is None else np.ones(valid, bool))
