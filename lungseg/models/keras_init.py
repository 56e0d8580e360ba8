"""Initial weights as Keras draws them, for the networks whose papers were written in it."""

from __future__ import annotations

import math

from torch import Tensor, nn

BN_MOMENTUM = 0.01
"""Keras's BatchNormalization(momentum=0.99), in torch's terms: the weight of the newest batch."""
BN_EPS = 1e-3
_TRUNCATED = 0.87962566103423978
"""Standard deviation of a standard normal distribution cut off at -2 and 2."""


def check_bn_momentum(bn_momentum: float) -> None:
    """Refuse a weight of the newest batch outside (0, 1].

    Raises:
        ValueError: names it.
    """
    if not 0 < bn_momentum <= 1:
        msg = (
            f"bn_momentum={bn_momentum} is the weight of the newest batch in the running statistics and must be in "
            "(0, 1]: 0.01 is Keras's default, 0.1 torch's"
        )
        raise ValueError(msg)


def he_normal_(weight: Tensor, fan_in: int) -> Tensor:
    """Fill a tensor from Keras's `he_normal`: a normal distribution cut off at two standard deviations.

    The standard deviation after the cut is sqrt(2 / fan_in) (He et al. 2015, arXiv:1502.01852, eq. 10).

    Returns:
        `weight`, changed in place.
    """
    std = math.sqrt(2 / fan_in) / _TRUNCATED
    return nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def keras_fan_in(convolution: nn.Conv2d) -> int:
    """Return the fan-in that Keras ascribes to a convolution: kernel area times input channels.

    For a depthwise convolution these are all its input channels, although each filter sees one of them: the kernel is
    stored as (k, k, C, 1), and Keras takes the third number. torch takes kernel area times 1.
    """
    height, width = convolution.kernel_size
    depthwise = convolution.groups == convolution.in_channels
    return height * width * (convolution.in_channels if depthwise else convolution.in_channels // convolution.groups)


def init_as_keras(module: nn.Module) -> None:
    """Draw anew the weights of every convolution in a module, as Keras does.

    Convolutions from `he_normal`; transposed ones from `glorot_uniform`, Keras's default, since the papers' code
    names an initialiser for convolutions only; biases are 0. Other layers keep what they have: batch norms start at
    1 and 0 in both libraries.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            he_normal_(layer.weight, keras_fan_in(layer))
        elif isinstance(layer, nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
