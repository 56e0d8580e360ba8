"""The frame of the picture around the lungs."""

from __future__ import annotations

import numpy as np

from lungseg.data.preprocess.base import Prepared
from lungseg.data.preprocess.lungs import DISK, box_of, check_empty, check_masks, filled, lungs_of
from lungseg.errors import ConfigError


class BorderOnly:
    """Keep what lies outside the box around both lungs; fill the box with the mean of what surrounds it.

    No lung is left, and of its shape only the box. The share of the pixels that stay is kept with every sample
    (`Store.kept`): it differs between pictures, and a score means little where it is near 0.

    Args:
        masks: where the lung masks come from, the same for every radiograph: `disk`, a folder that masks were predicted
            into, or a run folder or checkpoint of a segmentation net.
        margin: added to the box on every side, as a share of its own side.
        empty: a radiograph whose mask is empty is an `error`, or its picture is left as it is (`keep`).

    Raises:
        ConfigError: `masks` is empty, `margin` is negative, or `empty` none of the values above.

    Source:
        Maguolo and Nanni, Information Fusion 76 (2021), 1-7: sets told apart by pictures whose lungs are blacked out.
    """

    def __init__(self, *, masks: str = DISK, margin: float = 0.0, empty: str = "error") -> None:
        if not margin >= 0:
            msg = f"preprocess.steps.lungs.margin={margin} is a share of the box's sides and must be 0 or more"
            raise ConfigError(msg)
        self.masks = check_masks(masks)
        self.margin = float(margin)
        self.empty = check_empty(empty, "preprocess.steps.lungs.empty")

    def __call__(self, sample: Prepared) -> Prepared:
        """Return the sample with the box around its lungs filled.

        Raises:
            DataError: there is no lung mask, or nothing in it.
        """
        lungs = lungs_of(sample, self.empty)
        if lungs is None:
            return sample.keeping(1.0)
        region = np.zeros(lungs.shape, bool)
        region[box_of(lungs, self.margin)] = True
        return filled(sample, region)
