"""Small classifiers whose logits are known to look at one place."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Corner(nn.Module):
    """Two logits: the mean of the upper left 8 x 8 pixels of a 32 x 32 image, and that of the lower right.

    A convolution copies the image, pooling makes 4 x 4 cells (of 8 x 8 pixels), and each logit reads one cell.
    """

    def __init__(self, *, num_classes: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, num_classes, 1, bias=False)
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.head = nn.Linear(num_classes * 4 * 4, num_classes, bias=False)
        with torch.no_grad():
            self.conv.weight.fill_(1.0)
            self.head.weight.zero_()
            self.head.weight[0, 0] = 1.0  # channel 0, cell (0, 0)
            self.head.weight[1, 16 + 15] = 1.0  # channel 1, cell (3, 3)

    @property
    def last_conv(self) -> nn.Module:
        return self.pool

    def features(self, image: Tensor) -> Tensor:
        return self.pool(self.conv(image)).flatten(1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image))


class TwoMaps(nn.Module):
    """Logits w_k . mean(A_k) of maps A_1 = x and A_2 = 1 - x, after an in-place layer that doubles them."""

    def __init__(self, weights: tuple[tuple[float, float], ...] = ((1.0, 0.0), (0.0, 1.0))) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.head = nn.Linear(2, len(weights), bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1))
            self.conv.bias.copy_(torch.tensor([0.0, 1.0]))
            self.head.weight.copy_(torch.tensor(weights))

    @property
    def last_conv(self) -> nn.Module:
        return self.conv

    def features(self, image: Tensor) -> Tensor:
        return self.conv(image).mul_(2.0).mean(dim=(2, 3))

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image))
