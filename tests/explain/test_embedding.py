from __future__ import annotations

import numpy as np

from lungseg.explain.embedding import nearest


def test_the_nearest_are_those_at_the_smallest_angle():
    among = np.array([[1, 0], [0, 3], [5, 5], [-1, 0]], np.float32)
    found = nearest(np.array([[2, 0], [0, 1]], np.float32), among, 3)
    assert found.place.tolist() == [[0, 2, 1], [1, 2, 0]]
    # 1 - cos of 0, 45 and 90 degrees
    assert np.allclose(found.distance, [[0, 1 - np.sqrt(0.5), 1]] * 2, atol=1e-6)


def test_where_there_are_fewer_all_are_named():
    assert nearest(np.ones((2, 3), np.float32), np.ones((1, 3), np.float32), 5).place.tolist() == [[0], [0]]
