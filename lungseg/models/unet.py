"""U-Net in its classic form."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lungseg.models.glorot import init_glorot
from lungseg.models.inputs import check_channels, prepare
from lungseg.models.keras_init import BN_EPS, BN_MOMENTUM, check_bn_momentum
from lungseg.models.tap_decoder import TapDecoder


class UNet(nn.Module):
    r"""U-Net with batch norm, first row of the dual encoder's paper, image in, logits out.

    With `features` = (f_0, ..., f_n) and C(f) = twice Conv3x3, BN, ReLU to f channels:

        encoder   for i = 0 ... n: C(f_i), kept as a skip, then max pooling 2x2
        bridge    C(2 f_n), at 1 / 2**len(features) of the size
        decoder   for i = n ... 0: transposed convolution 2x2 of stride 2 to f_i channels, concatenation with the
                  skip, C(f_i)                              (`TapDecoder`)
        output    convolution 1x1 f_0 -> num_classes, no sigmoid

    All convolutions have a bias and keep the size. Trainable parameters with the default features, 3 input channels
    and 1 class: 31,043,521, and 31,055,297 with the running statistics of batch norm; 1,152 fewer with 1 channel.
    Weights (`glorot_uniform`), momentum and epsilon are Keras's, in which the paper's table was made.

    Any height and width are accepted: the image is padded at the bottom and right to the next multiple of
    2**len(features) (`lungseg.models.inputs.prepare`), and the logits are cropped back.

    Args:
        in_channels: channels the first convolution sees; a grey image is repeated to them.
        num_classes: K, one logit map per structure.
        features: channels of each level, from full resolution down.
        bn_momentum: of all batch norms, in torch's terms (weight of the newest batch). Keras's 0.01 takes hundreds of
            steps to settle; a short run wants 0.1.

    Shape:
        image (B, 1 or in_channels, H, W), any float dtype -> logits (B, num_classes, H, W).

    Raises:
        ValueError: an argument is out of its range, or the image has neither 1 nor `in_channels` channels.

    Source:
        Paper key `dual_encoder`, section on U-Net; Ronneberger et al. 2015, arXiv:1505.04597, figure 1, there without
        batch norm and padding.

    Example:
        >>> import torch
        >>> net = UNet(features=(4, 8, 16))
        >>> net(torch.zeros(2, 1, 33, 50)).shape
        torch.Size([2, 1, 33, 50])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        num_classes: int = 1,
        features: Sequence[int] = (64, 128, 256, 512),
        bn_momentum: float = BN_MOMENTUM,
    ) -> None:
        super().__init__()
        check_channels(in_channels, num_classes)
        if not features or min(features) < 1:
            msg = f"features={list(features)} must be one or more channel counts, each at least 1, as in [64, 128, 256]"
            raise ValueError(msg)
        check_bn_momentum(bn_momentum)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.stride = 2 ** len(features)
        bridge = 2 * features[-1]

        self.levels = nn.ModuleList(
            _double_conv(before, after, bn_momentum) for before, after in pairwise((in_channels, *features))
        )
        self.bridge = _double_conv(features[-1], bridge, bn_momentum)
        skips = tuple(reversed(features))
        self.decoder = TapDecoder(bridge, skips, channels=skips, bn_momentum=bn_momentum)
        self.output = nn.Conv2d(features[0], num_classes, 1)
        init_glorot(self)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (B, num_classes, H, W) of an image (B, 1 or in_channels, H, W)."""
        height, width = image.shape[-2:]
        x = prepare(image, self.in_channels, self.stride)
        skips: list[Tensor] = []
        for level in self.levels:
            skips.insert(0, level(x))
            x = F.max_pool2d(skips[0], 2)
        logits: Tensor = self.output(self.decoder(self.bridge(x), skips))
        return logits[..., :height, :width]


def _double_conv(in_channels: int, out_channels: int, momentum: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += [
            nn.Conv2d(channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels, eps=BN_EPS, momentum=momentum),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
