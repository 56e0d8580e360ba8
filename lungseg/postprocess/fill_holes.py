"""Holes inside a structure."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt


class FillHoles:
    """Fill background that does not reach the image's border.

    Background pixels are connected at their sides only, so a border of the structure that is closed over corners holds
    tight.
    """

    def __call__(self, masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return the masks without holes, (K, h, w) bool."""
        out = np.empty(masks.shape, bool)
        for k, mask in enumerate(masks):
            count, labels = cv2.connectedComponents((~mask).astype(np.uint8), connectivity=4)
            open_ = np.zeros(count, bool)
            for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
                open_[edge] = True
            open_[0] = False  # the structure itself
            out[k] = ~open_[labels]
        return out
