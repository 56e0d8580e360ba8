"""One class a pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.errors import ConfigError

_ROUNDING = 1e-3


class Argmax:
    """A pixel belongs to the most probable of the structures and the background.

    The background has what the structures leave, 1 - (p_1 + ... + p_K). Between equals the background comes first, then
    the structures in their order. Masks never overlap. For one structure this is a threshold of 0.5.

    The probabilities must be those of a softmax (`task.activation=softmax`): K sigmoids leave no such remainder.

    Source:
        The paper `res_cr_net`, whose code takes the larger of its two channels.

    Example:
        >>> Argmax()(np.array([[[0.4, 0.2]], [[0.35, 0.2]]], dtype=np.float32))  # background 0.25 and 0.6
        array([[[ True, False]],
        <BLANKLINE>
               [[False, False]]])
    """

    def __call__(self, probability: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return the masks (K, h, w) bool of probabilities (K, h, w) float.

        Raises:
            ConfigError: the probabilities of some pixel add up to more than 1.
        """
        p = probability.astype(np.float32, copy=False)
        background = 1 - p.sum(axis=0)
        most = 1 - float(background.min())
        if most > 1 + _ROUNDING:
            msg = (
                f"postprocess=argmax: the probabilities of one pixel add up to {most:.3g}, so they are no softmax. "
                "Train with task.activation=softmax, or take postprocess=threshold"
            )
            raise ConfigError(msg)
        # for one structure four times as fast as np.argmax over the first axis
        winner, highest = np.zeros(background.shape, np.uint8), background
        for k, probable in enumerate(p, 1):
            winner[probable > highest] = k
            highest = np.maximum(highest, probable)
        return np.stack([winner == k for k in range(1, len(p) + 1)])
