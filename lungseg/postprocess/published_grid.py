"""Logits from the network's grid to the grid of the mask as published."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.preprocess.base import Placement
from lungseg.types import Activation

OUTSIDE = -30.0
"""Logit of what the network never saw: probability 1e-13."""


def on_published_grid(
    logits: NDArray[np.float32], placement: Placement, size: tuple[int, int], activation: Activation = "sigmoid"
) -> NDArray[np.float32]:
    """Sample logits bilinearly at the pixel centres of the published grid.

    Pixel (r, c) of an (h, w) grid lies at top + (r + 1/2) height / h - 1/2 on the network's grid, and alike for
    columns; beyond the outermost pixel centres the edge value goes on, and beyond the network's grid (a crop) the
    logit is `OUTSIDE` (of a softmax's background, minus that). Logits are sampled and not masks, so that the outline is
    as fine as the published one.

    Args:
        logits: (C, H, W) float32.
        placement: of the published image on the network's grid.
        size: (h, w) of the published grid.
        activation: softmax = the first channel is the background's.

    Returns:
        (C, h, w) float32.
    """
    h, w = size
    sy, sx = placement.height / h, placement.width / w
    if (placement.top, placement.left) == (0, 0) and logits.shape[1:] == (placement.height, placement.width):
        # the common case, and exact where cv2.warpAffine rounds to 1/32 pixel
        planes = [cv2.resize(plane, (w, h), interpolation=cv2.INTER_LINEAR) for plane in logits]
        return np.stack(planes).astype(np.float32, copy=False)
    rows = (placement.top + (np.arange(h) + 0.5) * sy - 0.5).astype(np.float32)
    columns = (placement.left + (np.arange(w) + 0.5) * sx - 0.5).astype(np.float32)
    map_x, map_y = np.broadcast_to(columns, (h, w)).copy(), np.broadcast_to(rows[:, None], (h, w)).copy()
    planes = [cv2.remap(plane, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for plane in logits]
    out: NDArray[np.float32] = np.stack(planes).astype(np.float32, copy=False)
    beyond = np.full((len(logits), 1, 1), OUTSIDE, np.float32)
    if activation == "softmax":
        beyond[0] = -OUTSIDE
    out[:, (rows < -0.5) | (rows > logits.shape[1] - 0.5), :] = beyond
    out[:, :, (columns < -0.5) | (columns > logits.shape[2] - 0.5)] = beyond
    return out


def probabilities(logits: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    """Return the probability of each structure, (K, h, w) float32.

    Args:
        logits: (K, h, w) for sigmoid, (K + 1, h, w) with the background first for softmax.
        activation: which of the two.

    Example:
        >>> probabilities(np.zeros((3, 1, 1), np.float32), "softmax").ravel().astype(float).round(3).tolist()
        [0.333, 0.333]
    """
    if activation == "sigmoid":
        return sigmoid(logits)
    powers = np.exp(logits - logits.max(axis=0, keepdims=True))
    return np.asarray(powers[1:] / powers.sum(axis=0, keepdims=True), np.float32)


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 / (1 + exp(-x)), without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), np.float32)
