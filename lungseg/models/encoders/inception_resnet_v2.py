"""The convolutional part of Inception-ResNet-v2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lungseg.errors import ConfigError, first_five
from lungseg.models.weights import Published, fit_input, load_weights, read_weights

Taps = Literal["keras", "stage"]
Branch = Sequence[tuple[int, int | tuple[int, int]]]
"""(channels, kernel) of the convolutions of one branch."""
EPS = 1e-3
"""Of every batch norm, in Keras and in the original of the published weights."""
BLOCKS: dict[Taps, tuple[int, ...]] = {"keras": (10, 20), "stage": (10, 20, 9)}
"""Residual blocks of the published network, as far as each form has them."""
PUBLISHED = Published("timm/inception_resnet_v2.tf_in1k")


class InceptionResNetV2Encoder(nn.Module):
    """Inception-ResNet-v2 as an encoder: a stem, then runs of residual inception blocks between reductions.

    With `taps=keras` it is what is left of Keras's network when four of its activations are tapped, where each is
    padded with zeros to the size that the next level of a U-Net expects, since convolutions and poolings of the stem
    and reductions have no padding:

        activation       32 channels at 1/2     1 row and column too few: 1 before, 0 after
        activation_3     80 channels at 1/4     2 too few: 1 and 1
        activation_74    256 channels at 1/8    3 too few: 2 and 1
        activation_161   288 channels at 1/16   2 too few: 1 and 1; here it ends, inside the second reduction

    Keras's batch norm has no scale here (`scale=False`), and momentum 0.99 (torch's 0.01).

    With `taps=stage` it is the whole network as in segmentation-models-pytorch: all 3x3 convolutions and poolings
    padded by 1, so that the feature maps of 64, 192, 320, 1088 and 1536 channels have exactly 1/2 ... 1/32 of the
    size; batch norm with scale and momentum 0.1.

    Args:
        in_channels: of the image.
        alpha: width of all layers; 1 is the published network, others serve small runs and have no published weights.
        blocks: residual blocks of the runs; as published 10 and 20, and 9 more with `taps=stage` (which has one more
            block after them).
        taps: keras or stage.
        bn_momentum: of all batch norms, in torch's terms (weight of the newest batch); None takes the form's.

    Attributes:
        channels: of the feature maps.

    Shape:
        (B, in_channels, H, W), sides multiples of 16 and at least 48 (keras) or multiples of 32 (stage) -> list of
        (B, channels[i], H / 2^(i+1), W / 2^(i+1)).

    Raises:
        ValueError: an argument is out of its range.

    Source:
        Szegedy et al. 2016, arXiv:1602.07261, figures 10-18; the layers' order and names are timm's.

    Example:
        >>> encoder = InceptionResNetV2Encoder(in_channels=1, alpha=0.125, blocks=(1, 1))
        >>> [tuple(level.shape[1:]) for level in encoder(torch.zeros(2, 1, 64, 64))]
        [(4, 32, 32), (10, 16, 16), (32, 8, 8), (36, 4, 4)]
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        alpha: float = 1.0,
        blocks: Sequence[int] = (10, 20),
        taps: Taps = "keras",
        bn_momentum: float | None = None,
    ) -> None:
        super().__init__()
        _check_arguments(in_channels, alpha, blocks, taps)
        self.in_channels = in_channels
        self.alpha = alpha
        self.blocks = tuple(blocks)
        self.taps = taps
        make = _Maker(alpha, taps, bn_momentum)

        self.conv2d_1a = make.conv(in_channels, 32, 3, stride=2, pad=make.edge)
        self.conv2d_2a = make.conv(make.width(32), 32, 3, pad=make.edge)
        self.conv2d_2b = make.conv(make.width(32), 64, 3)
        self.maxpool_3a = nn.MaxPool2d(3, stride=2, padding=make.edge)
        self.conv2d_3b = make.conv(make.width(64), 80, 1)
        self.conv2d_4a = make.conv(make.width(80), 192, 3, pad=make.edge)
        self.maxpool_5a = nn.MaxPool2d(3, stride=2, padding=make.edge)
        self.mixed_5b = _Inception(
            make.branch(make.width(192), [(96, 1)]),
            make.branch(make.width(192), [(48, 1), (64, 5)]),
            make.branch(make.width(192), [(64, 1), (96, 3), (96, 3)]),
            nn.Sequential(
                nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False), make.conv(make.width(192), 64, 1)
            ),
        )
        low = sum(make.width(c) for c in (96, 64, 96, 64))
        block35: list[Branch] = [[(32, 1)], [(32, 1), (32, 3)], [(32, 1), (48, 3), (64, 3)]]
        self.repeat = nn.Sequential(*(make.residual(low, block35, 0.17) for _ in range(blocks[0])))
        self.mixed_6a = _Inception(
            make.conv(low, 384, 3, stride=2, pad=make.edge),
            make.branch(low, [(256, 1), (256, 3), (384, 3)], reduce=True),
            nn.MaxPool2d(3, stride=2, padding=make.edge),
        )
        middle = low + 2 * make.width(384)
        block17: list[Branch] = [[(192, 1)], [(128, 1), (160, (1, 7)), (192, (7, 1))]]
        self.repeat_1 = nn.Sequential(*(make.residual(middle, block17, 0.1) for _ in range(blocks[1])))
        if taps == "keras":
            self.mixed_7a: nn.Module = nn.ModuleDict({"branch2": make.branch(middle, [(256, 1), (288, 3)])})
            self.channels = tuple(make.width(c) for c in (32, 80, 256, 288))
            return
        self.mixed_7a = _Inception(
            make.branch(middle, [(256, 1), (384, 3)], reduce=True),
            make.branch(middle, [(256, 1), (288, 3)], reduce=True),
            make.branch(middle, [(256, 1), (288, 3), (320, 3)], reduce=True),
            nn.MaxPool2d(3, stride=2, padding=make.edge),
        )
        high = middle + sum(make.width(c) for c in (384, 288, 320))
        block8: list[Branch] = [[(192, 1)], [(192, 1), (224, (1, 3)), (256, (3, 1))]]
        self.repeat_2 = nn.Sequential(*(make.residual(high, block8, 0.2) for _ in range(blocks[2])))
        self.block8 = make.residual(high, block8, 1.0, last=True)
        self.conv2d_7b = make.conv(high, 1536, 1)
        self.channels = (make.width(64), make.width(192), low, middle, make.width(1536))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the feature maps, the largest first."""
        first = self.conv2d_1a(image)
        second = self.conv2d_2b(self.conv2d_2a(first))
        third = self.conv2d_3b(self.maxpool_3a(second))
        fourth = self.conv2d_4a(third)
        low = self.repeat(self.mixed_5b(self.maxpool_5a(fourth)))
        if self.taps == "stage":
            middle = self.repeat_1(self.mixed_6a(low))
            high = self.conv2d_7b(self.block8(self.repeat_2(self.mixed_7a(middle))))
            return [second, fourth, low, middle, high]
        side, main, pooled = self.mixed_6a.children()
        inner = main.get_submodule("1")(main.get_submodule("0")(low))
        middle = torch.cat((side(low), main.get_submodule("2")(inner), pooled(low)), dim=1)
        last = self.mixed_7a.get_submodule("branch2")(self.repeat_1(middle))
        height, width = image.shape[-2:]
        return [
            pad_to(level, (height // step, width // step))
            for level, step in zip((first, third, inner, last), (2, 4, 8, 16), strict=True)
        ]

    def load(self, weights: str, *, key: str = "model.weights", part: str = "encoder.") -> None:
        """Load weights by timm's names (segmentation-models-pytorch has the same).

        `imagenet` is timm's port of the TensorFlow weights, which Keras ships too. They expect images scaled to
        [-1, 1]: mean 0.5 and standard deviation 0.5, taken off on the scale [0, 1].

        Args:
            weights: `imagenet` or the path of a file.
            key: of `weights` in the config, for messages.
            part: name of this encoder in the checkpoint of a whole network.

        Raises:
            ConfigError: the file is missing, unreadable, of another network, or has scales in its batch norms that
                `taps=keras` has no place for.
            ResourceError: the published file is neither in the cache nor to be fetched.
        """
        is_published = self.alpha == 1 and self.blocks == BLOCKS[self.taps]
        found = read_weights(weights, PUBLISHED if is_published else None, parts=(part,), key=key)
        if self.taps == "keras":
            _refuse_scales(found.origin, self, found.tensors)
        load_weights(
            self,
            replace(found, tensors=fit_input(found.tensors, "conv2d_1a.conv.weight", self.in_channels)),
            advice=f"It must be an Inception-ResNet-v2 of alpha={self.alpha} and blocks={list(self.blocks)}",
        )


def pad_to(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Pad a feature map with zeros on all sides to (height, width); an odd row or column goes first.

    Example:
        >>> pad_to(torch.ones(1, 1, 1, 1), (2, 2))
        tensor([[[[0., 0.],
                  [0., 1.]]]])
    """
    bottom, right = (size[0] - x.shape[-2]) // 2, (size[1] - x.shape[-1]) // 2
    top, left = size[0] - x.shape[-2] - bottom, size[1] - x.shape[-1] - right
    return F.pad(x, (left, right, top, bottom))


