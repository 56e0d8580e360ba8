"""Small gaps shut."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lungseg.data.preprocess.structuring import Shape, check_shape, odd_side, structuring_element


class Closing:
    """Dilate, then erode: gaps smaller than the element are shut, the rest keeps its size.

    What lies beyond the border neither dilates nor erodes.

    Args:
        kernel: side of the element's square, pixels of the published grid, odd.
        shape: `rect`, `ellipse` or `cross`.

    Raises:
        ConfigError: `kernel` is even or below 3, or there is no such shape.

    Source:
        The paper `covid_segmentation` names "morphological filters for noise reduction" and no more.
    """

    def __init__(self, *, kernel: int = 5, shape: Shape = "ellipse") -> None:
        self.kernel = odd_side(kernel, "postprocess.steps.closing.kernel")
        self.shape = check_shape(shape, "postprocess.steps.closing.shape")

    def __call__(self, masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return the closed masks, (K, h, w) bool."""
        element = structuring_element(self.kernel, self.shape)
        out = np.empty(masks.shape, bool)
        for k, mask in enumerate(masks):
            out[k] = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, element)
        return out
