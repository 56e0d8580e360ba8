"""Images laid out in two dimensions by their features: t-SNE."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from lungseg.errors import DataError

log = logging.getLogger(__name__)

LEAST = 4
"""Images below which there is nothing to lay out."""
SAME = 1e-6
"""Spread, as a share of the largest value, below which features count as equal: some roundings of float32."""


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
        DataError: there are fewer than 4 images, features that are not finite, or the same ones for all images.

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
    wide = features.astype(np.float64)
    spread = float(np.abs(wide - wide.mean(axis=0)).max(initial=0.0))
    if spread <= SAME * float(np.abs(wide).max(initial=0.0)):
        # scikit-learn would divide by the spread, and die of it
        msg = f"the network's features are the same for all {len(features)} images: there is nothing to lay out"
        raise DataError(msg)
    from sklearn.manifold import TSNE

    most = (len(features) - 1) / 3
    if perplexity > most:
        log.info("perplexity %g is too much for %d images; %.3g is taken", perplexity, len(features), most)
    # a start by principal components needs two of them
    start = "pca" if min(features.shape) >= 2 else "random"
    model = TSNE(n_components=2, perplexity=min(perplexity, most), random_state=seed, init=start)
    return np.asarray(model.fit_transform(features.astype(np.float32)), np.float32)
