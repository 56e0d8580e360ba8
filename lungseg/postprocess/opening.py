"""Small specks away."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lungseg.data.preprocess.structuring import Shape, check_shape, odd_side, structuring_element


class Opening:
    """Erode, then dilate: what is smaller than the element goes, the rest keeps its size.

    What lies beyond the border neither erodes nor dilates.

    Args:
        kernel: side of the element's square, pixels of the published grid, odd.
        shape: `rect`, `ellipse` or `cross`.

    Raises:
        ConfigError: `kernel` is even or below 3, or there is no such shape.

    Source:
        The paper `covid_segmentation` names "morphological filters for noise reduction" and no more.
    """

    def __init__(self, *, kernel: int = 3, shape: Shape = "rect") -> None:
        self.kernel = odd_side(kernel, "postprocess.steps.opening.kernel")
        self.shape = check_shape(shape, "postprocess.steps.opening.shape")

    def __call__(self, masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return the opened masks, (K, h, w) bool."""
        element = structuring_element(self.kernel, self.shape)
        out = np.empty(masks.shape, bool)
        for k, mask in enumerate(masks):
            out[k] = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, element)
        return out
