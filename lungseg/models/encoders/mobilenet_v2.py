"""The convolutional part of MobileNetV2."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchvision.models import MobileNetV2

from lungseg.models.weights import Published, fit_input, load_weights, read_weights

Taps = Literal["expand", "stage"]
Convention = Literal["keras", "torch"]
EXPANDED = (2, 4, 7, 14)
"""Blocks that halve the size, of which the expanded input is tapped; Keras counts one less (block_1, 3, 6, 13)."""
STAGES = (1, 3, 6, 13, 18)
"""Last blocks before each halving, and the last convolution."""
BLOCKS = (1, 2, 3, 4, 3, 3, 1)
"""Blocks per stage of timm's names."""
PUBLISHED = {
    0.5: Published("timm/mobilenetv2_050.lamb_in1k"),
    1.0: Published("timm/mobilenetv2_100.ra_in1k"),
    1.4: Published("timm/mobilenetv2_140.ra_in1k"),
}
"""ImageNet weights by alpha."""


class MobileNetV2Encoder(nn.Module):
    """MobileNetV2 as an encoder: inverted residual blocks, tapped where the size halves.

    With `taps=expand` it is what is left of Keras's network when its expanded activations are tapped: feature maps
    of block_1, block_3, block_6 and block_13_expand_relu, where it ends, at 1/2, 1/4, 1/8 and 1/16 of the size with
    96, 144, 192 and 576 channels. With `taps=stage` it is the whole network, tapped as by segmentation-models-pytorch:
    16, 24, 32, 96 and 1280 channels at 1/2 ... 1/32.

    The two families of libraries differ in arithmetic, not in parameters:

        keras   convolutions of stride 2 pad even sides at the bottom and right only; batch norm's epsilon 1e-3 and
                momentum 0.999 (torch's 0.001)
        torch   they pad by 1 on all sides; 1e-5 and 0.1. So torchvision's and timm's weights were trained

    With `torch` the feature maps equal those of torchvision and timm; with `keras` they lie half a pixel of each
    level further down and right.

    Args:
        in_channels: of the image.
        alpha: width of all layers, as Keras and the paper call it; channels are rounded to multiples of 8.
        taps: expand or stage.
        convention: keras or torch.
        bn_momentum: of all batch norms, in torch's terms (weight of the newest batch); None takes the convention's.

    Attributes:
        channels: of the feature maps.

    Shape:
        (B, in_channels, H, W), sides multiples of 16 (expand) or 32 (stage) -> list of (B, channels[i], H / 2^(i+1),
        W / 2^(i+1)).

    Raises:
        ValueError: an argument is out of its range.

    Source:
        Sandler et al. 2018, arXiv:1801.04381, table 2.

    Example:
        >>> import torch
        >>> encoder = MobileNetV2Encoder(in_channels=1, alpha=0.35)
        >>> [tuple(level.shape[1:]) for level in encoder(torch.zeros(2, 1, 32, 32))]
        [(48, 16, 16), (48, 8, 8), (96, 4, 4), (192, 2, 2)]
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        alpha: float = 1.0,
        taps: Taps = "expand",
        convention: Convention = "keras",
        bn_momentum: float | None = None,
    ) -> None:
        super().__init__()
        _check_arguments(in_channels, alpha, taps, convention)
        self.in_channels = in_channels
        self.alpha = alpha
        self.taps = taps
        self.convention = convention
        eps, momentum = (1e-3, 0.001) if convention == "keras" else (1e-5, 0.1)
        norm = partial(nn.BatchNorm2d, eps=eps, momentum=momentum if bn_momentum is None else bn_momentum)
        layers = list(MobileNetV2(width_mult=alpha, norm_layer=norm).features)
        if taps == "expand":
            layers = layers[: EXPANDED[-1] + 1]
            layers[-1].conv = layers[-1].conv[:1]
        first = layers[0][0]
        if in_channels != first.in_channels:
            layers[0][0] = nn.Conv2d(in_channels, first.out_channels, 3, stride=2, padding=1, bias=False)
        if convention == "keras":
            _pad_as_keras(layers)
        self.features = nn.ModuleList(layers)
        self.channels = (
            tuple(layers[i].conv[0][0].out_channels for i in EXPANDED)
            if taps == "expand"
            else (*(layers[i].out_channels for i in STAGES[:-1]), layers[-1][0].out_channels)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the feature maps, the largest first."""
        x = image
        levels = []
        for index, layer in enumerate(self.features):
            if self.taps == "expand" and index in EXPANDED:
                for place, part in enumerate(layer.get_submodule("conv").children()):  # stride 2: no shortcut
                    x = part(x)
                    if place == 0:
                        levels.append(x)
            else:
                x = layer(x)
                if self.taps == "stage" and index in STAGES:
                    levels.append(x)
        return levels

    def load(self, weights: str, *, key: str = "model.weights", part: str = "encoder.") -> None:
        """Load weights by torchvision's names (segmentation-models-pytorch has the same) or by timm's.

        `imagenet` is timm's file for alpha 0.5, 1 and 1.4. These weights expect images of mean 0.485, 0.456, 0.406
        and standard deviation 0.229, 0.224, 0.225 (grey: 0.449 and 0.226), taken off on the scale [0, 1].

        Args:
            weights: `imagenet` or the path of a file.
            key: of `weights` in the config, for messages.
            part: name of this encoder in the checkpoint of a whole network.

        Raises:
            ConfigError: the file is missing, unreadable or of other widths.
            ResourceError: the published file is neither in the cache nor to be fetched.
        """
        found = read_weights(weights, PUBLISHED.get(self.alpha), parts=(part,), key=key)
        tensors = {torchvision_name(name): value for name, value in found.tensors.items()}
        load_weights(
            self,
            replace(found, tensors=fit_input(tensors, "features.0.0.weight", self.in_channels)),
            advice=f"It must be a MobileNetV2 of alpha={self.alpha}",
        )


