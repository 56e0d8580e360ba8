"""Convolutions in a row, as the Keras networks of paper key `covid_segmentation` stack them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from lungseg.models.keras_init import BN_EPS


def conv_stack(
    in_channels: int, out_channels: int, *, dilations: Sequence[int] = (1, 1), batch_norm: bool, bn_momentum: float
) -> nn.Sequential:
    """Return Conv3x3, BN (unless `batch_norm` is off), ReLU for each of `dilations`; all keep the size."""
    layers: list[nn.Module] = []
    for i, dilation in enumerate(dilations):
        channels = out_channels if i else in_channels
        layers.append(nn.Conv2d(channels, out_channels, 3, padding=dilation, dilation=dilation))
        if batch_norm:
            layers.append(nn.BatchNorm2d(out_channels, eps=BN_EPS, momentum=bn_momentum))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def check_widths(n_filters: int, dropout: float) -> None:
    """Refuse what these networks have in common.

    Raises:
        ValueError: names the argument and its value.
    """
    if n_filters < 1:
        msg = f"n_filters={n_filters} must be at least 1"
        raise ValueError(msg)
    if not 0 <= dropout < 1:
        msg = f"dropout={dropout} is a probability and must be in [0, 1)"
        raise ValueError(msg)
