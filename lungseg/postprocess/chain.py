"""The ordered steps from probabilities to masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungseg.data.preprocess.base import Placement
from lungseg.errors import ConfigError
from lungseg.postprocess.published_grid import on_published_grid, sigmoid
from lungseg.postprocess.threshold import Threshold


class Postprocess:
    """Turns logits on the network's grid into masks on the published grid.

    Args:
        steps: name -> step. The first takes probabilities (K, h, w) float32 and gives masks (K, h, w) bool; each
            further one takes and gives masks.
    """

    def __init__(self, steps: Mapping[str, Callable[[NDArray[Any]], NDArray[np.bool_]]]) -> None:
        if not steps:
            msg = "postprocess.steps is empty; at least a threshold is needed: postprocess=threshold"
            raise ConfigError(msg)
        self.steps = dict(steps)

    @property
    def threshold(self) -> float:
        """The fixed probability of the first step, or 0.5 where the first step finds its own."""
        first = next(iter(self.steps.values()))
        return first.value if isinstance(first, Threshold) else 0.5

    def __call__(
        self, logits: NDArray[np.float32], placement: Placement, size: tuple[int, int]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Return masks (K, h, w) bool and probabilities (K, h, w) float32 on a grid of `size`.

        Args:
            logits: (K, H, W) float32 on the network's grid.
            placement: of the published image on that grid.
            size: (h, w) wanted.
        """
        probability = sigmoid(on_published_grid(logits, placement, size))
        masks: NDArray[Any] = probability
        for step in self.steps.values():
            masks = step(masks)
        return masks, probability
