"""What every segmentation network does with its input: check it, repeat grey, pad to what its levels need."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def check_channels(in_channels: int, num_classes: int) -> None:
    """Refuse channel counts below 1.

    Raises:
        ValueError: names both.
    """
    if in_channels < 1 or num_classes < 1:
        msg = f"in_channels={in_channels} and num_classes={num_classes} must both be at least 1"
        raise ValueError(msg)


def prepare(image: Tensor, in_channels: int, stride: int = 1, *, smallest: int = 1) -> Tensor:
    """Repeat a grey image to `in_channels` and pad it at the bottom and right to a multiple of `stride`.

    The last row and column are repeated: zeros would draw a dark edge that looks like a collimation border, and
    reflection fails on images smaller than the padding. Crop the logits back with `logits[..., :H, :W]`.

    Args:
        image: (B, 1 or in_channels, H, W), any float dtype.
        in_channels: channels the first convolution sees.
        stride: what both sides must be multiples of.
        smallest: sides are padded up to at least this many pixels.

    Returns:
        (B, in_channels, H', W') with H', W' multiples of `stride`, the same dtype.

    Raises:
        ValueError: the image has neither 1 nor `in_channels` channels.
    """
    if image.ndim != 4 or image.shape[1] not in (1, in_channels):
        msg = (
            f"image has shape {tuple(image.shape)}, but this network takes (B, C, H, W) with C = 1"
            + (f" or {in_channels}" if in_channels != 1 else "")
            + f" (in_channels={in_channels}). Set model.in_channels to the channels of the image"
        )
        raise ValueError(msg)
    height, width = (max(side, smallest) for side in image.shape[-2:])
    bottom = height + -height % stride - image.shape[-2]
    right = width + -width % stride - image.shape[-1]
    if bottom or right:
        image = F.pad(image, (0, right, 0, bottom), mode="replicate")
    return image.expand(-1, in_channels, -1, -1)
