"""Where images lie in the space of a classifier's last features: two dimensions to look at, and who is near."""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lungseg.errors import DataError

log = logging.getLogger(__name__)

LEAST = 4
"""Images below which there is nothing to lay out."""


class Near(NamedTuple):
    """The nearest images of each case.

    Attributes:
        place: (N, k) int64, places among the images looked through, the nearest first.
        distance: (N, k) float32, 1 - cosine of the angle between the features, in [0, 2].
    """

    place: NDArray[np.int64]
    distance: NDArray[np.float32]


def tsne(features: NDArray[np.float32], *, seed: int = 0, perplexity: float = 30.0) -> NDArray[np.float32]:
    """Lay features out in two dimensions by t-SNE.

    The perplexity, roughly the number of neighbours that count, is lowered to (N - 1) / 3 where the images are few.
    Distances between groups, and how large they look, mean nothing.

    Args:
        features: (N, D).
        seed: of the layout.
        perplexity: as above.

    Returns:
        (N, 2) float32.

    Raises:
        DataError: there are fewer than 4 images, or features that are not finite.

    Source:
        van der Maaten and Hinton 2008, JMLR 9, 2579-2605; scikit-learn's implementation, from a start by principal
        components.
    """
    if len(features) < LEAST:
        msg = f"t-SNE lays out at least {LEAST} images, not {len(features)}; take more parts: parts=[train,val,test]"
        raise DataError(msg)
    if not np.isfinite(features).all():
        msg = "the network's features are not finite, so they cannot be laid out; look at the checkpoint's losses"
        raise DataError(msg)
    from sklearn.manifold import TSNE

    most = (len(features) - 1) / 3
    if perplexity > most:
        log.info("perplexity %g is too much for %d images; %.3g is taken", perplexity, len(features), most)
    # a start by principal components needs two of them
    start = "pca" if min(features.shape) >= 2 else "random"
    model = TSNE(n_components=2, perplexity=min(perplexity, most), random_state=seed, init=start)
    return np.asarray(model.fit_transform(features.astype(np.float32)), np.float32)


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
