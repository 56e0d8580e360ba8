from __future__ import annotations

import numpy as np
import pytest

from lungseg.errors import ConfigError
from lungseg.postprocess.argmax import Argmax
from lungseg.postprocess.threshold import Threshold


def test_a_pixel_belongs_to_the_most_probable_class():
    # columns: background 0.7, 0.3, 0.2, 0.0
    p = np.array([[[0.2, 0.4, 0.3, 0.4]], [[0.1, 0.3, 0.5, 0.6]]], np.float32)
    assert Argmax()(p).tolist() == [[[False, True, False, False]], [[False, False, True, True]]]


@pytest.mark.parametrize(
    ("p", "winner"),
    [([0.5, 0.0], None), ([0.375, 0.375], 0), ([0.25, 0.5], 1)],
    ids=["background-before-structures", "first-structure-before-second", "no-tie"],
)
def test_ties_go_to_the_background_and_then_to_the_first(p, winner):
    masks = Argmax()(np.array(p, np.float32).reshape(2, 1, 1)).ravel()
    assert masks.tolist() == [k == winner for k in range(2)]


def test_masks_are_those_of_the_largest_logit_and_never_overlap():
    logits = np.random.default_rng(0).normal(size=(4, 20, 20))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=0)
    masks = Argmax()(softmax[1:].astype(np.float32))
    assert (masks.sum(axis=0) <= 1).all()
    assert np.array_equal(np.where(masks.any(axis=0), masks.argmax(axis=0) + 1, 0), logits.argmax(axis=0))


def test_for_one_structure_it_is_a_threshold_of_a_half():
    p = np.random.default_rng(0).random((1, 20, 20)).astype(np.float32)
    assert np.array_equal(Argmax()(p), Threshold()(p))


def test_sigmoids_that_overlap_are_refused_with_the_keys_to_change():
    p = np.full((2, 2, 2), 0.85, np.float32)
    with pytest.raises(ConfigError, match=r"add up to 1\.7,.*task\.activation=softmax.*postprocess=threshold"):
        Argmax()(p)
