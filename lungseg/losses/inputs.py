"""What every segmentation loss does with its inputs: check them, make probabilities, take means over valid pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Form = Literal["sigmoid", "softmax"]
"""K logits for K structures that may overlap, or K + 1 logits of one softmax, background first."""


def check_inputs(
    logits: Tensor, mask: Tensor, valid: Tensor | None, *, forms: Sequence[Form] = ("sigmoid", "softmax")
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Check shapes and values, and cast to the dtype the loss is computed in.

    That is float32, or float64 where the logits are float64 (so that gradients can be checked by finite differences).
    The values of the mask are looked at on the CPU only: on another device it would force a synchronisation each step.

    Args:
        logits: raw scores, (B, K, H, W) = one sigmoid for each structure, or (B, K + 1, H, W) = a softmax whose first
            class is the background; any float dtype.
        mask: structure = 1, background = 0, (B, K, H, W), bool or uint8, never with a plane for the background.
        valid: (B, 1, H, W), 0 = pixel left out, or None for all pixels.
        forms: what the loss can take.

    Returns:
        logits (B, K or K + 1, H, W), mask (B, K, H, W) and valid (B, 1, H, W) or None, all of one dtype.

    Raises:
        ValueError: a shape does not fit, the loss does not take this number of channels, the mask is neither bool nor
            uint8, it holds a value above 1, or its structures overlap under a softmax.
    """
    _check_shapes(logits, mask, valid)
    form: Form = "softmax" if is_softmax(logits, mask) else "sigmoid"
    if form not in forms:
        raise ValueError(_wrong_form(form, logits.shape[1], mask.shape[1]))
    if mask.dtype not in (torch.uint8, torch.bool):
        msg = f"mask has dtype {mask.dtype}, but must be bool or uint8 with values 0 and 1"
        raise ValueError(msg)
    if mask.device.type == "cpu" and mask.dtype == torch.uint8 and mask.numel() and int(mask.max()) > 1:
        msg = f"mask holds the value {int(mask.max())}, but may only hold 0 and 1. Threshold it first, as in mask > 127"
        raise ValueError(msg)
    if form == "softmax" and mask.device.type == "cpu" and mask.shape[1] > 1:
        _check_overlap(mask, valid)
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    return logits.to(dtype), mask.to(dtype), None if valid is None else valid.to(torch.bool).to(dtype)


def is_softmax(logits: Tensor, mask: Tensor) -> bool:
    """Tell whether logits hold one channel more than the mask has structures: a softmax, background first."""
    return logits.shape[1] == mask.shape[1] + 1


def with_background(mask: Tensor) -> Tensor:
    """Put the background in front: (B, K, H, W) without overlap -> (B, K + 1, H, W) one-hot.

    Example:
        >>> with_background(torch.tensor([[[[0.0, 1.0]]]])).tolist()
        [[[[1.0, 0.0]], [[0.0, 1.0]]]]
    """
    return torch.cat([1 - mask.sum(dim=1, keepdim=True), mask], dim=1)