class _BottomRightConv2d(nn.Conv2d):
    """Convolution of stride 2 that pads at the bottom and right only: Keras's `same` on even sides."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)))


def _pad_as_keras(layers: list[nn.Module]) -> None:
    """Replace the convolutions of stride 2."""
    for layer in layers:
        for parent in layer.modules():
            for name, conv in parent.named_children():
                if isinstance(conv, nn.Conv2d) and conv.stride == (2, 2):
                    padded = _BottomRightConv2d(
                        conv.in_channels, conv.out_channels, 3, stride=2, groups=conv.groups, bias=False
                    )
                    setattr(parent, name, padded)


def torchvision_name(name: str) -> str:
    """Return torchvision's name of a tensor that timm or torchvision named.

    Example:
        >>> import torch
        >>> torchvision_name("blocks.1.0.conv_dw.weight"), torchvision_name("features.2.conv.1.0.weight")
        ('features.2.conv.1.0.weight', 'features.2.conv.1.0.weight')
    """
    ends = {"conv_stem": "0.0", "bn1": "0.1", "conv_head": "18.0", "bn2": "18.1"}
    head, _, rest = name.partition(".")
    if head in ends:
        return f"features.{ends[head]}.{rest}"
    found = re.fullmatch(r"blocks\.(\d)\.(\d)\.(\w+)\.(\w+)", name)
    if found is None:
        return name
    stage, block, layer, tensor = int(found[1]), int(found[2]), found[3], found[4]
    places = (
        {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1", "bn2": "2"}
        if stage == 0  # the first block does not expand
        else {"conv_pw": "0.0", "bn1": "0.1", "conv_dw": "1.0", "bn2": "1.1", "conv_pwl": "2", "bn3": "3"}
    )
    if layer not in places:
        return name
    return f"features.{1 + sum(BLOCKS[:stage]) + block}.conv.{places[layer]}.{tensor}"


def _check_arguments(in_channels: int, alpha: float, taps: str, convention: str) -> None:
    if in_channels < 1:
        msg = f"in_channels={in_channels} must be at least 1"
        raise ValueError(msg)
    if not 0 < alpha <= 4:
        msg = f"alpha={alpha} is the width of the layers and must be in (0, 4]; published ones are {sorted(PUBLISHED)}"
        raise ValueError(msg)
    if taps not in get_args(Taps):
        msg = f"taps={taps!r} is not one of {', '.join(get_args(Taps))}"
        raise ValueError(msg)
    if convention not in get_args(Convention):
        msg = f"convention={convention!r} is not one of {', '.join(get_args(Convention))}"
        raise ValueError(msg)
