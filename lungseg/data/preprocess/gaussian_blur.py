"""Gaussian smoothing."""

from __future__ import annotations

import cv2

from lungseg.data.preprocess.base import Prepared, single_channel
from lungseg.data.preprocess.structuring import odd_side
from lungseg.errors import ConfigError


class GaussianBlur:
    """Convolve the image with a Gaussian cut to `kernel` x `kernel` pixels, mirrored at the border (edge not repeated).

    Args:
        kernel: side of the square, pixels, odd.
        sigma: standard deviation, pixels; 0 takes cv2's for the kernel: 0.3 ((kernel - 1) / 2 - 1) + 0.8, or for
            kernels up to 9 its table of short fractions near it (5: 1 4 6 4 1 over 16).

    Raises:
        ConfigError: `kernel` is even or below 3, or `sigma` negative.

    Source:
        The paper `covid_segmentation` names a Gaussian blur and no parameters.
    """

    def __init__(self, *, kernel: int = 5, sigma: float = 0.0) -> None:
        if not sigma >= 0:
            msg = f"preprocess.steps.blur.sigma={sigma} is in pixels and must be 0 or more"
            raise ConfigError(msg)
        self.kernel = odd_side(kernel, "preprocess.steps.blur.kernel")
        self.sigma = float(sigma)

    def __call__(self, sample: Prepared) -> Prepared:
        """Return the smoothed sample at the image's own depth."""
        image = single_channel(sample, "blur")
        return sample.with_image(cv2.GaussianBlur(image, (self.kernel, self.kernel), self.sigma))
