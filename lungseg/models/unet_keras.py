"""The U-Net of paper key `covid_segmentation`, as a Keras notebook builds it."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lungseg.models.conv_stack import check_widths, conv_stack
from lungseg.models.glorot import init_glorot
from lungseg.models.inputs import check_channels, prepare
from lungseg.models.keras_init import BN_MOMENTUM, check_bn_momentum, init_as_keras
from lungseg.models.same_conv_transpose import SameConvTranspose

LEVELS = 4


class UNetKeras(nn.Module):
    r"""U-Net of paper key `covid_segmentation`, image in, logits out.

    With n = `n_filters` and C(f) = twice Conv3x3, BN, ReLU to f channels:

        encoder    for f = n, 2 n, 4 n, 8 n: C(f), kept as a skip, then max pooling 2x2 and dropout
        bottleneck C(16 n), at 1/16 of the size, unless `bottleneck` is off
        decoder    for f = 8 n, 4 n, 2 n, n: transposed convolution 3x3 of stride 2 to f channels with nothing after
                   it (`SameConvTranspose`), concatenation with the skip, dropout, C(f)
        output     convolution 1x1 n -> num_classes, no sigmoid

    Trainable parameters for grey images and one class, with batch norm and without:

        n_filters=8 541,545, 540,073 | 16 2,161,361, 2,158,417 | 32 8,635,809, 8,629,921 | 64 34,523,969, 34,512,193

    The public notebook that this network comes from has a slip: the second convolution of C reads the block's input,
    so that the first one is never used. `single_conv_bug` builds that network: 1,177,649 parameters with 16 filters,
    1,179,121 with the running statistics of batch norm. The paper lists four blocks down and four up and no
    bottleneck; the notebook has one.

    Weights are Keras's: `he_normal` for the convolutions, its default `glorot_uniform` for the transposed ones and
    the output, which name none. So are batch norm's epsilon and momentum.

    Any height and width are accepted: the image is padded at the bottom and right to the next multiple of 16
    (`lungseg.models.inputs.prepare`), and the logits are cropped back.

    Args:
        in_channels: channels the first convolution sees; a grey image is repeated to them.
        num_classes: K, one logit map per structure.
        n_filters: n above.
        dropout: probability of dropping a single value in training, in [0, 1).
        batch_norm: whether each convolution of a block is normalised.
        bottleneck: whether there is a block at 1/16 of the size.
        single_conv_bug: one convolution in each block instead of two, see above.
        bn_momentum: of all batch norms, in torch's terms (weight of the newest batch). Keras's 0.01 takes hundreds of
            steps to settle; a short run wants 0.1.

    Shape:
        image (B, 1 or in_channels, H, W), any float dtype -> logits (B, num_classes, H, W).

    Raises:
        ValueError: an argument is out of its range, or the image has neither 1 nor `in_channels` channels.

    Source:
        Paper key `covid_segmentation`, algorithm 3, and the notebook `hlamba28/UNET-TGS`, whose arguments it has.

    Example:
        >>> net = UNetKeras(n_filters=4)
        >>> net(torch.zeros(2, 1, 33, 50)).shape
        torch.Size([2, 1, 33, 50])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        num_classes: int = 1,
        n_filters: int = 16,
        dropout: float = 0.1,
        batch_norm: bool = True,
        bottleneck: bool = True,
        single_conv_bug: bool = False,
        bn_momentum: float = BN_MOMENTUM,
    ) -> None:
        super().__init__()
        check_channels(in_channels, num_classes)
        check_widths(n_filters, dropout)
        check_bn_momentum(bn_momentum)
        self.in_channels = in_channels
        self.num_classes = num_classes
        widths = [n_filters * 2**i for i in range(LEVELS)]

        def block(before: int, after: int) -> nn.Sequential:
            dilations = (1,) if single_conv_bug else (1, 1)
            return conv_stack(before, after, dilations=dilations, batch_norm=batch_norm, bn_momentum=bn_momentum)

        self.downs = nn.ModuleList(block(i, o) for i, o in pairwise((in_channels, *widths)))
        self.bottleneck: nn.Module = block(widths[-1], 2 * widths[-1]) if bottleneck else nn.Identity()
        deepest = 2 * widths[-1] if bottleneck else widths[-1]
        widths.reverse()
        self.ups = nn.ModuleList(SameConvTranspose(i, o) for i, o in pairwise((deepest, *widths)))
        self.merges = nn.ModuleList(block(2 * width, width) for width in widths)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Conv2d(n_filters, num_classes, 1)
        init_as_keras(self)
        init_glorot(self.output)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (B, num_classes, H, W) of an image (B, 1 or in_channels, H, W)."""
        height, width = image.shape[-2:]
        x = prepare(image, self.in_channels, 2**LEVELS)
        skips = []
        for down in self.downs:
            skips.append(down(x))
            x = self.dropout(F.max_pool2d(skips[-1], 2))
        x = self.bottleneck(x)
        for up, merge in zip(self.ups, self.merges, strict=True):
            x = merge(self.dropout(torch.cat((up(x), skips.pop()), dim=1)))
        logits: Tensor = self.output(x)
        return logits[..., :height, :width]
