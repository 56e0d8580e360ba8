"""Resize to the grid of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.preprocess.base import Placement, Prepared
from lungseg.errors import ConfigError


def resized(array: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resize an (h, w) array: pixel-area average where it shrinks, bilinear where it grows."""
    if array.shape[:2] == (height, width):
        return array
    shrinks = height <= array.shape[0] and width <= array.shape[1]
    return cv2.resize(array, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def resized_masks(masks: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize (K, h, w) masks: a pixel belongs to the structure when at least half of its area does."""
    if masks.shape[1:] == (height, width):
        return masks
    out = np.zeros((masks.shape[0], height, width), np.uint8)
    for k, mask in enumerate(masks):
        out[k] = resized(mask * np.uint8(255), height, width) >= 128
    return out


class Resize:
    """Resize image and masks to `size`, with the sides' ratio lost (`stretch`) or kept with bars (`letterbox`).

    The image is averaged over pixel areas where it shrinks (a linear resize would alias) and interpolated bilinearly
    where it grows. A letterbox centres the image and fills the bars with black; the bars lie outside the published
    image, so they count in no metric on the published grid.

    Args:
        size: (height, width) of the network's grid, pixels.
        mode: `stretch` or `letterbox`.
    """

    def __init__(self, *, size: Sequence[int] = (256, 256), mode: Literal["stretch", "letterbox"] = "stretch") -> None:
        if len(size) != 2 or any(int(side) < 8 for side in size):
            msg = f"preprocess.steps.resize.size={list(size)} is not (height, width) of at least 8 pixels each"
            raise ConfigError(msg)
        self.size = (int(size[0]), int(size[1]))
        self.mode = mode

    def __call__(self, sample: Prepared) -> Prepared:
        """Return the sample on the (H, W) grid."""
        height, width = self.size
        if self.mode == "stretch":
            sy, sx = height / sample.image.shape[0], width / sample.image.shape[1]
            p = sample.placement
            return replace(
                sample,
                image=resized(sample.image, height, width),
                masks=resized_masks(sample.masks, height, width),
                placement=Placement(p.top * sy, p.left * sx, p.height * sy, p.width * sx),
                guide=None if sample.guide is None else resized_masks(sample.guide[None], height, width)[0],
            )
        return self._letterbox(sample)

    def _letterbox(self, sample: Prepared) -> Prepared:
        height, width = self.size
        scale = min(height / sample.image.shape[0], width / sample.image.shape[1])
        inner_h = max(1, min(height, round(sample.image.shape[0] * scale)))
        inner_w = max(1, min(width, round(sample.image.shape[1] * scale)))
        top, left = (height - inner_h) // 2, (width - inner_w) // 2
        image = np.zeros((height, width, *sample.image.shape[2:]), sample.image.dtype)
        image[top : top + inner_h, left : left + inner_w] = resized(sample.image, inner_h, inner_w)
        masks = np.zeros((sample.masks.shape[0], height, width), np.uint8)
        masks[:, top : top + inner_h, left : left + inner_w] = resized_masks(sample.masks, inner_h, inner_w)
        sy, sx = inner_h / sample.image.shape[0], inner_w / sample.image.shape[1]
        p = sample.placement
        placed = Placement(top + p.top * sy, left + p.left * sx, p.height * sy, p.width * sx)
        guide = None
        if sample.guide is not None:
            guide = np.zeros((height, width), np.uint8)
            guide[top : top + inner_h, left : left + inner_w] = resized_masks(sample.guide[None], inner_h, inner_w)[0]
        return replace(sample, image=image, masks=masks, placement=placed, guide=guide)
