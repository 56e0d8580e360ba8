"""No augmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class NoAugmentation:
    """Hand every sample through unchanged (papers `resunet` and `covid_segmentation` augment nothing)."""

    def __call__(
        self, image: NDArray[Any], masks: NDArray[np.uint8], *, seed: int, epoch: int, key: int
    ) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Return the sample as it is."""
        return image, masks
