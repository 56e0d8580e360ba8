"""What a preprocessing step takes and returns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lungseg.errors import ConfigError


@dataclass(frozen=True)
class Placement:
    """Where the whole published image lies on the grid of the network, in pixels of that grid.

    A plain resize places it at (0, 0, H, W); a letterbox inside the grid; a crop lets it stick out (top < 0). It is
    what maps logits back to the published grid.
    """

    top: float
    left: float
    height: float
    width: float


@dataclass(frozen=True)
class Prepared:
    """A radiograph on its way into the store.

    image: (H, W) or (H, W, 3) uint8 | uint16, bright = dense, full range of its dtype. masks: (P, H, W) uint8 in
    {0, 1}, the planes that move with the image: the structures (0 where the sample has none), then, where parts of the
    picture are left out of loss and metrics, one plane that is 1 there. structures: how many of the planes are
    structures; None = all. placement: of the published image on the current grid. guide: (H, W) uint8 in {0, 1}, the
    lungs, for steps that need to know where they are; it is neither a target nor written to the store. kept: share of
    the pixels, in [0, 1], that the step which took others away left as they were; None where no step did.
    """

    image: NDArray[Any]
    masks: NDArray[np.uint8]
    placement: Placement
    structures: int | None = None
    guide: NDArray[np.uint8] | None = None
    kept: float | None = None

    def with_image(self, image: NDArray[Any]) -> Prepared:
        """Return the same sample with other grey values on the same grid."""
        return replace(self, image=image)

    def keeping(self, share: float) -> Prepared:
        """Return the same sample with the share of its pixels that a step left as they were."""
        return replace(self, kept=share)


class Step(Protocol):
    """One deterministic step; the list of steps is part of the store's key and of the checkpoint."""

    def __call__(self, sample: Prepared) -> Prepared:
        """Return the changed sample; the one given is never written to."""
        ...


def single_channel(sample: Prepared, name: str) -> NDArray[Any]:
    """Return the (H, W) image that a step on grey values needs.

    Args:
        sample: on its way through the steps.
        name: of the step, for the message.

    Raises:
        ConfigError: the image still has colour channels.
    """
    if sample.image.ndim != 2:
        msg = (
            f"preprocess.steps.{name} works on one channel, but the image has shape {sample.image.shape}. "
            "Put a grey step before it: lungseg.data.preprocess.grey.Grey"
        )
        raise ConfigError(msg)
    return sample.image
