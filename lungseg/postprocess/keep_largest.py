"""Only the largest parts of a structure."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from lungseg.errors import ConfigError


class KeepLargest:
    """Keep the k largest connected parts of each structure.

    Parts of equal size are taken in the order of their first pixel, row by row. A structure with fewer parts keeps all.

    Args:
        k: how many parts; 2 for a mask that holds both lungs, 1 for a structure in one piece.
        connectivity: 8 = pixels that touch at a corner belong together, 4 = only at a side.

    Raises:
        ConfigError: `k` is below 1, or `connectivity` neither 4 nor 8.
    """

    def __init__(self, *, k: int = 2, connectivity: Literal[4, 8] = 8) -> None:
        if int(k) != k or k < 1:
            msg = f"postprocess.steps.largest.k={k} must be a whole number from 1 on"
            raise ConfigError(msg)
        if connectivity not in (4, 8):
            msg = f"postprocess.steps.largest.connectivity={connectivity} must be 4 or 8"
            raise ConfigError(msg)
        self.k = int(k)
        self.connectivity = connectivity

    def __call__(self, masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return the masks without their smaller parts, (K, h, w) bool."""
        out = np.empty(masks.shape, bool)
        for i, mask in enumerate(masks):
            count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=self.connectivity)
            kept = np.zeros(count, bool)
            flat = labels.ravel()
            sizes = np.bincount(flat, minlength=count)[1:]
            kept[1 + _largest(sizes, flat, self.k)] = True
            out[i] = kept[labels]
        return out


def _largest(sizes: npt.NDArray[np.int64], labels: npt.NDArray[np.int32], k: int) -> npt.NDArray[np.intp]:
    """Return the k labels (from 0) of most pixels; of equals the one that begins first."""
    if len(sizes) <= k:
        return np.arange(len(sizes))
    # cv2 does not promise in which order it numbers parts
    first = np.empty(len(sizes) + 1, np.intp)
    first[labels[::-1]] = np.arange(len(labels) - 1, -1, -1)
    return np.lexsort((first[1:], -sizes))[:k]
