"""The ordered steps from probabilities to masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungseg.data.preprocess.base import Placement
from lungseg.errors import ConfigError
from lungseg.postprocess.published_grid import on_published_grid, probabilities
from lungseg.postprocess.threshold import Threshold
from lungseg.types import Activation


class Postprocess:
    """Turns logits on the network's grid into masks on the published grid.

    Args:
        steps: name -> step. The first takes probabilities (K, h, w) float32 and gives masks (K, h, w) bool; each
            further one takes and gives masks.
        activation: of the logits: sigmoid (K channels) or softmax (K + 1, background first).
    """

    def __init__(
        self,
        steps: Mapping[str, Callable[[NDArray[Any]], NDArray[np.bool_]]],
        *,
        activation: Activation = "sigmoid",
    ) -> None:
        if not steps:
            msg = "postprocess.steps is empty; at least a threshold is needed: postprocess=threshold"
            raise ConfigError(msg)
        self.steps = dict(steps)
        self.activation = activation

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
            logits: (K or K + 1, H, W) float32 on the network's grid.
            placement: of the published image on that grid.
            size: (h, w) wanted.
        """
        probability = self.probability(logits, placement, size)
        return self.masks(probability), probability

    def probability(
        self, logits: NDArray[np.float32], placement: Placement, size: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Return the probabilities (K, h, w) float32 alone; arguments as above."""
        return probabilities(on_published_grid(logits, placement, size, self.activation), self.activation)

    def masks(self, probability: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return the masks (K, h, w) bool of probabilities (K, h, w)."""
        masks: NDArray[Any] = probability
        for step in self.steps.values():
            masks = step(masks)
        return masks
