"""The loss of each image from its probabilities; numpy only."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

NEAREST = 1e-7
"""How near to 0 and 1 a probability is taken, about the resolution of float32."""


def case_losses(probabilities: ArrayLike, truth: ArrayLike, kind: str) -> NDArray[np.float64]:
    """Return the loss of each image, by which the worst are found.

    Multiclass: -ln p of the true class. Multilabel: mean over the known labels of the binary cross entropy.

    Args:
        probabilities: (n, C) in [0, 1].
        truth: (n, C) 0 or 1; NaN = unknown.
        kind: multiclass or multilabel.

    Returns:
        (n,) NaN where nothing is known of an image.

    Example:
        >>> case_losses([[0.5, 0.5]], [[1, 0]], "multiclass").round(4).tolist()
        [0.6931]
    """
    p = np.asarray(probabilities, dtype=np.float64).clip(NEAREST, 1 - NEAREST)
    t = np.asarray(truth, dtype=np.float64)
    known = ~np.isnan(t)
    of_label = np.where(known, -np.log(np.where(t == 1, p, 1 - p)), 0.0)
    counted = t == 1 if kind == "multiclass" else known
    n = counted.sum(axis=1)
    total = np.where(counted, of_label, 0.0).sum(axis=1)
    mean: NDArray[np.float64] = np.divide(total, n, out=np.full(len(total), math.nan), where=n > 0)
    return mean
