"""U-Net on Inception-ResNet-v2, as Keras code taps it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lungseg.models.encoders.inception_resnet_v2 import InceptionResNetV2Encoder
from lungseg.models.glorot import init_glorot
from lungseg.models.inputs import check_channels, prepare
from lungseg.models.tap_decoder import TapDecoder


class UNetInceptionResNetV2(nn.Module):
    """U-Net + InceptionResNetV2, third row of the dual encoder's paper, image in, logits out.

    Encoder: Inception-ResNet-v2 up to the middle of its second reduction; skips are the image and three activations,
    each padded with zeros to half, a quarter and an eighth of the size ("zero padding was required in the encoder
    block"; `InceptionResNetV2Encoder`). Decoder: `TapDecoder`, then Conv1x1, no sigmoid. Initial weights are Keras's
    `glorot_uniform`.

    With 3 input channels and 1 class it has 36,752,065 trainable parameters, 36,793,089 numbers with the running
    statistics of batch norm.

    Any height and width are accepted: the image is padded at the bottom and right to the next multiple of 16, at
    least 48 (below, nothing is left of it after the stem), and the logits are cropped back.

    `imagenet` is timm's inception_resnet_v2.tf_in1k, a port of the weights that Keras ships; arithmetic and padding
    are the same. It expects images scaled to [-1, 1] (mean 0.5 and deviation 0.5 taken off), which is a matter of the
    batch's normalisation, not of the network.

    Args:
        in_channels: channels the first convolution sees; a grey image is repeated to them. Weights made for RGB are
            summed for one channel.
        num_classes: K, one logit map per structure.
        weights: of the encoder: null for random ones, imagenet, or the path of a file with the names of timm or
            segmentation-models-pytorch, or a checkpoint of this network.
        alpha: width of the encoder; 1 as published.
        blocks: residual blocks of the encoder's two runs; 10 and 20 as published.
        decoder_channels: of the decoder's levels, the deepest first.
        bn_momentum: of all batch norms, in torch's terms (weight of the newest batch). null: Keras's 0.01, which takes
            hundreds of steps to settle; a short run wants 0.1.

    Shape:
        image (B, 1 or in_channels, H, W), any float dtype -> logits (B, num_classes, H, W).

    Raises:
        ValueError: an argument is out of its range, or the image has neither 1 nor `in_channels` channels.
        ConfigError: the weights are missing or do not fit.
        ResourceError: published weights are neither in the cache nor to be fetched.

    Source:
        Paper key `dual_encoder`, section on U-Net with InceptionResNetV2; Szegedy et al. 2016, arXiv:1602.07261.

    Example:
        >>> import torch
        >>> net = UNetInceptionResNetV2(alpha=0.125, blocks=(1, 1), decoder_channels=(16, 8, 8, 4))
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
        blocks: Sequence[int] = (10, 20),
        decoder_channels: Sequence[int] = (512, 256, 128, 64),
        bn_momentum: float | None = None,
    ) -> None:
        super().__init__()
        check_channels(in_channels, num_classes)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.encoder = InceptionResNetV2Encoder(
            in_channels=in_channels, alpha=alpha, blocks=blocks, bn_momentum=bn_momentum
        )
        *fine, bridge = self.encoder.channels
        self.decoder = TapDecoder(
            bridge, (*reversed(fine), in_channels), channels=decoder_channels, bn_momentum=bn_momentum
        )
        self.output = nn.Conv2d(decoder_channels[-1], num_classes, 1)
        init_glorot(self)
        if weights is not None:
            self.encoder.load(weights)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (B, num_classes, H, W) of an image (B, 1 or in_channels, H, W)."""
        height, width = image.shape[-2:]
        x = prepare(image, self.in_channels, 16, smallest=48)
        *fine, bridge = self.encoder(x)
        logits: Tensor = self.output(self.decoder(bridge, [*reversed(fine), x]))
        return logits[..., :height, :width]
