"""Global histogram equalisation."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.preprocess.base import Prepared, single_channel
from lungseg.errors import ConfigError


class HistogramEqualize:
    """Spread the grey values so that their cumulative histogram is as straight as the image allows.

    Let n_v be the pixels of grey value v, C_v = n_0 + ... + n_v, N all pixels, L = 2^8 or 2^16 the grey values of the
    image's depth. The histogram always has one bin per grey value, so a deep image keeps its steps.

    `bins=256`, the whole scale, is what `cv2.equalizeHist` computes at 8 bits, and the same at 16 bits. With a the
    lowest grey value that occurs,

        v -> round((L - 1) (C_v - n_a) / (N - n_a)),

    which sends a to black; an image of one grey value stays as it is.

    Fewer bins are MATLAB's `histeq(I, bins)`, whose default is 64: at most `bins` grey values are left, evenly spaced,

        v -> round((L - 1) (i - 1) / (bins - 1)),  i = the least with i N / bins >= C_v - n_v / 2,

    where black and white count whole (C_v instead of C_v - n_v / 2). MATLAB reads the histogram of a 16-bit image in
    256 bins; here it is read in full.

    Args:
        bins: 256 for the whole scale, or 2 to 255 grey values.

    Raises:
        ConfigError: `bins` is not between 2 and 256.

    Source:
        The paper `res_cr_net`, section 1.2.1 ("All CXRs were histogram equalized"); its other steps were made with
        MATLAB, so 64 may be meant.

    Example:
        >>> from lungseg.data.preprocess.base import Placement
        >>> image = np.array([[10, 10, 20, 30]], dtype=np.uint8)
        >>> sample = Prepared(image, np.zeros((0, 1, 4), np.uint8), Placement(0, 0, 1, 4))
        >>> HistogramEqualize()(sample).image  # 255 * (3 - 2) / (4 - 2) = 127.5, rounded to even
        array([[  0,   0, 128, 255]], dtype=uint8)
    """

    def __init__(self, *, bins: int = 256) -> None:
        if int(bins) != bins or not 2 <= bins <= 256:
            msg = f"preprocess.steps.equalize.bins={bins} must be a whole number from 2 to 256"
            raise ConfigError(msg)
        self.bins = int(bins)

    def __call__(self, sample: Prepared) -> Prepared:
        """Return the sample with equalised grey values at the image's own depth."""
        image = single_channel(sample, "equalize")
        levels = int(np.iinfo(image.dtype).max) + 1
        counts = np.bincount(image.ravel(), minlength=levels)
        table = _whole_scale(counts) if self.bins == 256 else _few_levels(counts, self.bins)
        if table is None:
            return sample
        table = table.astype(image.dtype)
        return sample.with_image(cv2.LUT(image, table) if levels == 256 else table[image])


def _whole_scale(counts: NDArray[np.int64]) -> NDArray[Any] | None:
    """Return the new grey value of each, or None for an image of one grey value."""
    total, lowest = int(counts.sum()), int(counts.nonzero()[0][0])
    first = int(counts[lowest])
    if first == total:
        return None
    # cv2 multiplies in float32, which decides how halves are rounded; 16 bits need more
    real = np.float32 if len(counts) == 256 else np.float64
    scale = real(len(counts) - 1) / real(total - first)
    return np.asarray(np.rint(np.maximum(counts.cumsum() - first, 0).astype(real) * scale))


def _few_levels(counts: NDArray[np.int64], bins: int) -> NDArray[Any]:
    """Return the new grey value of each, one of `bins`."""
    twice = 2 * counts.cumsum()
    twice[1:-1] -= counts[1:-1]
    # i - 1 = ceil(bins * twice / (2 N)) - 1, in whole numbers
    steps = np.maximum((bins * twice - 1) // (2 * int(counts.sum())), 0)
    return np.asarray(np.floor(steps * ((len(counts) - 1) / (bins - 1)) + 0.5))
