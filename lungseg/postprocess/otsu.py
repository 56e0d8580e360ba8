"""A threshold that each probability map gives itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.postprocess.probability import probability_of

_LEVELS = 255


def otsu_threshold(probability: npt.NDArray[Any]) -> float | None:
    """Return the threshold between the two classes of values that differ most, or None for a constant map.

    With the probabilities rounded to 256 levels, w0 and w1 the shares of pixels up to and above a level and m0 and m1
    their means, the threshold is the middle between that level and the next for which the variance between the classes,
    w0 w1 (m0 - m1)^2, is highest; of equals the lowest is taken, as cv2 does.

    Args:
        probability: (h, w) float in [0, 1].

    Source:
        Otsu 1979, IEEE Trans. Syst. Man Cybern. 9, 62-66.

    Example:
        >>> otsu_threshold(np.array([[0.0, 0.2, 0.8, 1.0]]))  # the level of 0.2 is 51: 51.5 / 255
        0.2019607843137255
    """
    levels = np.rint(np.asarray(probability, np.float32) * np.float32(_LEVELS)).astype(np.intp)
    counts = np.bincount(levels.ravel(), minlength=_LEVELS + 1)
    below, moment = counts.cumsum(), (counts * np.arange(_LEVELS + 1)).cumsum()
    n, total = int(below[-1]), int(moment[-1])
    split = (below > 0) & (below < n)
    if not split.any():
        return None
    between = np.zeros(_LEVELS + 1)
    # n^3 w0 w1 (m0 - m1)^2, which needs no mean
    difference = (moment[split] * n - total * below[split]).astype(np.float64)
    between[split] = difference**2 / (below[split] * (n - below[split])).astype(np.float64)
    return (int(between.argmax()) + 0.5) / _LEVELS


class Otsu:
    """Foreground is above Otsu's threshold of the image and structure, or above `guard` where that is higher.

    A map without the structure, all of it near 0, has an Otsu threshold too, in its noise: the guard keeps that dark.
    A constant map has none and is compared with `fallback`.

    Args:
        guard: least probability of a foreground pixel, in [0, 1]; 0 = none.
        fallback: threshold of a constant map, in [0, 1].

    Raises:
        ConfigError: an argument is no probability.

    Source:
        The paper `covid_segmentation`, Experiments, names a "global method" and no more; the guard is ours.
    """

    def __init__(self, *, guard: float = 0.1, fallback: float = 0.5) -> None:
        self.guard = probability_of(guard, "postprocess.steps.otsu.guard")
        self.fallback = probability_of(fallback, "postprocess.steps.otsu.fallback")

    def __call__(self, probability: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return the masks (K, h, w) bool of probabilities (K, h, w) float."""
        masks = np.empty(probability.shape, bool)
        for k, p in enumerate(probability.astype(np.float32, copy=False)):
            found = otsu_threshold(p)
            masks[k] = p > np.float32(self.fallback if found is None else max(found, self.guard))
        return masks
