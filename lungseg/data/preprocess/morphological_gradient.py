"""Edges by morphology."""

from __future__ import annotations

from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.preprocess.base import Prepared, single_channel
from lungseg.data.preprocess.structuring import odd_side, structuring_element
from lungseg.errors import ConfigError, near_name

Mode = Literal["sequential", "cv2_iterations", "add", "off"]


class MorphologicalGradient:
    """Highlight edges by g(f) = dilation(f) - erosion(f) over a square.

    With n = `times`, f the image and w = `blend`, the result is

        sequential:      (1 - w) f + w g(g(...f)), the gradient of the gradient, n times
        cv2_iterations:  (1 - w) f + w (dilation^n(f) - erosion^n(f)), what iterations=n means in cv2: another image
        add:             f + w g(g(...f)), cut at white
        off:             f

    "A morphological gradient filter twice to highlight the edges" is read as `sequential`, and w = 1 lets the gradient
    take the image's place.

    Args:
        kernel: side of the square, pixels, odd.
        times: n, how often the filter is applied.
        mode: see above.
        blend: w, the weight of the gradient, in [0, 1].

    Raises:
        ConfigError: an argument is out of its range.

    Source:
        The paper `covid_segmentation`, Implementation, which names neither kernel nor mode.
    """

    def __init__(self, *, kernel: int = 3, times: int = 2, mode: Mode = "sequential", blend: float = 1.0) -> None:
        if mode not in get_args(Mode):
            near = near_name(mode, get_args(Mode))
            msg = f"preprocess.steps.gradient.mode={mode} is none of {', '.join(get_args(Mode))}"
            raise ConfigError(msg + (f"; did you mean {near}?" if near else ""))
        if int(times) != times or times < 1:
            msg = f"preprocess.steps.gradient.times={times} must be a whole number from 1 on; for none set mode=off"
            raise ConfigError(msg)
        if not 0 <= blend <= 1:
            msg = f"preprocess.steps.gradient.blend={blend} is a weight and must be in [0, 1]"
            raise ConfigError(msg)
        self.kernel = odd_side(kernel, "preprocess.steps.gradient.kernel")
        self.times = int(times)
        self.mode = mode
        self.blend = float(blend)

    def __call__(self, sample: Prepared) -> Prepared:
        """Return the sample with its edges highlighted, at the image's own depth."""
        image = single_channel(sample, "gradient")
        if self.mode == "off" or self.blend == 0:
            return sample
        edges = self._edges(image)
        if self.mode == "add":
            return sample.with_image(_mixed(image, 1.0, edges, self.blend))
        return sample.with_image(edges if self.blend == 1 else _mixed(image, 1 - self.blend, edges, self.blend))

    def _edges(self, image: NDArray[Any]) -> NDArray[Any]:
        square = structuring_element(self.kernel, "rect")
        if self.mode == "cv2_iterations":
            return np.asarray(cv2.morphologyEx(image, cv2.MORPH_GRADIENT, square, iterations=self.times))
        for _ in range(self.times):
            image = cv2.morphologyEx(image, cv2.MORPH_GRADIENT, square)
        return image


def _mixed(image: NDArray[Any], weight: float, edges: NDArray[Any], edge_weight: float) -> NDArray[Any]:
    total = weight * image.astype(np.float64) + edge_weight * edges
    return np.rint(total).clip(0, np.iinfo(image.dtype).max).astype(image.dtype)
