"""The union of a global and a local threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.postprocess.local_threshold import LocalThreshold
from lungseg.postprocess.otsu import Otsu
from lungseg.postprocess.threshold import Threshold


class ThresholdUnion:
    """Foreground is what a global threshold or the local one takes for it.

    The global threshold is Otsu's, or a fixed one. The guard holds for Otsu's and the local threshold; a fixed one says
    itself how probable a pixel must be.

    Args:
        value: fixed global threshold, a probability; None = `Otsu`.
        block: side of the local neighbourhood, pixels of the published grid, odd (see `LocalThreshold`).
        offset: lowers the local mean.
        guard: least probability of a foreground pixel, in [0, 1].

    Raises:
        ConfigError: an argument is out of its range.

    Source:
        The paper `covid_segmentation`, Experiments: both methods "were slightly different", so that their results were
        combined "using a union operation rather than a dilation".
    """

    def __init__(self, *, value: float | None = None, block: int = 35, offset: float = 0.0, guard: float = 0.1) -> None:
        self._global = Otsu(guard=guard) if value is None else Threshold(value=value)
        self._local = LocalThreshold(block=block, offset=offset, guard=guard)

    def __call__(self, probability: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return the masks (K, h, w) bool of probabilities (K, h, w) float."""
        return np.asarray(self._global(probability) | self._local(probability))
