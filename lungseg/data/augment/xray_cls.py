"""Random sharpness, autocontrast and horizontal flip, as torchvision defines them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.augment.base import generator
from lungseg.errors import ConfigError

_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13


@dataclass(frozen=True)
class XrayClsParameters:
    """The drawn choices of one sample: whether it is sharpened, stretched and mirrored."""

    sharpen: bool
    stretch: bool
    flip: bool


class XrayCls:
    """Sharpen, stretch the contrast and mirror, each with a probability of its own, in this order.

    Sharpness blends the image with a smooth copy S (3 x 3 mean in which the centre weighs 5 of 13; the outermost pixels
    stay as they are): v -> f v + (1 - f) S. Autocontrast stretches the darkest pixel to 0 and the brightest to the top
    of the scale; an image of one grey value stays. Both work at the image's own depth and cut off fractions.

    Args:
        sharpness_factor: f; 0 is the smooth copy, 1 the image, 2 the image sharpened.
        sharpness: probability of it.
        autocontrast: probability of it.
        flip: probability of a left-right flip; it moves the heart to the right side.

    Raises:
        ConfigError: the factor is negative, or a probability not one.

    Source:
        The paper `cxr_classification` names RandomAdjustSharpness, RandomAutocontrast and RandomHorizontalFlip and no
        parameters; the defaults are those of torchvision, and a factor of 2 as in its documentation.
    """

    def __init__(
        self,
        *,
        sharpness_factor: float = 2.0,
        sharpness: float = 0.5,
        autocontrast: float = 0.5,
        flip: float = 0.5,
    ) -> None:
        if not sharpness_factor >= 0:
            msg = f"augment.sharpness_factor={sharpness_factor} must be 0 or more (0 smooths, 2 sharpens)"
            raise ConfigError(msg)
        for key, value in (("sharpness", sharpness), ("autocontrast", autocontrast), ("flip", flip)):
            if not 0 <= value <= 1:
                msg = f"augment.{key}={value} is a probability and must lie in [0, 1]"
                raise ConfigError(msg)
        self.sharpness_factor = float(sharpness_factor)
        self.sharpness = sharpness
        self.autocontrast = autocontrast
        self.flip = flip

    def sample(self, *, seed: int, epoch: int, key: int) -> XrayClsParameters:
        """Draw the choices of one sample in one epoch: a pure function of its arguments."""
        sharpen, stretch, flip = generator(seed, epoch, key).random(3)
        return XrayClsParameters(
            bool(sharpen < self.sharpness), bool(stretch < self.autocontrast), bool(flip < self.flip)
        )

    def __call__(
        self, image: NDArray[Any], masks: NDArray[np.uint8], *, seed: int, epoch: int, key: int
    ) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Change one sample: (H, W) integers and (K, H, W) uint8 masks, which are mirrored only."""
        drawn = self.sample(seed=seed, epoch=epoch, key=key)
        if drawn.sharpen:
            image = sharpened(image, self.sharpness_factor)
        if drawn.stretch:
            image = autocontrasted(image)
        if drawn.flip:
            return np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(masks[:, :, ::-1])
        return image.copy(), masks.copy()


def sharpened(image: NDArray[Any], factor: float) -> NDArray[Any]:
    """Blend an (H, W) image with its smooth copy; one of two pixels or fewer on a side has no inside and stays."""
    if min(image.shape) <= 2:
        return image.copy()
    full = float(np.iinfo(image.dtype).max)
    grey = image.astype(np.float32)
    smooth = grey.copy()
    inside = cv2.filter2D(grey, cv2.CV_32F, _SMOOTH, borderType=cv2.BORDER_REPLICATE)[1:-1, 1:-1]
    smooth[1:-1, 1:-1] = np.rint(inside)
    blend = np.float32(factor) * grey + np.float32(1 - factor) * smooth
    return np.clip(blend, 0, full).astype(image.dtype)


def autocontrasted(image: NDArray[Any]) -> NDArray[Any]:
    """Stretch the grey values of an (H, W) image over the whole scale of its depth."""
    darkest, brightest = float(image.min()), float(image.max())
    if darkest == brightest:
        return image.copy()
    full = float(np.iinfo(image.dtype).max)
    scale = np.float32(full) / np.float32(brightest - darkest)
    levels = (np.arange(int(full) + 1, dtype=np.float32) - np.float32(darkest)) * scale
    table = np.clip(levels, 0, full).astype(image.dtype)
    return cv2.LUT(image, table) if image.dtype == np.uint8 else table[image]
