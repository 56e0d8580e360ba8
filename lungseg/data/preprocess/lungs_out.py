"""The picture without the lungs."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.preprocess.base import Prepared
from lungseg.data.preprocess.lungs import DISK, check_empty, check_masks, filled, lungs_of
from lungseg.errors import ConfigError, near_name

Fill = Literal["convex_hull", "mask"]


class LungsOut:
    """Fill the lungs with one grey value, the mean of what surrounds them.

    A region filled exactly as the mask still shows the lungs' outline, which may tell the classes apart on its own (a
    lung full of fluid is often left out of a mask). The convex hull of both lungs together takes the outline away, and
    with it the heart; what `fill=mask` scores above `fill=convex_hull` is what outline and heart are worth.

    Args:
        masks: where the lung masks come from, the same for every radiograph: `disk`, a folder that masks were predicted
            into, or a run folder or checkpoint of a segmentation net.
        fill: `convex_hull` of both lungs together, or the `mask` itself.
        empty: a radiograph whose mask is empty is an `error`, or its picture is left as it is (`keep`).

    Raises:
        ConfigError: `masks` is empty, or `fill` or `empty` is none of the values above.
    """

    def __init__(self, *, masks: str = DISK, fill: Fill = "convex_hull", empty: str = "error") -> None:
        if fill not in ("convex_hull", "mask"):
            near = near_name(fill, ("convex_hull", "mask"))
            msg = f"preprocess.steps.lungs.fill={fill} is none of convex_hull, mask"
            raise ConfigError(msg + (f"; did you mean {near}?" if near else ""))
        self.masks = check_masks(masks)
        self.fill = fill
        self.empty = check_empty(empty, "preprocess.steps.lungs.empty")

    def __call__(self, sample: Prepared) -> Prepared:
        """Return the sample with its lungs filled.

        Raises:
            DataError: there is no lung mask, or nothing in it.
        """
        lungs = lungs_of(sample, self.empty)
        if lungs is None:
            return sample.keeping(1.0)
        return filled(sample, lungs if self.fill == "mask" else _hull(lungs))


def _hull(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the convex hull of a mask, pixels on its outline included."""
    out = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(out, cv2.convexHull(cv2.findNonZero(mask.astype(np.uint8))), [1])
    return out > 0
