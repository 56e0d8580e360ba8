"""Whether a picture may be a frontal chest radiograph at all, from its pixels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.polarity import contrast

MOST_COLOUR = 0.06
"""Mean of (highest - lowest channel) over the range. Radiographs with coloured arrows and stamps stay below 0.03."""
ASPECT = (0.5, 2.2)
"""Width over height that a frontal radiograph may have."""
LEAST_SIDE = 64
"""Pixels; of a smaller picture nothing can be said."""
LEAST_SPREAD = 0.06
"""Standard deviation of the grey values over the range."""
MOST_OF_ONE_VALUE = 0.7
"""Share of the pixels that may have one and the same grey value, out of 64."""
LEAST_VALUES = 8
"""Grey values out of 64 that a radiograph fills at the least."""
LEAST_CONTRAST = -0.03
"""Spine minus lungs (`lungseg.data.polarity.contrast`); of 890 radiographs of seven sets 1 % lie below it."""
LEAST_SMOOTHNESS = 0.8
"""Correlation of neighbours in a 64 x 64 thumbnail; no radiograph of these sets lies below 0.87."""

LEAST_SYMMETRY = 0.1
"""Correlation with the mirror image (`_symmetry`). Of 1564 radiographs of seven sets 5 lie below it, of 300 cut-outs of
grey photographs a quarter that pass all other rules."""


def doubts(pixels: NDArray[Any]) -> list[str]:
    """Say why a picture may be no frontal chest radiograph; nothing is refused because of it.

    Looked at are colour, the ratio of the sides, the size, how the grey values are spread, whether neighbouring pixels
    are alike, whether the places of the lungs are darker than that of the spine, and whether left and right are alike.
    A photograph turned grey, or a radiograph of another part of the body, may pass: the rules find what is plainly
    something else. A lung that is white with disease may raise a doubt, which is why it is no more than that.

    Args:
        pixels: (h, w) or (h, w, 3) uint8 or uint16 over its full range, bright = dense.

    Returns:
        Reasons, empty for a picture that looks like a chest radiograph.

    Example:
        >>> doubts(np.zeros((128, 128), np.uint8))
        ['nearly all of it has one grey value']
    """
    height, width = pixels.shape[:2]
    full = float(np.iinfo(pixels.dtype).max)
    found = []
    if min(height, width) < LEAST_SIDE:
        found.append(f"it is only {height} x {width} pixels")
    if not ASPECT[0] <= width / height <= ASPECT[1]:
        found.append(f"its sides are {height} x {width}")
    small = cv2.resize(pixels, (min(width, 256), min(height, 256)), interpolation=cv2.INTER_AREA).astype(np.float64)
    if small.ndim == 3:
        colour = float((small.max(axis=2) - small.min(axis=2)).mean()) / full
        if colour > MOST_COLOUR:
            found.append("it is in colour")
        small = small.mean(axis=2)
    values = np.bincount((small / full * 63.999).astype(np.int64).ravel(), minlength=64) / small.size
    if values.max() > MOST_OF_ONE_VALUE or small.std() / full < LEAST_SPREAD:
        found.append("nearly all of it has one grey value")
    elif int(np.count_nonzero(values > 1e-3)) < LEAST_VALUES:
        found.append(f"it has only {int(np.count_nonzero(values > 1e-3))} grey values, like a drawing or a text")
    elif _smoothness(pixels) < LEAST_SMOOTHNESS:
        found.append("neighbouring pixels have nothing to do with one another")
    elif contrast(pixels) < LEAST_CONTRAST:
        found.append("the places of the lungs are brighter than the middle: it is inverted, or no frontal chest")
    elif _symmetry(pixels) < LEAST_SYMMETRY:
        found.append("left and right are not alike, as the two sides of a chest are")
    return found


def _smoothness(pixels: NDArray[Any]) -> float:
    """Correlation of each pixel of a 64 x 64 thumbnail with the one beside it; NaN of an even picture."""
    small = cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float64)
    grey = small.mean(axis=2) if small.ndim == 3 else small
    return float(np.corrcoef(grey[:, 1:].ravel(), grey[:, :-1].ravel())[0, 1])


def _symmetry(pixels: NDArray[Any]) -> float:
    """Correlation of a 32 x 32 thumbnail with its mirror image, at the best of 7 axes around the middle."""
    small = cv2.resize(pixels, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float64)
    grey = small.mean(axis=2) if small.ndim == 3 else small
    found = []
    for shift in range(-3, 4):  # an axis half as many columns off the middle
        cut = grey[:, max(0, shift) : 32 + min(0, shift)]
        found.append(float(np.corrcoef(cut.ravel(), cut[:, ::-1].ravel())[0, 1]))
    return max(found)