class _Maker:
    """Makes the layers of one network, which all share width, padding and batch norm."""

    def __init__(self, alpha: float, taps: Taps, bn_momentum: float | None) -> None:
        self.alpha = alpha
        self.scale = taps == "stage"
        self.edge = 1 if taps == "stage" else 0
        default = 0.1 if taps == "stage" else 0.01
        self.momentum = default if bn_momentum is None else bn_momentum

    def width(self, channels: int) -> int:
        return max(1, round(self.alpha * channels))

    def conv(
        self, inputs: int, channels: int, kernel: int | tuple[int, int], *, stride: int = 1, pad: int | None = None
    ) -> nn.Module:
        """Convolution without bias, batch norm, ReLU; `inputs` are channels as they are, `channels` before alpha."""
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if pad is None else (pad, pad)
        width = self.width(channels)
        return _Unit(
            nn.Conv2d(inputs, width, sides, stride=stride, padding=padding, bias=False),
            nn.BatchNorm2d(width, eps=EPS, momentum=self.momentum) if self.scale else ShiftNorm(width, self.momentum),
        )

    def branch(self, inputs: int, units: Branch, *, reduce: bool = False) -> nn.Module:
        """Chain of convolutions; with `reduce` the last has stride 2 and the padding of the edges."""
        layers = []
        for place, (channels, kernel) in enumerate(units):
            halve = reduce and place == len(units) - 1
            layers.append(
                self.conv(inputs, channels, kernel, stride=2 if halve else 1, pad=self.edge if halve else None)
            )
            inputs = self.width(channels)
        return nn.Sequential(*layers) if len(layers) > 1 else layers[0]

    def residual(self, inputs: int, branches: Sequence[Branch], scale: float, *, last: bool = False) -> nn.Module:
        channels = sum(self.width(units[-1][0]) for units in branches)
        return _Residual(
            *(self.branch(inputs, units) for units in branches),
            conv2d=nn.Conv2d(channels, inputs, 1),
            scale=scale,
            last=last,
        )


