"""Crop to the structures of interest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lungseg.data.preprocess.base import Placement, Prepared
from lungseg.errors import ConfigError, DataError


class LungCrop:
    """Cut the image to the box around its structures' masks, with a margin.

    The box is that of all structures together, so a heart or a clavicle widens it. What lies beyond it counts as
    background on the published grid.

    The masks are the reference: results on images cropped by it are results of a network that was told where the lungs
    are, and a radiograph without a mask cannot be prepared.

    Args:
        margin: added on every side, as a share of the box's own side; it ends at the image's border.

    Raises:
        ConfigError: `margin` is negative.
    """

    def __init__(self, *, margin: float = 0.1) -> None:
        if not margin >= 0:
            msg = f"preprocess.steps.crop.margin={margin} is a share of the box's sides and must be 0 or more"
            raise ConfigError(msg)
        self.margin = float(margin)

    def __call__(self, sample: Prepared) -> Prepared:
        """Return the cropped sample.

        Raises:
            DataError: no structure is drawn in its masks.
        """
        drawn: NDArray[np.bool_] = np.any(sample.masks[: sample.structures], axis=0)
        if not drawn.any():
            msg = (
                "a lung crop (preprocess.steps.crop) needs a mask to find the lungs, but this radiograph has none or "
                "an empty one. Leave such radiographs out with data.sources.<name>.missing=drop, or take a preprocess "
                "without the crop: preprocess=resize_256"
            )
            raise DataError(msg)
        top, bottom = _stretch(np.flatnonzero(drawn.any(axis=1)), self.margin, drawn.shape[0])
        left, right = _stretch(np.flatnonzero(drawn.any(axis=0)), self.margin, drawn.shape[1])
        p = sample.placement
        return replace(
            sample,
            image=np.ascontiguousarray(sample.image[top:bottom, left:right]),
            masks=np.ascontiguousarray(sample.masks[:, top:bottom, left:right]),
            placement=Placement(p.top - top, p.left - left, p.height, p.width),
        )


def _stretch(occupied: NDArray[np.intp], margin: float, length: int) -> tuple[int, int]:
    """Return the first place and the one past the last of those that hold a structure, widened by the margin."""
    first, last = int(occupied[0]), int(occupied[-1]) + 1
    more = round(margin * (last - first))
    return max(first - more, 0), min(last + more, length)
