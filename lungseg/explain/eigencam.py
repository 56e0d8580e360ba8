"""Eigen-CAM: what a layer sees most of, whatever the class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lungseg.explain.base import as_heat, layer_of, seen_grid
from lungseg.explain.maps import kept


class EigenCam:
    """Draw the first principal component of a layer's maps, over the places of the map.

    The maps are centred first, as in the grad-cam library. A component has no sign of its own: the end that lies
    farther from the mean is taken for the salient one. It knows no classes, so all get the same map.

    Args:
        layer: dotted name; None = the network's last convolution.

    Source:
        Muhammad and Yeasin 2020, IJCNN, arXiv:2008.00299; the sign as in Chung and Ying 2025, Appl. Sci. 15(13), 7562,
        equation 13.
    """

    def __init__(self, *, layer: str | None = None) -> None:
        self.layer = layer

    def __call__(
        self, network: nn.Module, image: Tensor, classes: Sequence[int], *, black: float = 0.0
    ) -> NDArray[np.float32]:
        """Explain logits, see `Explainer`.

        Raises:
            ConfigError: there is no such layer, or it gives no maps.
        """
        del black
        size = int(image.shape[2]), int(image.shape[3])
        seen: list[Tensor] = []
        handle = layer_of(network, self.layer).register_forward_hook(lambda _, __, output: seen.append(kept(output)))
        try:
            with torch.no_grad(), seen_grid(network, size) as grids:
                network(image)
        finally:
            handle.remove()
        heat = as_heat(_first_component(seen[-1][0].cpu().numpy()), size, grids[-1])
        return np.repeat(heat[None], len(classes), axis=0)


def _first_component(maps: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the projection of (C, h, w) maps on their first principal component, (h, w)."""
    places = maps.reshape(len(maps), -1).T.astype(np.float64)
    places = places - places.mean(axis=0)
    left, strengths, _ = np.linalg.svd(places, full_matrices=False)
    projection: NDArray[np.float64] = (left[:, 0] * strengths[0]).reshape(maps.shape[1:])
    return -projection if abs(projection.min()) > abs(projection.max()) else projection
