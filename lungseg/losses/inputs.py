"""What every segmentation loss does with its inputs: check them, and take means over valid pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def check_inputs(logits: Tensor, mask: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Check shapes and values, and cast to the dtype the loss is computed in.

    That is float32, or float64 where the logits are float64 (so that gradients can be checked by finite differences).
    The values of the mask are looked at on the CPU only: on another device it would force a synchronisation each step.

    Args:
        logits: raw scores, (B, K, H, W), any float dtype.
        mask: structure = 1, background = 0, (B, K, H, W), bool or uint8.
        valid: (B, 1, H, W), 0 = pixel left out, or None for all pixels.

    Returns:
        logits (B, K, H, W), mask (B, K, H, W) and valid (B, 1, H, W) or None, all of one dtype.

    Raises:
        ValueError: a shape does not fit, the mask is neither bool nor uint8, or it holds a value above 1.
    """
    if logits.ndim != 4 or logits.shape != mask.shape:
        msg = (
            f"logits have shape {tuple(logits.shape)} and the mask {tuple(mask.shape)}: both must be the same "
            "(B, K, H, W). Set model.num_classes to the number of structures"
        )
        raise ValueError(msg)
    if mask.dtype not in (torch.uint8, torch.bool):
        msg = f"mask has dtype {mask.dtype}, but must be bool or uint8 with values 0 and 1"
        raise ValueError(msg)
    if valid is not None and valid.shape != (logits.shape[0], 1, *logits.shape[2:]):
        msg = (
            f"valid has shape {tuple(valid.shape)}, but logits of shape {tuple(logits.shape)} need "
            f"{(logits.shape[0], 1, *logits.shape[2:])}"
        )
        raise ValueError(msg)
    if mask.device.type == "cpu" and mask.dtype == torch.uint8 and mask.numel() and int(mask.max()) > 1:
        msg = f"mask holds the value {int(mask.max())}, but may only hold 0 and 1. Threshold it first, as in mask > 127"
        raise ValueError(msg)
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    return logits.to(dtype), mask.to(dtype), None if valid is None else valid.to(torch.bool).to(dtype)


def mean_over_images(per_image: Tensor, valid: Tensor | None) -> Tensor:
    """Mean of (B,) values over the images that have a pixel with valid (B, 1, H, W) = 1; 0 when none has."""
    if valid is None:
        return per_image.mean()
    counted = valid.flatten(1).amax(dim=1).to(per_image.dtype)
    return (per_image * counted).sum() / counted.sum().clamp(min=1)
