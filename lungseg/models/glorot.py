"""Initial weights as Keras draws them where a layer names no initialiser."""

from __future__ import annotations

from torch import nn


def init_glorot(module: nn.Module) -> None:
    """Draw anew every convolution in a module from Keras's `glorot_uniform`; biases are 0.

    The bound is sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, eq. 16). The sum is the same in both libraries
    for plain, transposed and depthwise kernels, although they name its terms differently.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
