"""What explains a classifier's logit by a heat map, and what all ways of it share."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from lungseg.data.preprocess.base import Placement
from lungseg.errors import ConfigError, ResourceError, near_name
from lungseg.postprocess.published_grid import on_published_grid


class Explainer(Protocol):
    """Says which pixels a logit owes to."""

    def __call__(
        self, network: nn.Module, image: Tensor, classes: Sequence[int], *, black: float = 0.0
    ) -> NDArray[np.float32]:
        """Explain some logits of one image.

        Args:
            network: image (B, C, H, W) float32 -> logits (B, L), in evaluation mode.
            image: (1, C, H, W) float32, normalised, on the network's device.
            classes: n places among the logits.
            black: value of a black pixel after normalisation.

        Returns:
            (n, H, W) float32 in [0, 1], highest value 1; all 0 where nothing speaks for the class.
        """
        ...


def needed(module: str, package: str) -> ModuleType:
    """Import a library of the extra `explain`.

    Args:
        module: to import.
        package: its name for the installer.

    Raises:
        ResourceError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        msg = f"{package} is not installed ({error}), which this explanation needs: pip install 'lungseg[explain]'"
        raise ResourceError(msg) from error


def layer_of(network: nn.Module, name: str | None) -> nn.Module:
    """Return the layer whose maps are looked at.

    Args:
        network: the classifier.
        name: dotted, as in `network.named_modules()`; None = the network's own `last_conv`.

    Raises:
        ConfigError: there is no such layer, or the network does not say which is its last.
    """
    names = [found for found, _ in network.named_modules() if found]
    if name is None:
        layer = getattr(network, "last_conv", None)
        if isinstance(layer, nn.Module):
            return layer
        convolutions = [found for found, module in network.named_modules() if isinstance(module, nn.Conv2d)]
        hint = f", such as {convolutions[-1]}" if convolutions else ""
        msg = f"{type(network).__name__} does not say which layer is its last convolution; name it: explain.layer{hint}"
        raise ConfigError(msg)
    if name in names:
        return network.get_submodule(name)
    near = near_name(name, names)
    hint = f"did you mean {near}?" if near else f"its last layers are {', '.join(names[-5:])}"
    msg = f"explain.layer={name} is no layer of {type(network).__name__}; {hint}"
    raise ConfigError(msg)


@contextmanager
def seen_grid(network: nn.Module, size: tuple[int, int]) -> Iterator[list[tuple[int, int]]]:
    """Watch which grid a network's backbone (`net`) gets: some pad the image at the bottom and right.

    Args:
        network: the classifier.
        size: (H, W) of the image.

    Yields:
        A list whose last entry is the grid of the last pass; `size` where the network has no such part.
    """
    grids = [size]
    inner = getattr(network, "net", None)
    if not isinstance(inner, nn.Module):
        yield grids
        return
    handle = inner.register_forward_pre_hook(lambda _, given: grids.append(tuple(given[0].shape[-2:])))
    try:
        yield grids
    finally:
        handle.remove()


def as_heat(
    raw: NDArray[np.floating], size: tuple[int, int], padded: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """Cut what speaks against the class, and scale to the image's size and to [0, 1].

    The maximum becomes 1 and 0 stays 0: the lowest value is not moved to 0, or a map that is even would become none.

    Args:
        raw: (h, w), positive = for the class.
        size: (H, W).
        padded: grid that the map covers, (H', W') with the image in its upper left corner; None = the image's.

    Returns:
        (H, W) float32, bilinear between the middles of the map's cells.
    """
    positive = np.maximum(np.nan_to_num(raw.astype(np.float32)), 0)
    top = float(positive.max())
    if top <= 0:
        return np.zeros(size, np.float32)
    height, width = padded or size
    heat = cv2.resize(positive / np.float32(top), (width, height), interpolation=cv2.INTER_LINEAR)
    heat = heat[: size[0], : size[1]]
    return np.asarray(heat / max(float(heat.max()), 1e-12), np.float32).clip(0, 1)


def on_image(heat: NDArray[np.float32], placement: Placement, size: tuple[int, int]) -> NDArray[np.float32]:
    """Bring heat maps from the network's grid to the radiograph's own.

    Args:
        heat: (n, H, W) in [0, 1].
        placement: of the radiograph on the network's grid.
        size: (h, w) of the radiograph.

    Returns:
        (n, h, w) float32 in [0, 1]; 0 where the network saw nothing.
    """
    return on_published_grid(heat, placement, size).clip(0, 1)
