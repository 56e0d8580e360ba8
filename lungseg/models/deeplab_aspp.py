"""The network that paper key `covid_segmentation` calls DeepLabV3: a small encoder, dilated branches, a decoder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lungseg.models.conv_stack import check_widths, conv_stack
from lungseg.models.glorot import init_glorot
from lungseg.models.inputs import check_channels, prepare
from lungseg.models.keras_init import BN_MOMENTUM, check_bn_momentum, init_as_keras
from lungseg.models.same_conv_transpose import SameConvTranspose

Branches = Literal["parallel", "chained"]
STRIDE = 8


class DeepLabASPP(nn.Module):
    r"""Encoder, atrous spatial pyramid (ASPP) and decoder, image in, logits out.

    With n = `n_filters`, a = `aspp_filters` (4 n) and C(f, r, ...) = Conv3x3 of dilation r, BN, ReLU to f channels, for
    each r in turn:

        features  C(n, 1, 1), C(2 n, 1, 1), C(4 n, 1, 1, 1), each with max pooling 2x2 and dropout after it
        pyramid   a block C(a, r, s) for each pair (r, s) of `rates`, at 1/8 of the size; their results concatenated
        decoder   transposed convolutions 3x3 of stride 2 (`SameConvTranspose`) to 4 n, 2 n and n channels, each with
                  ReLU and dropout after it
        output    convolution 1x1 n -> num_classes, no sigmoid

    It has no separable convolutions, no image pooling, no skip and no pretrained encoder, and so is none of the
    networks published as DeepLab. Trainable parameters for grey images and one class:

        n_filters=8 144,761 | 16 576,369 | 32 2,300,129 | 64 9,189,825      16 without batch norm 574,769
        16 with aspp_filters=32 317,553 | with aspp_filters=128 1,315,185

    The paper says that "with each layer we augment the dilation rate", and gives no rate. A rate larger than the map,
    which is 16 x 16 for images of 128 x 128, sees only zeros around its middle tap: smaller images want smaller
    `rates`. Weights and batch norm's constants are Keras's, as in `UNetKeras`.

    Any height and width are accepted: the image is padded at the bottom and right to the next multiple of 8
    (`lungseg.models.inputs.prepare`), and the logits are cropped back.

    Args:
        in_channels: channels the first convolution sees; a grey image is repeated to them.
        num_classes: K, one logit map per structure.
        n_filters: n above.
        dropout: probability of dropping a single value in training, in [0, 1).
        batch_norm: whether each 3x3 convolution is normalised.
        rates: dilations of each block of the pyramid, one for each of its convolutions.
        branches: parallel: each block reads the features; chained: each reads the block before it. As many
            parameters where a = 4 n.
        aspp_filters: a above; null is 4 n.
        bn_momentum: of all batch norms, in torch's terms (weight of the newest batch). Keras's 0.01 takes hundreds of
            steps to settle; a short run wants 0.1.

    Shape:
        image (B, 1 or in_channels, H, W), any float dtype -> logits (B, num_classes, H, W).

    Raises:
        ValueError: an argument is out of its range, or the image has neither 1 nor `in_channels` channels.

    Source:
        Paper key `covid_segmentation`, algorithm 4.

    Example:
        >>> net = DeepLabASPP(n_filters=4)
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
        rates: Sequence[Sequence[int]] = ((1, 2), (4, 6), (8, 12), (16, 18)),
        branches: Branches = "parallel",
        aspp_filters: int | None = None,
        bn_momentum: float = BN_MOMENTUM,
    ) -> None:
        super().__init__()
        check_channels(in_channels, num_classes)
        check_widths(n_filters, dropout)
        check_bn_momentum(bn_momentum)
        _check_pyramid(rates, branches, aspp_filters)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.chained = branches == "chained"

        def block(before: int, after: int, dilations: Sequence[int]) -> nn.Sequential:
            return conv_stack(before, after, dilations=dilations, batch_norm=batch_norm, bn_momentum=bn_momentum)

        fine, middle, coarse = n_filters, 2 * n_filters, 4 * n_filters
        self.features = nn.Sequential(
            *(
                nn.Sequential(block(i, o, (1,) * count), nn.MaxPool2d(2), nn.Dropout(dropout))
                for i, o, count in ((in_channels, fine, 2), (fine, middle, 2), (middle, coarse, 3))
            )
        )
        wide = coarse if aspp_filters is None else aspp_filters
        self.pyramid = nn.ModuleList(
            block(wide if i and self.chained else coarse, wide, pair) for i, pair in enumerate(rates)
        )
        self.decoder = nn.Sequential(
            *(
                nn.Sequential(SameConvTranspose(i, o), nn.ReLU(), nn.Dropout(dropout))
                for i, o in pairwise((len(rates) * wide, coarse, middle, fine))
            )
        )
        self.output = nn.Conv2d(fine, num_classes, 1)
        init_as_keras(self)
        init_glorot(self.output)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (B, num_classes, H, W) of an image (B, 1 or in_channels, H, W)."""
        height, width = image.shape[-2:]
        x = self.features(prepare(image, self.in_channels, STRIDE))
        found: list[Tensor] = []
        for block in self.pyramid:
            found.append(block(found[-1] if found and self.chained else x))
        logits: Tensor = self.output(self.decoder(torch.cat(found, dim=1)))
        return logits[..., :height, :width]


def _check_pyramid(rates: Sequence[Sequence[int]], branches: str, aspp_filters: int | None) -> None:
    """Refuse what would fail later with a message about something else."""
    if not rates or not all(rates) or min(rate for block in rates for rate in block) < 1:
        msg = (
            f"rates={[list(block) for block in rates]} must be one or more blocks of one or more dilations, each at "
            "least 1, as in [[1, 2], [4, 6]]"
        )
        raise ValueError(msg)
    if branches not in get_args(Branches):
        msg = f"branches={branches!r} is not one of {', '.join(get_args(Branches))}"
        raise ValueError(msg)
    if aspp_filters is not None and aspp_filters < 1:
        msg = f"aspp_filters={aspp_filters} must be at least 1, or null for 4 n_filters"
        raise ValueError(msg)
