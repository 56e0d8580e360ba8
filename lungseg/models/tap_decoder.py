"""The decoder of a Keras U-Net whose encoder is a tapped classification network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lungseg.models.keras_init import BN_EPS, BN_MOMENTUM


class TapDecoder(nn.Module):
    """Decoder of a U-Net: from the deepest feature map back to the size of the image.

    Each level is a transposed convolution 2x2 of stride 2, concatenation with the skip, and twice Conv3x3, BN, ReLU;
    convolutions have a bias. Batch norm's epsilon is Keras's.

    Args:
        bridge: channels of the deepest feature map.
        skips: channels of the skips, the deepest first; the last is the image itself.
        channels: of the levels, the deepest first, as many as skips.
        bn_momentum: weight of the newest batch; None is Keras's 0.01.

    Shape:
        (B, bridge, h, w) and skips of 2, 4, ... times that size -> (B, channels[-1], h 2^n, w 2^n).

    Raises:
        ValueError: there are not as many channels as skips, or one is below 1.

    Example:
        >>> decoder = TapDecoder(8, (4, 1), channels=(6, 2))
        >>> decoder(torch.zeros(2, 8, 3, 5), [torch.zeros(2, 4, 6, 10), torch.zeros(2, 1, 12, 20)]).shape
        torch.Size([2, 2, 12, 20])
    """

    def __init__(
        self, bridge: int, skips: Sequence[int], *, channels: Sequence[int], bn_momentum: float | None = None
    ) -> None:
        super().__init__()
        if len(channels) != len(skips) or min(channels) < 1:
            msg = (
                f"decoder_channels={list(channels)} must be {len(skips)} channel counts of at least 1, the deepest "
                "level first, as in [512, 256, 128, 64]"
            )
            raise ValueError(msg)
        momentum = BN_MOMENTUM if bn_momentum is None else bn_momentum
        inputs = (bridge, *channels[:-1])
        self.ups = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, stride=2) for i, o in zip(inputs, channels, strict=True))
        self.merges = nn.ModuleList(
            nn.Sequential(*_unit(out + skip, out, momentum), *_unit(out, out, momentum))
            for out, skip in zip(channels, skips, strict=True)
        )

    def forward(self, x: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """Return the features at the size of the last skip."""
        for up, merge, skip in zip(self.ups, self.merges, skips, strict=True):
            x = merge(torch.cat((up(x), skip), dim=1))
        return x


def _unit(inputs: int, channels: int, momentum: float) -> tuple[nn.Module, nn.Module, nn.Module]:
    return (
        nn.Conv2d(inputs, channels, 3, padding=1),
        nn.BatchNorm2d(channels, eps=BN_EPS, momentum=momentum),
        nn.ReLU(inplace=True),
    )