def probabilities(logits: Tensor, mask: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return probability and truth of each structure or class, both 0 at pixels that are left out.

    The logits there are replaced before anything is computed from them: they may be infinite, and inf * 0 is NaN.

    Args:
        logits: (B, K or K + 1, H, W), as `check_inputs` returns them, like the next two.
        mask: (B, K, H, W).
        valid: (B, 1, H, W) or None.

    Returns:
        Two of (B, C, H, W) in [0, 1], C = K for sigmoids, K + 1 with the background first for a softmax.
    """
    if valid is not None:
        logits = logits.masked_fill(valid == 0, 0)
    if is_softmax(logits, mask):
        probability, truth = logits.softmax(dim=1), with_background(mask)
    else:
        probability, truth = logits.sigmoid(), mask
    return (probability, truth) if valid is None else (probability * valid, truth * valid)


def mean_over_images(per_image: Tensor, valid: Tensor | None) -> Tensor:
    """Mean of (B,) values over the images that have a pixel with valid (B, 1, H, W) = 1; 0 when none has."""
    if valid is None:
        return per_image.mean()
    counted = valid.flatten(1).amax(dim=1).to(per_image.dtype)
    return (per_image * counted).sum() / counted.sum().clamp(min=1)


def mean_over_pixels(pixels: Tensor, valid: Tensor | None) -> Tensor:
    """Mean of (B, C, H, W) finite values over C and the valid pixels of an image, then over images."""
    if valid is None:
        return pixels.mean()
    count = valid.sum(dim=(1, 2, 3)) * pixels.shape[1]
    return mean_over_images((pixels * valid).sum(dim=(1, 2, 3)) / count.clamp(min=1), valid)


def positive_weights(key: str, weights: float | Sequence[float]) -> Tensor:
    """Return weights given in a config, one number or several, as a float32 tensor (n,).

    Raises:
        ValueError: one is not positive and finite, or there is none.
    """
    values = [float(weights)] if isinstance(weights, int | float) else [float(w) for w in weights]
    if not values or not all(0 < w < math.inf for w in values):
        msg = f"{key}={weights} must be positive and finite: one number, or one for each channel"
        raise ValueError(msg)
    return torch.tensor(values)


def check_choice(key: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a word that is none of the choices.

    Raises:
        ValueError: names the key, the value and the choices.
    """
    if value not in choices:
        msg = f"{key}={value} is none of {', '.join(choices)}"
        raise ValueError(msg)


def check_term_weights(**weights: float) -> None:
    """Refuse weights of the terms of a sum that are negative or all 0.

    Raises:
        ValueError: names all of them.
    """
    if min(weights.values()) < 0 or not any(weights.values()):
        named = " and ".join(f"{key}={value}" for key, value in weights.items())
        msg = f"{named} must be >= 0, and not both 0"
        raise ValueError(msg)


def _check_shapes(logits: Tensor, mask: Tensor, valid: Tensor | None) -> None:
    fits = logits.ndim == 4 and mask.ndim == 4 and logits.shape[1] - mask.shape[1] in (0, 1)
    if not fits or (logits.shape[0], *logits.shape[2:]) != (mask.shape[0], *mask.shape[2:]):
        structures = mask.shape[1] if mask.ndim == 4 else "K"
        msg = (
            f"logits have shape {tuple(logits.shape)} and the mask {tuple(mask.shape)}: both must be the same "
            "(B, K, H, W), or the logits (B, K + 1, H, W) for a softmax with background. Set model.num_classes to "
            f"{structures}, the number of structures, or one more with task.activation=softmax"
        )
        raise ValueError(msg)
    if valid is not None and valid.shape != (logits.shape[0], 1, *logits.shape[2:]):
        msg = (
            f"valid has shape {tuple(valid.shape)}, but logits of shape {tuple(logits.shape)} need "
            f"{(logits.shape[0], 1, *logits.shape[2:])}"
        )
        raise ValueError(msg)


def _wrong_form(form: Form, channels: int, structures: int) -> str:
    if form == "softmax":
        return (
            f"the loss takes {structures} channels of logits, one sigmoid each, but there are {channels}, "
            f"as of a softmax with background. Set task.activation=sigmoid (model.num_classes={structures}), or choose "
            "a loss for classes, such as loss=cross_entropy_dice"
        )
    return (
        f"the loss takes {structures + 1} channels of logits, a softmax with the background first, but there are "
        f"{channels}, as of one sigmoid for each structure. Set task.activation=softmax "
        f"(model.num_classes={structures + 1}), or choose a loss for sigmoids, such as loss=bce_dice"
    )


def _check_overlap(mask: Tensor, valid: Tensor | None) -> None:
    overlap = mask.sum(dim=1, keepdim=True) > 1
    if valid is not None:
        overlap &= valid != 0
    if overlap.any():
        msg = (
            f"structures of the mask overlap at {int(overlap.sum())} pixels, but a softmax gives each pixel one class. "
            "Set task.activation=sigmoid"
        )
        raise ValueError(msg)
