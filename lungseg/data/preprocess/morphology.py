"""Morphology of grey values."""

from __future__ import annotations

from typing import Literal, get_args

import cv2

from lungseg.data.preprocess.base import Prepared, single_channel
from lungseg.data.preprocess.structuring import Shape, check_shape, odd_side, structuring_element
from lungseg.errors import ConfigError, near_name

Operation = Literal["erode", "dilate", "open", "close", "tophat", "blackhat"]

_OPERATIONS = {
    "erode": cv2.MORPH_ERODE,
    "dilate": cv2.MORPH_DILATE,
    "open": cv2.MORPH_OPEN,
    "close": cv2.MORPH_CLOSE,
    "tophat": cv2.MORPH_TOPHAT,
    "blackhat": cv2.MORPH_BLACKHAT,
}


class Morphology:
    """Apply one flat morphological filter to the grey values; beyond the border there is nothing.

    erode takes the least value under the element, dilate the highest; open = dilate(erode(f)) removes bright specks,
    close = erode(dilate(f)) dark ones; tophat = f - open(f) and blackhat = close(f) - f keep what those remove.

    Args:
        operation: see above.
        kernel: side of the element's square, pixels, odd.
        shape: `rect`, `ellipse` or `cross`.

    Raises:
        ConfigError: there is no such operation or shape, or `kernel` is even or below 3.
    """

    def __init__(self, *, operation: Operation = "open", kernel: int = 3, shape: Shape = "rect") -> None:
        if operation not in _OPERATIONS:
            near = near_name(operation, get_args(Operation))
            msg = f"preprocess.steps.morphology.operation={operation} is none of {', '.join(get_args(Operation))}"
            raise ConfigError(msg + (f"; did you mean {near}?" if near else ""))
        self.operation = operation
        self.kernel = odd_side(kernel, "preprocess.steps.morphology.kernel")
        self.shape = check_shape(shape, "preprocess.steps.morphology.shape")

    def __call__(self, sample: Prepared) -> Prepared:
        """Return the filtered sample at the image's own depth."""
        image = single_channel(sample, "morphology")
        element = structuring_element(self.kernel, self.shape)
        return sample.with_image(cv2.morphologyEx(image, _OPERATIONS[self.operation], element))
