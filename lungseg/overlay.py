"""One way to draw outlines on a radiograph, for every picture lungseg writes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

REFERENCE = (60, 200, 60)
"""Green, BGR."""
PREDICTION = (200, 60, 230)
"""Magenta, BGR: told apart from green by every common kind of colour vision, and by lightness on film grey."""


def draw_overlay(
    image: NDArray[Any],
    prediction: NDArray[np.bool_] | None,
    reference: NDArray[np.bool_] | None,
    *,
    height: int = 640,
) -> NDArray[np.uint8]:
    """Draw the outlines of the reference (green) and the prediction (magenta) on a radiograph.

    Args:
        image: (H, W) or (H, W, 3) uint8 or uint16 over its full range.
        prediction: (K, h, w) bool, of any size with the same sides' ratio, or None.
        reference: (K, h, w) bool, or None.
        height: of the picture, pixels.

    Returns:
        (height, width, 3) uint8, BGR as cv2 writes it.
    """
    grey = image if image.ndim == 2 else image.mean(axis=2)
    low, high = np.percentile(grey, (0.5, 99.5))
    shown = np.clip((grey.astype(np.float32) - low) / max(float(high - low), 1.0) * 255, 0, 255).astype(np.uint8)
    width = round(height * grey.shape[1] / grey.shape[0])
    shrinks = height <= grey.shape[0]
    shown = cv2.resize(shown, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    picture = cv2.cvtColor(shown, cv2.COLOR_GRAY2BGR)
    thick = max(1, round(height / 400))
    for masks, colour in ((reference, REFERENCE), (prediction, PREDICTION)):
        for mask in masks if masks is not None else ():
            scaled = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_LINEAR)
            outlines, _ = cv2.findContours((scaled > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, outlines, -1, colour, thick, cv2.LINE_AA)
    return np.ascontiguousarray(picture)
