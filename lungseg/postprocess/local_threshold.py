"""A threshold that follows the neighbourhood."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lungseg.data.preprocess.structuring import odd_side
from lungseg.errors import ConfigError
from lungseg.postprocess.probability import probability_of

_ROUNDING = 1e-6
"""Rounding moves a float32 mean of probabilities by some 1e-7; no difference that means anything is below this."""


class LocalThreshold:
    """Foreground is above the Gaussian mean of its neighbourhood, and probable enough.

        p > mean(p) - offset  and  p >= guard

    The mean is weighed by a Gaussian over `block` x `block` pixels of the published grid (not of the network's), with
    cv2's standard deviation for that side, 0.3 ((block - 1) / 2 - 1) + 0.8 = 5.6 pixels for 35; beyond the border the
    edge goes on. The comparison is strict, so a constant region is background, rounding of the mean set aside: inside
    of a large structure nothing is above its surroundings, and this step finds borders rather than areas (see
    `ThresholdUnion`). Without the guard it would light up the slightest unrest of the background.

    Args:
        block: side of the neighbourhood, pixels of the published grid, odd.
        offset: lowers the mean, so that constant regions above the guard are foreground too, in [-1, 1].
        guard: least probability of a foreground pixel, in [0, 1].

    Raises:
        ConfigError: an argument is out of its range.

    Source:
        The paper `covid_segmentation`, Experiments, names a "local method" and no more.
    """

    def __init__(self, *, block: int = 35, offset: float = 0.0, guard: float = 0.1) -> None:
        if not -1 <= offset <= 1:
            msg = f"postprocess.steps.local.offset={offset} is a difference of probabilities and must be in [-1, 1]"
            raise ConfigError(msg)
        self.block = odd_side(block, "postprocess.steps.local.block")
        self.offset = float(offset)
        self.guard = probability_of(guard, "postprocess.steps.local.guard")

    def __call__(self, probability: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return the masks (K, h, w) bool of probabilities (K, h, w) float."""
        masks = np.empty(probability.shape, bool)
        for k, p in enumerate(probability.astype(np.float32, copy=False)):
            mean = cv2.GaussianBlur(p, (self.block, self.block), 0, borderType=cv2.BORDER_REPLICATE)
            masks[k] = (p - mean > np.float32(_ROUNDING - self.offset)) & (p >= np.float32(self.guard))
        return masks
