"""The fully convolutional network without skips of paper key `covid_segmentation`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from lungseg.models.conv_stack import check_widths, conv_stack
from lungseg.models.glorot import init_glorot
from lungseg.models.inputs import check_channels, prepare
from lungseg.models.keras_init import BN_MOMENTUM, check_bn_momentum, init_as_keras
from lungseg.models.same_conv_transpose import SameConvTranspose


class FCN(nn.Module):
    r"""Fully convolutional encoder and decoder, image in, logits out.

    With n = `n_filters`, `widths` = (1, 2, 4, 2, 1) and C(f) = twice Conv3x3, BN, ReLU to f channels:

        block 1, 2   C(n), C(2 n), each with max pooling 2x2 and dropout after it
        block 3, 4   C(4 n), C(2 n), each with a transposed convolution of stride 2 to the width of the next block,
                     2 n and n (`SameConvTranspose`), ReLU and dropout after it
        block 5      C(n), then a convolution 1x1 n -> num_classes, no sigmoid

    There are no skips: despite its name in the paper's text it is not FCN-8s. Trainable parameters for grey images and
    one class:

        n_filters=8 29,961 | 16 118,673 | 32 472,353 | 64 1,884,737         16 without batch norm 118,033
        16 with deconv_kernel=2 105,873 | with widths (1, 2, 4, 4, 4) 294,385

    The paper gives the blocks, not the widths, the kernel or where the dropout lies. Weights and batch norm's constants
    are Keras's, as in `UNetKeras`.

    Any height and width are accepted: the image is padded at the bottom and right to the next multiple of 4
    (`lungseg.models.inputs.prepare`), and the logits are cropped back.

    Args:
        in_channels: channels the first convolution sees; a grey image is repeated to them.
        num_classes: K, one logit map per structure.
        n_filters: n above.
        dropout: probability of dropping a single value in training, in [0, 1).
        batch_norm: whether each 3x3 convolution is normalised.
        widths: of the five blocks, in multiples of n.
        deconv_kernel: side of the transposed convolutions, at least 2.
        bn_momentum: of all batch norms, in torch's terms (weight of the newest batch). Keras's 0.01 takes hundreds of
            steps to settle; a short run wants 0.1.

    Shape:
        image (B, 1 or in_channels, H, W), any float dtype -> logits (B, num_classes, H, W).

    Raises:
        ValueError: an argument is out of its range, or the image has neither 1 nor `in_channels` channels.

    Source:
        Paper key `covid_segmentation`, algorithm 5.

    Example:
        >>> import torch
        >>> net = FCN(n_filters=4)
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
        widths: Sequence[int] = (1, 2, 4, 2, 1),
        deconv_kernel: int = 3,
        bn_momentum: float = BN_MOMENTUM,
    ) -> None:
        super().__init__()
        check_channels(in_channels, num_classes)
        check_widths(n_filters, dropout)
        check_bn_momentum(bn_momentum)
        if len(widths) != 5 or min(widths) < 1:
            msg = f"widths={list(widths)} must be five multiples of n_filters, each at least 1, as in [1, 2, 4, 2, 1]"
            raise ValueError(msg)
        if deconv_kernel < 2:
            msg = f"deconv_kernel={deconv_kernel} must be at least 2, as 2 or 3"
            raise ValueError(msg)
        self.in_channels = in_channels
        self.num_classes = num_classes
        channels = [n_filters * width for width in widths]
        after = [
            *(nn.Sequential(nn.MaxPool2d(2), nn.Dropout(dropout)) for _ in range(2)),
            *(
                nn.Sequential(SameConvTranspose(here, ahead, kernel=deconv_kernel), nn.ReLU(), nn.Dropout(dropout))
                for here, ahead in pairwise(channels[2:])
            ),
            nn.Conv2d(channels[-1], num_classes, 1),
        ]
        # what a block reads: a pooled map has the width of the block before, an enlarged one already its own
        inputs = [in_channels, *channels[:2], *channels[3:]]
        self.blocks = nn.ModuleList(
            nn.Sequential(conv_stack(i, o, batch_norm=batch_norm, bn_momentum=bn_momentum), last)
            for i, o, last in zip(inputs, channels, after, strict=True)
        )
        init_as_keras(self)
        init_glorot(after[-1])

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (B, num_classes, H, W) of an image (B, 1 or in_channels, H, W)."""
        height, width = image.shape[-2:]
        x = prepare(image, self.in_channels, 4)
        for block in self.blocks:
            x = block(x)
        return x[..., :height, :width]
