"""Logits to probabilities, and to what is predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungseg.types import Kind


def probabilities(logits: ArrayLike, kind: Kind) -> NDArray[np.float64]:
    """Turn logits (N, C) into probabilities (N, C): a softmax over the classes, or a sigmoid of each label.

    Example:
        >>> probabilities([[0.0, 0.0]], "multiclass").tolist(), probabilities([[0.0, 0.0]], "multilabel").tolist()
        ([[0.5, 0.5]], [[0.5, 0.5]])
    """
    wide = np.asarray(logits, np.float64)
    if kind == "multilabel":
        small = np.exp(-np.abs(wide))  # never over 1, so that nothing overflows
        return np.asarray(np.where(wide >= 0, 1.0, small) / (1 + small))
    powers = np.exp(wide - wide.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def predicted(
    chances: ArrayLike, kind: Kind, classes: Sequence[str], thresholds: Mapping[str, float] | None = None
) -> list[str]:
    """Name what is predicted for each image.

    Args:
        chances: (N, C) probabilities.
        kind: of the classes.
        classes: their names.
        thresholds: multilabel: probability from which a label is predicted; 0.5 where none is given.

    Returns:
        The most probable class, of equal ones the first; or the labels joined by `|`, empty where there is none.

    Example:
        >>> predicted([[0.6, 0.7]], "multilabel", ["mass", "nodule"], {"mass": 0.65})
        ['nodule']
    """
    p = np.asarray(chances)
    if kind == "multiclass":
        return [classes[i] for i in p.argmax(axis=1)]
    limits = np.array([(thresholds or {}).get(name, 0.5) for name in classes])
    return ["|".join(name for name, yes in zip(classes, row, strict=True) if yes) for row in p >= limits]
