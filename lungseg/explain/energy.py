"""How much of a heat map lies inside the lungs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def energy_inside(heat: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Return sum of the heat inside a mask / sum of all heat.

    An even map gives the mask's share of the picture's area, which is what a map of no meaning would give: read the
    energy beside it.

    Args:
        heat: (h, w), not negative.
        mask: (h, w) bool.

    Returns:
        A number in [0, 1]; NaN where there is no heat at all.

    Raises:
        ValueError: the two are of different sizes.

    Source:
        The "energy-based pointing game" of Wang et al. 2020 (Score-CAM), CVPR workshops, section 4.3.

    Example:
        >>> energy_inside(np.ones((2, 4), np.float32), np.array([[1, 0, 0, 0], [1, 0, 0, 0]], bool))
        0.25
    """
    if heat.shape != mask.shape:
        msg = f"a heat map of {heat.shape} and a mask of {mask.shape} do not lie on one another"
        raise ValueError(msg)
    total = float(heat.sum(dtype=np.float64))
    return float(heat[mask].sum(dtype=np.float64)) / total if total > 0 else math.nan
