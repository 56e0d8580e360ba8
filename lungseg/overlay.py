"""One way to draw outlines and heat maps on a radiograph, for every picture lungseg writes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

REFERENCE = (60, 200, 60)
"""Green, BGR."""
PREDICTION = (200, 60, 230)
"""Magenta, BGR: told apart from green by every common kind of colour vision, and by lightness on film grey."""

MOST_HEAT = 0.6
"""Share of the colour where a heat map is strongest; the rest is the radiograph."""
HOTTEST = 0.995
"""Share of the pixels that may not reach the strongest colour."""
MOST_GAIN = 4.0
"""How much stronger a map is drawn at the most so that `HOTTEST` holds."""


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
    picture = shown(image, height)
    draw_outlines(picture, reference, REFERENCE)
    draw_outlines(picture, prediction, PREDICTION)
    return picture


def shown(image: NDArray[Any], height: int) -> NDArray[np.uint8]:
    """Return a radiograph as it is shown: from its 0.5th percentile to its 99.5th, at a height in pixels.

    Returns:
        (height, width, 3) uint8, BGR.
    """
    grey = image if image.ndim == 2 else image.mean(axis=2)
    low, high = np.percentile(grey, (0.5, 99.5))
    stretched = np.clip((grey.astype(np.float32) - low) / max(float(high - low), 1.0) * 255, 0, 255).astype(np.uint8)
    width = round(height * grey.shape[1] / grey.shape[0])
    shrinks = height <= grey.shape[0]
    scaled = cv2.resize(stretched, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.ascontiguousarray(cv2.cvtColor(scaled, cv2.COLOR_GRAY2BGR), np.uint8)


def levels(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an image in 8 bits over the whole scale of its depth, so that contrast and brightness show as they are.

    Args:
        image: (H, W) or (H, W, 3) uint8 or uint16.

    Returns:
        (H, W) uint8.
    """
    grey = image.astype(np.float32) if image.ndim == 2 else image.mean(axis=2, dtype=np.float32)
    return np.asarray(np.rint(grey * (255 / np.iinfo(image.dtype).max)), np.uint8)


def draw_outlines(picture: NDArray[np.uint8], masks: NDArray[np.bool_] | None, colour: tuple[int, int, int]) -> None:
    """Draw the outlines of masks, (K, h, w) bool of any size, into a picture."""
    height, width = picture.shape[:2]
    thick = max(1, round(height / 400))
    for mask in masks if masks is not None else ():
        scaled = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_LINEAR)
        outlines, _ = cv2.findContours((scaled > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, colour, thick, cv2.LINE_AA)


def draw_heat(
    image: NDArray[Any], heat: NDArray[np.float32], lungs: NDArray[np.bool_] | None = None, *, height: int = 640
) -> NDArray[np.uint8]:
    """Lay a heat map over a radiograph: from nothing over purple and orange to yellow, the more the less see-through.

    The strongest colour begins where only 0.5 % of the pixels are hotter, but not below a quarter of the hottest: in a
    speckled map, as of integrated gradients, a single pixel would take the colours from all others.

    Args:
        image: (H, W) or (H, W, 3) uint8 or uint16 over its full range.
        heat: (h, w) in [0, 1], of any size with the same sides' ratio; where it is 0 the radiograph is untouched.
        lungs: (h, w) bool whose outline is drawn in green, or None.
        height: of the picture, pixels.

    Returns:
        (height, width, 3) uint8, BGR as cv2 writes it.
    """
    picture = shown(image, height)
    scaled = cv2.resize(heat.astype(np.float32), (picture.shape[1], height), interpolation=cv2.INTER_LINEAR)
    scaled = (scaled / max(float(np.quantile(heat, HOTTEST)), 1 / MOST_GAIN)).clip(0, 1) if heat.any() else scaled
    colours = cv2.applyColorMap(np.rint(scaled * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    weight = (MOST_HEAT * np.minimum(2 * scaled, 1))[..., None]
    mixed = np.ascontiguousarray(np.rint(picture * (1 - weight) + colours * weight), np.uint8)
    draw_outlines(mixed, None if lungs is None else lungs[None], REFERENCE)
    return mixed
