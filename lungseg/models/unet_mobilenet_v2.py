"""U-Net on MobileNetV2, as Keras code taps it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torch import Tensor, nn

from lungseg.models.encoders.mobilenet_v2 import Convention, MobileNetV2Encoder
from lungseg.models.glorot import init_glorot
from lungseg.models.inputs import check_channels, prepare
from lungseg.models.tap_decoder import TapDecoder

log = logging.getLogger(__name__)


class UNetMobileNetV2(nn.Module):
    """U-Net + MobileNetV2, second row of the dual encoder's paper, image in, logits out.

    Encoder: MobileNetV2 up to the expanded input of its block 13; skips are the image and the expanded inputs of
    blocks 1, 3 and 6 (`MobileNetV2Encoder`). Decoder: `TapDecoder`, then Conv1x1, no sigmoid. Initial weights are
    Keras's `glorot_uniform`.

    Trainable parameters with 3 input channels and 1 class:

        alpha 0.35 8,056,961 | 0.5 8,437,985 | 0.75 9,309,169 | 1.0 10,069,249 | 1.4 11,725,617

    Any height and width are accepted: the image is padded at the bottom and right to the next multiple of 16, and the
    logits are cropped back.

    The weights to be had in torch's formats (timm, torchvision, segmentation-models-pytorch) were trained with another
    padding and another epsilon than Keras's: take `convention=torch` with them. `imagenet` is timm's mobilenetv2_050,
    _100 or _140, by `alpha`; they expect images with ImageNet's mean and deviation taken off (in grey 0.449 and 0.226),
    which is a matter of the batch's normalisation, not of the network.

    Args:
        in_channels: channels the first convolution sees; a grey image is repeated to them. Weights made for RGB are
            summed for one channel.
        num_classes: K, one logit map per structure.
        weights: of the encoder: null for random ones, imagenet, or the path of a file with the names of timm or
            torchvision, or a checkpoint of this network.
        alpha: width of the encoder.
        decoder_channels: of the decoder's levels, the deepest first.
        convention: keras or torch: padding and batch norm of the encoder (`MobileNetV2Encoder`).
        bn_momentum: of all batch norms, in torch's terms (weight of the newest batch). null: Keras's 0.001 in the
            encoder (0.1 with `convention=torch`) and 0.01 in the decoder, which take a thousand steps to settle; a
            short run wants 0.1.

    Shape:
        image (B, 1 or in_channels, H, W), any float dtype -> logits (B, num_classes, H, W).

    Raises:
        ValueError: an argument is out of its range, or the image has neither 1 nor `in_channels` channels.
        ConfigError: the weights are missing or do not fit.
        ResourceError: published weights are neither in the cache nor to be fetched.

    Source:
        Paper key `dual_encoder`, section on U-Net with MobileNetV2; Sandler et al. 2018, arXiv:1801.04381.

    Example:
        >>> import torch
        >>> net = UNetMobileNetV2(alpha=0.35, decoder_channels=(16, 8, 8, 4))
        >>> net(torch.zeros(2, 1, 33, 50)).shape
        torch.Size([2, 1, 33, 50])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        num_classes: int = 1,
        weights: str | None = None,
        alpha: float = 1.0,
        decoder_channels: Sequence[int] = (512, 256, 128, 64),
        convention: Convention = "keras",
        bn_momentum: float | None = None,
    ) -> None:
        super().__init__()
        check_channels(in_channels, num_classes)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.encoder = MobileNetV2Encoder(
            in_channels=in_channels, alpha=alpha, convention=convention, bn_momentum=bn_momentum
        )
        *fine, bridge = self.encoder.channels
        self.decoder = TapDecoder(
            bridge, (*reversed(fine), in_channels), channels=decoder_channels, bn_momentum=bn_momentum
        )
        self.output = nn.Conv2d(decoder_channels[-1], num_classes, 1)
        init_glorot(self)
        if weights is not None:
            self.encoder.load(weights)
            if convention == "keras":
                log.warning(
                    "the weights of model.weights=%s were trained with torch's padding and epsilon; their feature maps "
                    "are right with model.convention=torch only",
                    weights,
                )

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (B, num_classes, H, W) of an image (B, 1 or in_channels, H, W)."""
        height, width = image.shape[-2:]
        x = prepare(image, self.in_channels, 16)
        *fine, bridge = self.encoder(x)
        logits: Tensor = self.output(self.decoder(bridge, [*reversed(fine), x]))
        return logits[..., :height, :width]
