"""Which images are near a case in the space of a classifier's last features."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Near(NamedTuple):
    """The nearest images of each case.

    Attributes:
        place: (N, k) int64, places among the images looked through, the nearest first.
        distance: (N, k) float32, 1 - cosine of the angle between the features, in [0, 2].
    """

    place: NDArray[np.int64]
    distance: NDArray[np.float32]


def nearest(features: NDArray[np.float32], among: NDArray[np.float32], k: int) -> Near:
    """Find the nearest images of each case by the angle between features.

    Args:
        features: (N, D) of the cases.
        among: (M, D) of the images looked through.
        k: how many; all where there are fewer.
    """
    cases, others = _unit(features), _unit(among)
    k = min(k, len(others))
    place = np.empty((len(cases), k), np.int64)
    distance = np.empty((len(cases), k), np.float32)
    for i, case in enumerate(cases):  # one row at a time: N x M would not fit for large sets
        away = 1 - others @ case
        place[i] = np.argsort(away, kind="stable")[:k]
        distance[i] = away[place[i]].clip(0, 2)
    return Near(place, distance)


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(length, 1e-12), np.float32)
