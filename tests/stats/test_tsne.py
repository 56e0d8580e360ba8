"""Images laid out by their features."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from lungseg.errors import DataError
from lungseg.stats.tsne import tsne


def two_groups(n: int = 12, d: int = 6) -> np.ndarray:
    features = np.random.default_rng(0).normal(scale=0.1, size=(2 * n, d)).astype(np.float32)
    features[n:, 0] += 8
    return features


def test_groups_far_apart_stay_apart():
    points = tsne(two_groups(), perplexity=5)
    assert (points.shape, points.dtype) == ((24, 2), np.float32)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest_of_each = apart.argmin(axis=1)
    assert ((nearest_of_each < 12) == (np.arange(24) < 12)).all()


def test_the_seed_decides_the_layout():
    assert np.array_equal(tsne(two_groups(), seed=3), tsne(two_groups(), seed=3))


def test_few_images_lower_the_perplexity_and_say_so(caplog):
    with caplog.at_level(logging.INFO):
        points = tsne(two_groups(2, 3))
    assert np.isfinite(points).all()
    assert "perplexity 30 is too much for 4 images; 1 is taken" in caplog.text


def test_one_feature_can_be_laid_out():
    assert tsne(two_groups(4, 1)).shape == (8, 2)


@pytest.mark.parametrize(
    ("features", "match"),
    [
        (np.zeros((3, 5), np.float32), r"at least 4 images, not 3.*parts=\[train,val,test\]"),
        (np.full((9, 5), np.nan, np.float32), "not finite"),
        (np.zeros((9, 5), np.float32), "the same for all 9 images"),
        (np.full((9, 5), 2, np.float32) + np.float32(2.4e-7) * np.eye(9, 5, dtype=np.float32), "the same for all 9"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(features, match):
    with pytest.raises(DataError, match=match):
        tsne(features)


def test_twins_among_others_are_laid_out():
    features = np.repeat(two_groups(2, 3)[:2], 6, axis=0)  # two images, six times each
    assert np.isfinite(tsne(features)).all()
