"""The picture without what lies around the lungs."""

from __future__ import annotations

from lungseg.data.preprocess.base import Prepared
from lungseg.data.preprocess.lungs import DISK, check_empty, check_masks, lungs_of


class LungsOnly:
    """Keep the lungs and make all around them black.

    It stands before the steps on grey values, or an equalisation would spread the lungs by what lies around them. The
    outline of the mask stays visible.

    Args:
        masks: where the lung masks come from, the same for every radiograph: `disk`, a folder that masks were predicted
            into, or a run folder or checkpoint of a segmentation net.
        empty: a radiograph whose mask is empty is an `error`, or its picture is left as it is (`keep`).

    Raises:
        ConfigError: `masks` is empty, or `empty` neither of the two.

    Source:
        The paper `res_cr_net`, which asks for a segmentation in front of the classifier.
    """

    def __init__(self, *, masks: str = DISK, empty: str = "error") -> None:
        self.masks = check_masks(masks)
        self.empty = check_empty(empty, "preprocess.steps.lungs.empty")

    def __call__(self, sample: Prepared) -> Prepared:
        """Return the sample with black around its lungs.

        Raises:
            DataError: there is no lung mask, or nothing in it.
        """
        lungs = lungs_of(sample, self.empty)
        if lungs is None:
            return sample.keeping(1.0)
        image = sample.image.copy()
        image[~lungs] = 0
        return sample.with_image(image).keeping(float(lungs.mean()))
