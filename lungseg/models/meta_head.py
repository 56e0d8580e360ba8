"""The meta learner of the dual encoder's paper: a small network at every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from torch import nn

Place = Literal["each", "last"]


class MetaHead(nn.Sequential):
    """Dense layers at every pixel, then a 1x1 convolution to the logits.

    The paper's meta learner has "three dense layers 32, 64, 128", dropout 0.4, and batch norm before the last, fully
    convolutional layer. Here each dense layer is

        convolution (kernel), batch norm, ReLU, dropout of whole channels

    and the last is a 1x1 convolution of any kernel's head. Whether the paper normalises after each layer or only
    before the last convolution can be read both ways. Trainable parameters for one class:

        from 16 channels, kernel 1      11,553 bn=each     11,361 bn=last
        from 2 maps, kernel 1           11,105             10,913
        from 3 maps, kernel 1           11,137             10,945
        from 2 maps, kernel 3           93,537             93,345

    Args:
        in_channels: of the features.
        num_classes: K.
        widths: channels of the dense layers.
        kernel: side of their convolutions, odd; 1 looks at one pixel only.
        bn: each: batch norm after every dense layer; last: after the last of them only.
        dropout: probability of dropping a whole channel in training, in [0, 1).

    Shape:
        (B, in_channels, H, W) -> logits (B, num_classes, H, W).

    Raises:
        ValueError: an argument is out of its range; names it as the networks call it, `meta_...`.

    Example:
        >>> sum(p.numel() for p in MetaHead(16, 1).parameters())
        11553
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        widths: Sequence[int] = (32, 64, 128),
        kernel: int = 1,
        bn: Place = "each",
        dropout: float = 0.4,
    ) -> None:
        _check_arguments(widths, kernel, bn, dropout)
        layers: list[nn.Module] = []
        inputs = in_channels
        for place, width in enumerate(widths):
            layers.append(nn.Conv2d(inputs, width, kernel, padding=kernel // 2))
            if bn == "each" or place == len(widths) - 1:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU(inplace=True))
            if dropout > 0:
                layers.append(nn.Dropout2d(dropout))
            inputs = width
        super().__init__(*layers, nn.Conv2d(inputs, num_classes, 1))


def _check_arguments(widths: Sequence[int], kernel: int, bn: str, dropout: float) -> None:
    if not widths or min(widths) < 1:
        msg = f"meta_widths={list(widths)} must be one or more channel counts, each at least 1, as in [32, 64, 128]"
        raise ValueError(msg)
    if kernel < 1 or kernel % 2 == 0:
        msg = f"meta_kernel={kernel} must be odd, as 1 or 3, so that a map keeps its size"
        raise ValueError(msg)
    if bn not in get_args(Place):
        msg = f"meta_bn={bn!r} is not one of {', '.join(get_args(Place))}"
        raise ValueError(msg)
    if not 0 <= dropout < 1:
        msg = f"meta_dropout={dropout} is a probability and must be in [0, 1)"
        raise ValueError(msg)
