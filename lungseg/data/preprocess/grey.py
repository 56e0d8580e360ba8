"""One channel out of one or three."""

from __future__ import annotations

import cv2
import numpy as np

from lungseg.data.preprocess.base import Prepared


class Grey:
    """Make the image single-channel: Y = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), at the image's own depth.

    Radiographs saved as colour files carry three equal channels, for which Y is the channel itself.
    """

    def __call__(self, sample: Prepared) -> Prepared:
        """Return the sample with an (H, W) image."""
        image = sample.image
        if image.ndim == 2:
            return sample
        first = image[..., 0]
        if np.array_equal(first, image[..., 1]) and np.array_equal(first, image[..., 2]):
            return sample.with_image(np.ascontiguousarray(first))
        return sample.with_image(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
