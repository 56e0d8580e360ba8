"""Intensity windowing."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from lungseg.data.preprocess.base import Prepared, single_channel
from lungseg.errors import ConfigError


class Window:
    """Stretch the grey values between two ends over the whole scale and cut those beyond.

    With a and b the grey values of the ends and L - 1 white, v -> round((L - 1) clip((v - a) / (b - a), 0, 1)). By
    `percentile` the ends are taken from each image, which evens out exposures; by `range` they are the same for all
    images. An image whose percentiles coincide stays as it is.

    Args:
        low: the end that becomes black: a percentile (0 to 100), or a share of the scale (0 to 1).
        high: the end that becomes white.
        by: `percentile` (of the image's pixels, linear between order statistics) or `range`.

    Raises:
        ConfigError: the ends are out of order or out of their range.

    Example:
        >>> from lungseg.data.preprocess.base import Placement
        >>> image = np.array([[0, 51, 102, 204]], dtype=np.uint8)
        >>> sample = Prepared(image, np.zeros((0, 1, 4), np.uint8), Placement(0, 0, 1, 4))
        >>> Window(low=0.2, high=0.6, by="range")(sample).image  # from 51 to 153
        array([[  0,   0, 128, 255]], dtype=uint8)
    """

    def __init__(
        self, *, low: float = 1.0, high: float = 99.0, by: Literal["percentile", "range"] = "percentile"
    ) -> None:
        if by not in ("percentile", "range"):
            msg = f"preprocess.steps.window.by={by} is none of percentile, range"
            raise ConfigError(msg)
        most = 100 if by == "percentile" else 1
        if not 0 <= low < high <= most:
            msg = (
                f"preprocess.steps.window.low={low} and preprocess.steps.window.high={high} must rise and lie in 0 to "
                f"{most}, since by={by}"
            )
            raise ConfigError(msg)
        self.low = float(low)
        self.high = float(high)
        self.by = by

    def __call__(self, sample: Prepared) -> Prepared:
        """Return the windowed sample at the image's own depth."""
        image = single_channel(sample, "window")
        white = int(np.iinfo(image.dtype).max)
        if self.by == "percentile":
            black_end, white_end = (float(end) for end in np.percentile(image, [self.low, self.high]))
        else:
            black_end, white_end = self.low * white, self.high * white
        if black_end == white_end:
            return sample
        ramp = (np.arange(white + 1) - black_end) / (white_end - black_end)
        table = np.rint(white * ramp.clip(0, 1)).astype(image.dtype)
        return sample.with_image(cv2.LUT(image, table) if white == 255 else table[image])
