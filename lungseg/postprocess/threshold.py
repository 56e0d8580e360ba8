"""From probabilities to masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


class Threshold:
    """Foreground is where the probability is above `value`.

    With 0.5 this is where the logit is above 0, which is how counts are taken during training. Probabilities and
    `value` are compared as float32, so that a value found by `ThresholdSearch` gives the very Dice it was chosen for.

    Args:
        value: threshold, a probability in [0, 1].

    Raises:
        ValueError: `value` is outside [0, 1].

    Example:
        >>> Threshold(value=0.5)(np.array([[[0.5, 0.6]]], dtype=np.float32))
        array([[[False,  True]]])
    """

    def __init__(self, *, value: float = 0.5) -> None:
        if not 0 <= value <= 1:
            msg = f"postprocess.value={value} is a probability and must be in [0, 1]"
            raise ValueError(msg)
        self.value = float(value)

    def __call__(self, probability: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return the mask (K, h, w) bool of probabilities (K, h, w) float."""
        return np.asarray(probability.astype(np.float32, copy=False) > np.float32(self.value))
