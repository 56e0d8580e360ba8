"""Integrated gradients: what each pixel adds to the logit on the way from a black picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lungseg.errors import ConfigError, near_name
from lungseg.explain.base import as_heat, needed

Baseline = Literal["black", "mean"]


class IntegratedGradients:
    """Draw |(x - x') integral of d logit / dx along the straight line from x' to x|, summed over channels.

    Pixels that speak against the class are drawn too: the amount counts. Where a pixel equals the baseline there is
    nothing to draw, so that with `baseline=black` black stays without heat.

    Args:
        baseline: x', a `black` picture, or one of the `mean` that normalisation takes away.
        steps: points of the line at which the gradient is taken (Gauss-Legendre).
        batch_size: points in one pass through the network.

    Raises:
        ConfigError: `baseline` is neither, or a number is not positive.

    Source:
        Sundararajan, Taly and Yan 2017, ICML, equation 1.
    """

    def __init__(self, *, baseline: Baseline = "black", steps: int = 50, batch_size: int = 10) -> None:
        if baseline not in ("black", "mean"):
            near = near_name(baseline, ("black", "mean"))
            msg = f"explain.baseline={baseline} is none of black, mean" + (f"; did you mean {near}?" if near else "")
            raise ConfigError(msg)
        if steps < 1 or batch_size < 1:
            msg = f"explain.steps={steps} and explain.batch_size={batch_size} must be 1 or more"
            raise ConfigError(msg)
        self.baseline = baseline
        self.steps = int(steps)
        self.batch_size = int(batch_size)

    def __call__(
        self, network: nn.Module, image: Tensor, classes: Sequence[int], *, black: float = 0.0
    ) -> NDArray[np.float32]:
        """Explain logits, see `Explainer`.

        Raises:
            ResourceError: captum is not installed.
        """
        library = needed("captum.attr", "captum")
        start = torch.full_like(image, black if self.baseline == "black" else 0.0)
        integrated = library.IntegratedGradients(network)
        out = []
        for index in classes:
            added = integrated.attribute(
                image, baselines=start, target=int(index), n_steps=self.steps, internal_batch_size=self.batch_size
            )
            amount = added.detach().abs().sum(dim=1)[0].float().cpu().numpy()
            out.append(as_heat(amount, amount.shape))
        return np.stack(out)
