from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lungseg.data.phantom.canvas import Canvas
from lungseg.data.phantom.opacity import draw_opacity
from lungseg.data.phantom.organs import draw_organs

SIZE = (64, 64)


@pytest.fixture
def draw(anatomy, pose):
    def make(label, seed=0, at=SIZE):
        ill = dataclasses.replace(anatomy, label=label)
        organs = draw_organs(ill, pose, np.random.default_rng(0))
        return draw_opacity(ill, organs, Canvas(ill, pose, at), np.random.default_rng(seed))

    return make


def sides(share):
    """Mean share on the right (image left) and on the left."""
    half = share.shape[1] // 2
    return float(share[:, :half].mean()), float(share[:, half:].mean())


def test_a_healthy_patient_has_none(draw):
    assert draw("normal") is None


@pytest.mark.parametrize("label", ["lobar", "bilateral"])
def test_it_is_a_share_that_leaves_some_air(draw, label):
    for seed in range(12):
        share = draw(label, seed)
        assert (share.shape, share.dtype) == (SIZE, np.float32)
        assert share.min() >= 0
        assert 0.05 < share.max() <= 0.92 + 1e-6


def test_a_lobe_is_on_one_side(draw):
    for seed in range(12):
        weak, strong = sorted(sides(draw("lobar", seed)))
        assert weak < 0.25 * strong


def test_lobes_are_found_on_either_side(draw):
    right = [np.greater(*sides(draw("lobar", seed))) for seed in range(30)]
    # 58 % of them: 17.4 of 30, with a standard deviation of 2.7
    assert 7 <= sum(right) <= 28


def test_patches_are_on_both_sides(draw):
    for seed in range(12):
        assert min(sides(draw("bilateral", seed))) > 0.01


def test_the_same_patient_is_ill_at_the_same_place(draw):
    assert np.array_equal(draw("lobar", 3), draw("lobar", 3))
    assert not np.array_equal(draw("lobar", 3), draw("lobar", 4))


def test_the_place_does_not_depend_on_the_size(draw):
    for seed in range(6):
        small, large = draw("lobar", seed), draw("lobar", seed, (128, 128))
        assert np.greater(*sides(small)) == np.greater(*sides(large))
