"""Grad-CAM: the maps of a layer, each weighed by what the class's logit owes to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lungseg.explain.base import as_heat, layer_of, needed, seen_grid
from lungseg.explain.maps import kept


class GradCam:
    """Draw ReLU(sum_k a_k A_k) with A_k the maps of a layer and a_k the mean of d logit / d A_k over the map.

    The sum is taken by the grad-cam library. What it does after that is not: it moves the lowest value to 0, which
    changes the share of the map that lies inside the lungs, and turns an even map into none.

    Args:
        layer: dotted name; None = the network's last convolution.

    Source:
        Selvaraju et al. 2017, ICCV, equations 1 and 2.
    """

    def __init__(self, *, layer: str | None = None) -> None:
        self.layer = layer

    def __call__(
        self, network: nn.Module, image: Tensor, classes: Sequence[int], *, black: float = 0.0
    ) -> NDArray[np.float32]:
        """Explain logits, see `Explainer`.

        Raises:
            ConfigError: there is no such layer, or it gives no maps.
            ResourceError: grad-cam is not installed.
        """
        del black
        layer = layer_of(network, self.layer)
        library = needed("pytorch_grad_cam", "grad-cam")
        size = int(image.shape[2]), int(image.shape[3])
        cam = library.GradCAM(model=network, target_layers=[layer], reshape_transform=kept)
        hooked = cam.activations_and_grads
        try:
            seen = image.detach().clone().requires_grad_()
            with seen_grid(network, size) as grids:
                logits = hooked(seen)
            out = []
            for index in classes:
                hooked.gradients = []
                # of the image alone, so that no gradient is left in the weights
                torch.autograd.grad(logits[0, index], seen, retain_graph=True, allow_unused=True)
                maps = hooked.activations[-1].numpy()
                slopes = hooked.gradients[0].numpy() if hooked.gradients else np.zeros_like(maps)
                out.append(as_heat(cam.get_cam_image(seen, layer, None, maps, slopes)[0], size, grids[-1]))
        finally:
            hooked.release()
        return np.stack(out)
