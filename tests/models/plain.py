"""Layers called one after another on the values of a state dict, in the order in which they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class Plain:
    """Takes the parameters of a network in their order, for a second writing of its forward pass."""

    def __init__(self, net: nn.Module) -> None:
        self.values: Iterator[Tensor] = iter(net.state_dict().values())

    def __call__(self, x: Tensor, *dilations: int) -> Tensor:
        """Conv3x3, BN with Keras's epsilon, ReLU, for each dilation."""
        for dilation in dilations:
            x = F.conv2d(x, next(self.values), next(self.values), padding=dilation, dilation=dilation)
            gamma, beta, mean, var, _ = (next(self.values) for _ in range(5))
            x = F.relu((x - mean.view(-1, 1, 1)) / (var.view(-1, 1, 1) + 1e-3).sqrt() * gamma.view(-1, 1, 1)
                       + beta.view(-1, 1, 1))  # fmt: skip
        return x

    def pair(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the next layer."""
        return next(self.values), next(self.values)

    def done(self) -> bool:
        return next(self.values, None) is None


def up(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Transposed convolution 3x3 of stride 2 whose surplus row and column are cut off at the end."""
    return F.conv_transpose2d(x, weight, bias, stride=2)[..., :-1, :-1]


def drawn(net: nn.Module) -> nn.Module:
    """The net with no bias, scale or statistic left at 0 or 1, for evaluation."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.ndim == 1:
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    return net.eval()
