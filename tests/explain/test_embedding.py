from __future__ import annotations

import logging

import numpy as np
import pytest

from lungseg.errors import DataError
from lungseg.explain.embedding import nearest, tsne


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
    ],
)
def test_what_cannot_be_laid_out_is_refused(features, match):
    with pytest.raises(DataError, match=match):
        tsne(features)


def test_the_nearest_are_those_at_the_smallest_angle():
    among = np.array([[1, 0], [0, 3], [5, 5], [-1, 0]], np.float32)
    found = nearest(np.array([[2, 0], [0, 1]], np.float32), among, 3)
    assert found.place.tolist() == [[0, 2, 1], [1, 2, 0]]
    # 1 - cos of 0, 45 and 90 degrees
    assert np.allclose(found.distance, [[0, 1 - np.sqrt(0.5), 1]] * 2, atol=1e-6)


def test_where_there_are_fewer_all_are_named():
    assert nearest(np.ones((2, 3), np.float32), np.ones((1, 3), np.float32), 5).place.tolist() == [[0], [0]]
