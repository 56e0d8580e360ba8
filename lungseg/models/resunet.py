"""ResUNet: a U-Net of pre-activation residual blocks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lungseg.models.inputs import check_channels, prepare

InitSkip = Literal["conv", "conv_bn", "same"]
ResSkip = Literal["conv3_bn", "bn_conv3", "conv1_bn", "bn_conv1"]


class ResUNet(nn.Module):
    r"""Residual U-Net of "Early Screening of Lung Disease", image in, logits out.

    With `features` = (f_0, ..., f_n) and f_{n+1} = 2 f_n the network is

        encoder   initial block in_channels -> f_0, then residual blocks of stride 2, f_i -> f_{i+1}
        bridge    the last of them, at 1 / 2**len(features) of the size, with `dropout`
        decoder   for i = n ... 0: transposed convolution 2x2 of stride 2, concatenation with the encoder's f_i
                  channels, residual block f_{i+1} + f_i -> f_i
        output    convolution 1x1 f_0 -> num_classes, no sigmoid

    A residual block is BN, ReLU, Conv3x3(stride), BN, ReLU, Conv3x3 plus a projected skip; nothing follows the sum.
    The initial block is Conv3x3, BN, ReLU, Conv3x3 plus a skip. All convolutions have a bias.

    The paper describes both skips in words that can be read in several ways; the defaults give the network that its
    listing and its public ancestor agree on. Trainable parameters with features (64, 128, 256) and 3 input channels
    (2,304 fewer with 1):

        init_skip=conv 13,043,009 | conv_bn 13,043,137 | same 13,080,065          (res_skip=conv3_bn)
        res_skip=bn_conv3 13,043,905 | conv1_bn 9,602,369 | bn_conv1 9,603,265    (init_skip=conv)

    Any height and width are accepted: the image is padded at the bottom and right to the next multiple of
    2**len(features) (`lungseg.models.inputs.prepare`), and the logits are cropped back.

    Args:
        in_channels: channels the first convolution sees. The paper's network takes 3 (grey repeated); a
            single-channel image is repeated to `in_channels` here, so that both values work on the same batch.
        num_classes: K, one logit map per structure.
        features: channels of each level, from full resolution down.
        init_skip: skip of the initial block. conv: Conv3x3; conv_bn: Conv3x3, BN; same: Conv3x3, BN, ReLU, Conv3x3
            (the paper's "acts identically", taken literally).
        res_skip: skip of a residual block. conv3_bn: Conv3x3(stride), BN; bn_conv3: BN, Conv3x3(stride) (the paper's
            "2D convolution after batch normalisation", taken literally); conv1_bn and bn_conv1: the same with 1x1.
        dropout: probability of dropping a whole channel of the bridge in training, in [0, 1). Adds no parameter.

    Shape:
        image (B, 1 or in_channels, H, W), any float dtype -> logits (B, num_classes, H, W).

    Raises:
        ValueError: an argument is out of its range, or the image has neither 1 nor `in_channels` channels.

    Source:
        Paper key `resunet`; the blocks are those of Zhang et al. 2018, arXiv:1711.10684, section II.

    Example:
        >>> net = ResUNet(features=(4, 8, 16))
        >>> net(torch.zeros(2, 1, 33, 50)).shape
        torch.Size([2, 1, 33, 50])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        num_classes: int = 1,
        features: Sequence[int] = (64, 128, 256),
        init_skip: InitSkip = "conv",
        res_skip: ResSkip = "conv3_bn",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check_arguments(in_channels, num_classes, features, init_skip, res_skip, dropout)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.stride = 2 ** len(features)
        widths = (*features, 2 * features[-1])
        steps = list(pairwise(widths))

        self.initial = _InitialBlock(in_channels, widths[0], init_skip)
        self.downs = nn.ModuleList(_ResidualBlock(fine, coarse, 2, res_skip) for fine, coarse in steps)
        self.dropout: nn.Module = nn.Dropout2d(dropout) if dropout > 0 else nn.Identity()
        self.ups = nn.ModuleList(nn.ConvTranspose2d(coarse, coarse, 2, stride=2) for _, coarse in reversed(steps))
        self.merges = nn.ModuleList(
            _ResidualBlock(coarse + fine, fine, 1, res_skip) for fine, coarse in reversed(steps)
        )
        self.output = nn.Conv2d(widths[0], num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (B, num_classes, H, W) of an image (B, 1 or in_channels, H, W)."""
        height, width = image.shape[-2:]
        x = self.initial(prepare(image, self.in_channels, self.stride))
        fine = []
        for down in self.downs:
            fine.append(x)
            x = down(x)
        x = self.dropout(x)
        for up, merge in zip(self.ups, self.merges, strict=True):
            x = merge(torch.cat((up(x), fine.pop()), dim=1))
        logits: Tensor = self.output(x)
        return logits[..., :height, :width]


class _InitialBlock(nn.Module):
    """Conv3x3, BN, ReLU, Conv3x3 plus the skip named by `skip`."""

    def __init__(self, in_channels: int, out_channels: int, skip: InitSkip) -> None:
        super().__init__()
        self.main = _double_conv(in_channels, out_channels)
        self.skip: nn.Module
        if skip == "conv":
            self.skip = _conv3(in_channels, out_channels)
        elif skip == "conv_bn":
            self.skip = nn.Sequential(_conv3(in_channels, out_channels), nn.BatchNorm2d(out_channels))
        else:
            self.skip = _double_conv(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.main(x) + self.skip(x)
        return out


class _ResidualBlock(nn.Module):
    """BN, ReLU, Conv3x3(stride), BN, ReLU, Conv3x3 plus the projection named by `skip`."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, skip: ResSkip) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            _conv3(in_channels, out_channels, stride),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            _conv3(out_channels, out_channels),
        )
        projection = (
            _conv3(in_channels, out_channels, stride)
            if skip in ("conv3_bn", "bn_conv3")
            else nn.Conv2d(in_channels, out_channels, 1, stride=stride)
        )
        self.skip = (
            nn.Sequential(projection, nn.BatchNorm2d(out_channels))
            if skip in ("conv3_bn", "conv1_bn")
            else nn.Sequential(nn.BatchNorm2d(in_channels), projection)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.main(x) + self.skip(x)
        return out


def _conv3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)


def _double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        _conv3(in_channels, out_channels),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        _conv3(out_channels, out_channels),
    )


def _check_arguments(
    in_channels: int, num_classes: int, features: Sequence[int], init_skip: str, res_skip: str, dropout: float
) -> None:
    """Refuse what would fail later with a message about something else."""
    check_channels(in_channels, num_classes)
    if not features or min(features) < 1:
        msg = f"features={list(features)} must be one or more channel counts, each at least 1, as in [64, 128, 256]"
        raise ValueError(msg)
    if init_skip not in get_args(InitSkip):
        msg = f"init_skip={init_skip!r} is not one of {', '.join(get_args(InitSkip))}"
        raise ValueError(msg)
    if res_skip not in get_args(ResSkip):
        msg = f"res_skip={res_skip!r} is not one of {', '.join(get_args(ResSkip))}"
        raise ValueError(msg)
    if not 0 <= dropout < 1:
        msg = f"dropout={dropout} is a probability and must be in [0, 1)"
        raise ValueError(msg)