class ShiftNorm(nn.BatchNorm2d):
    """Batch norm with an offset and no scale, Keras's `BatchNormalization(scale=False)`.

    The scale is a constant 1 outside the state dict: torch's fast kernels want both or neither.

    Args:
        channels: of the feature map.
        momentum: weight of the newest batch.
    """

    def __init__(self, channels: int, momentum: float) -> None:
        super().__init__(channels, eps=EPS, momentum=momentum)
        del self.weight
        self.register_buffer("weight", torch.ones(channels), persistent=False)


class _Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv = conv
        self.bn = norm

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class _Inception(nn.Module):
    """Branches side by side, their channels concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.names = [f"branch{number}" for number in range(len(branches))]
        for name, branch in zip(self.names, branches, strict=True):
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.get_submodule(name)(x) for name in self.names], dim=1)


class _Residual(_Inception):
    """ReLU(x + scale * Conv1x1(branches)); the last block has no ReLU."""

    def __init__(self, *branches: nn.Module, conv2d: nn.Conv2d, scale: float, last: bool) -> None:
        super().__init__(*branches)
        self.conv2d = conv2d
        self.scale = scale
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.scale * self.conv2d(super().forward(x))
        return out if self.last else F.relu(out)


def _refuse_scales(origin: str, encoder: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Refuse batch norms whose scale is not 1: those of the published weights are all 1, as they are Keras's.

    Raises:
        ConfigError: names the first.
    """
    norms = [name for name, layer in encoder.named_modules() if isinstance(layer, ShiftNorm)]
    scaled = [name for name in norms if f"{name}.weight" in tensors and bool((tensors[f"{name}.weight"] != 1).any())]
    if scaled:
        msg = (
            f"{origin} has scales other than 1 in {len(scaled)} batch norms ({first_five(scaled)}), and this network's "
            "have none, as Keras's. Use model=smp model.encoder=inceptionresnetv2 for these weights"
        )
        raise ConfigError(msg)


def _check_arguments(in_channels: int, alpha: float, blocks: Sequence[int], taps: Taps) -> None:
    if in_channels < 1:
        msg = f"in_channels={in_channels} must be at least 1"
        raise ValueError(msg)
    if not 0 < alpha <= 4:
        msg = f"alpha={alpha} is the width of the layers, 1 as published, and must be in (0, 4]"
        raise ValueError(msg)
    if taps not in get_args(Taps):
        msg = f"taps={taps!r} is not one of {', '.join(get_args(Taps))}"
        raise ValueError(msg)
    published = BLOCKS[taps]
    if len(blocks) != len(published) or min(blocks) < 0:
        msg = f"blocks={list(blocks)} must be {len(published)} counts of residual blocks, as in {list(published)}"
        raise ValueError(msg)
