"""The dual encoder: MobileNetV2 and Inception-ResNet-v2 side by side in one U-Net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from segmentation_models_pytorch.base.initialization import initialize_decoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn

from lungseg.models.encoders.inception_resnet_v2 import InceptionResNetV2Encoder
from lungseg.models.encoders.mobilenet_v2 import MobileNetV2Encoder
from lungseg.models.inputs import check_channels, prepare
from lungseg.models.meta_head import MetaHead, Place
from lungseg.models.weights import share_out

Fusion = Literal["concat", "sum"]
Head = Literal["meta", "plain"]
STRIDE = 32


class DualEncoder(nn.Module):
    """U-Net with two encoders and a meta learner as its head, image in, logits out.

    The paper's proposed network is told in words only: "all stacked together, the encoder is loaded with the other
    two pre-trained networks", a "meta learner of three dense layers 32, 64, 128". This is variant A of what that can
    mean (variant B, the meta learner on the maps of whole U-Nets, is `Stacked`):

        encoders   MobileNetV2 and Inception-ResNet-v2 on the same image, tapped at 1/2 ... 1/32 of its size
        fusion     their features concatenated at each level: 80, 216, 352, 1184, 2816 channels
        decoder    that of segmentation-models-pytorch's U-Net: upsampling (nearest), concatenation with the fused
                   level, twice Conv3x3, BN, ReLU; 256, 128, 64, 32, 16 channels
        head       `MetaHead`: 1x1 convolutions 16 -> 32 -> 64 -> 128 -> num_classes

    Trainable parameters with 3 input channels and 1 class (1,152 fewer with 1 channel): 67,490,177, of which the
    encoders have 2,223,872 and 54,306,464, the decoder 10,948,288 and the head 11,553. With `head=plain`, one 3x3
    convolution as in segmentation-models-pytorch, 67,478,769.

    Any height and width are accepted: the image is padded at the bottom and right to the next multiple of 32, and the
    logits are cropped back.

    The two published files of weights want different normalisations, and there is one image: MobileNetV2's expects
    ImageNet's mean and deviation (in grey 0.449 and 0.226), Inception-ResNet-v2's 0.5 and 0.5. Neither is done here;
    the batch's normalisation is best set to the second, which fits both up to a factor of about two.

    Args:
        in_channels: channels the first convolutions see; a grey image is repeated to them. Weights made for RGB are
            summed for one channel.
        num_classes: K, one logit map per structure.
        weights: of the encoders: null for random ones, imagenet for both, or a mapping {mobilenet_v2: file or
            imagenet, inception_resnet_v2: file or imagenet}, of which either may be left out.
        fusion: concat: features side by side; sum: both projected by a 1x1 convolution to the wider's channels, and
            added.
        head: meta or plain.
        meta_widths: channels of the meta learner's dense layers.
        meta_kernel: side of their convolutions, 1 or 3.
        meta_bn: each: batch norm after each dense layer; last: before the last convolution only.
        meta_dropout: probability of dropping a whole channel after a dense layer in training, in [0, 1).
        freeze_encoders: do not train the encoders; their batch norms keep their running statistics too.
        decoder_channels: of the decoder's five levels, the deepest first.
        mobilenet_alpha: width of MobileNetV2.
        inception_alpha: width of Inception-ResNet-v2, 1 as published.
        inception_blocks: residual blocks of its three runs, 10, 20 and 9 as published.

    Shape:
        image (B, 1 or in_channels, H, W), any float dtype -> logits (B, num_classes, H, W).

    Raises:
        ValueError: an argument is out of its range, or the image has neither 1 nor `in_channels` channels.
        ConfigError: weights are missing, do not fit, or are for an encoder that is not here.
        ResourceError: published weights are neither in the cache nor to be fetched.

    Source:
        Paper key `dual_encoder`, section on the proposed architecture.

    Example:
        >>> net = DualEncoder(
        ...     mobilenet_alpha=0.1, inception_alpha=0.05, inception_blocks=(1, 1, 1), decoder_channels=(8, 8, 8, 8, 4)
        ... )
        >>> net(torch.zeros(2, 1, 33, 50)).shape
        torch.Size([2, 1, 33, 50])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        num_classes: int = 1,
        weights: str | Mapping[str, str | None] | None = None,
        fusion: Fusion = "concat",
        head: Head = "meta",
        meta_widths: Sequence[int] = (32, 64, 128),
        meta_kernel: int = 1,
        meta_bn: Place = "each",
        meta_dropout: float = 0.4,
        freeze_encoders: bool = False,
        decoder_channels: Sequence[int] = (256, 128, 64, 32, 16),
        mobilenet_alpha: float = 1.0,
        inception_alpha: float = 1.0,
        inception_blocks: Sequence[int] = (10, 20, 9),
    ) -> None:
        super().__init__()
        check_channels(in_channels, num_classes)
        _check_arguments(fusion, head, decoder_channels)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.freeze_encoders = freeze_encoders
        mobilenet = MobileNetV2Encoder(in_channels=in_channels, alpha=mobilenet_alpha, taps="stage", convention="torch")
        inception = InceptionResNetV2Encoder(
            in_channels=in_channels, alpha=inception_alpha, blocks=inception_blocks, taps="stage"
        )
        self.encoders = nn.ModuleDict({"mobilenet_v2": mobilenet, "inception_resnet_v2": inception})
        pairs = list(zip(mobilenet.channels, inception.channels, strict=True))
        self.fusions: nn.ModuleList | None = None
        if fusion == "sum":
            self.fusions = nn.ModuleList(_ProjectedSum(pair, max(pair)) for pair in pairs)
        fused = [sum(pair) if fusion == "concat" else max(pair) for pair in pairs]
        self.decoder = UnetDecoder((in_channels, *fused), tuple(decoder_channels), n_blocks=len(pairs))
        initialize_decoder(self.decoder)
        self.head: nn.Module = (
            MetaHead(
                decoder_channels[-1],
                num_classes,
                widths=meta_widths,
                kernel=meta_kernel,
                bn=meta_bn,
                dropout=meta_dropout,
            )
            if head == "meta"
            else nn.Conv2d(decoder_channels[-1], num_classes, 3, padding=1)
        )
        for name, file in share_out(weights, list(self.encoders)).items():
            encoder = mobilenet if name == "mobilenet_v2" else inception
            encoder.load(file, key=f"model.weights.{name}", part=f"encoders.{name}.")
        if freeze_encoders:
            self.encoders.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> DualEncoder:
        """Switch between training and evaluation; frozen encoders stay in evaluation."""
        super().train(mode)
        if self.freeze_encoders:
            self.encoders.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (B, num_classes, H, W) of an image (B, 1 or in_channels, H, W)."""
        height, width = image.shape[-2:]
        x = prepare(image, self.in_channels, STRIDE)
        pairs = list(zip(*(encoder(x) for encoder in self.encoders.values()), strict=True))
        levels = (
            [torch.cat(pair, dim=1) for pair in pairs]
            if self.fusions is None
            else [fuse(*pair) for fuse, pair in zip(self.fusions, pairs, strict=True)]
        )
        logits: Tensor = self.head(self.decoder([x, *levels]))
        return logits[..., :height, :width]


class _ProjectedSum(nn.Module):
    """Sum of two feature maps, each projected by a 1x1 convolution."""

    def __init__(self, inputs: Sequence[int], channels: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(nn.Conv2d(count, channels, 1) for count in inputs)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        out: Tensor = self.projections[0](first) + self.projections[1](second)
        return out


def _check_arguments(fusion: str, head: str, decoder_channels: Sequence[int]) -> None:
    if fusion not in get_args(Fusion):
        msg = f"fusion={fusion!r} is not one of {', '.join(get_args(Fusion))}"
        raise ValueError(msg)
    if head not in get_args(Head):
        msg = f"head={head!r} is not one of {', '.join(get_args(Head))}"
        raise ValueError(msg)
    if len(decoder_channels) != 5 or min(decoder_channels) < 1:
        msg = (
            f"decoder_channels={list(decoder_channels)} must be five channel counts of at least 1, the deepest level "
            "first, as in [256, 128, 64, 32, 16]"
        )
        raise ValueError(msg)
