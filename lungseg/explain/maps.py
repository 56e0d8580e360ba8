"""The feature maps of one layer, as they leave it."""

from __future__ import annotations

from torch import Tensor

from lungseg.errors import ConfigError


def kept(maps: Tensor) -> Tensor:
    """Return a copy of a layer's maps, (B, C, h, w), which a later layer that works in place cannot change.

    Raises:
        ConfigError: the layer gives no maps, so there is nothing to draw on the image.
    """
    if maps.ndim != 4:
        msg = (
            f"the layer named in explain.layer gives {tuple(maps.shape)} and no maps (batch, channels, rows, columns); "
            "name a convolution"
        )
        raise ConfigError(msg)
    return maps.detach().clone()
