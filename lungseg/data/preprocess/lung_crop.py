"""Crop to the structures of interest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lungseg.data.preprocess.base import Placement, Prepared
from lungseg.data.preprocess.lungs import box_of, check_masks
from lungseg.errors import ConfigError, DataError


class LungCrop:
    """Cut the image to the box around its structures' masks, with a margin.

    The box is that of all structures together, so a heart or a clavicle widens it. What lies beyond it counts as
    background on the published grid.

    By default the masks are the reference: results on images cropped by it are results of a network that was told
    where the lungs are, and a radiograph without a mask cannot be prepared. A run that segments nothing has no such
    masks; it names with `masks` where those of the lungs come from, and its box is that of the lungs alone.

    Args:
        margin: added on every side, as a share of the box's own side; it ends at the image's border.
        masks: null = those of the structures; or `disk`, a folder that lung masks were predicted into, or a run folder
            or checkpoint of a segmentation net, the same for every radiograph.

    Raises:
        ConfigError: `margin` is negative, or `masks` an empty text.
    """

    def __init__(self, *, margin: float = 0.1, masks: str | None = None) -> None:
        if not margin >= 0:
            msg = f"preprocess.steps.crop.margin={margin} is a share of the box's sides and must be 0 or more"
            raise ConfigError(msg)
        self.margin = float(margin)
        self.masks = None if masks is None else check_masks(masks, "preprocess.steps.crop.masks")

    def __call__(self, sample: Prepared) -> Prepared:
        """Return the cropped sample.

        Raises:
            DataError: no structure is drawn in its masks, or no lung in the one that guides it.
        """
        planes = sample.masks[: sample.structures]
        if self.masks is not None:
            planes = sample.guide[None] if sample.guide is not None else planes[:0]
        drawn: NDArray[np.bool_] = np.any(planes, axis=0)
        if not drawn.any():
            msg = (
                "a lung crop (preprocess.steps.crop) needs a mask to find the lungs, but this radiograph has none or "
                "an empty one. Leave such radiographs out with data.sources.<name>.missing=drop, or take a preprocess "
                "without the crop: preprocess=resize_256"
            )
            if self.masks is not None:
                msg = (
                    "a lung crop needs a mask of the lungs, and that of this radiograph is not there or empty. Look "
                    "whether it shows a chest and leave it out if it does not, or do without the crop: lungs=full"
                )
            raise DataError(msg)
        rows, columns = box_of(drawn, self.margin)
        p = sample.placement
        return replace(
            sample,
            image=np.ascontiguousarray(sample.image[rows, columns]),
            masks=np.ascontiguousarray(sample.masks[:, rows, columns]),
            placement=Placement(p.top - rows.start, p.left - columns.start, p.height, p.width),
            guide=None if sample.guide is None else np.ascontiguousarray(sample.guide[rows, columns]),
        ).keeping((rows.stop - rows.start) * (columns.stop - columns.start) / drawn.size)
