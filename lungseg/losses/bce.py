"""Binary cross-entropy on logits, one term per structure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lungseg.losses.inputs import check_inputs, mean_over_images


class BCELoss(nn.Module):
    r"""Mean binary cross-entropy of the valid pixels, with a sigmoid inside.

    With p = sigmoid(logits), t = mask and w = pos_weight, for each pixel and structure

        L = - w t log(p) - (1 - t) log(1 - p)

    averaged over structures and the valid pixels of an image, then over the images that have valid pixels: a batch's
    loss is the mean of its images. Computed from logits, so it neither overflows nor saturates.

    Args:
        pos_weight: weight of the pixels of a structure, > 0, dimensionless: one number for all structures or one
            for each; None = 1.

    Shape:
        logits (B, K, H, W) any float dtype, mask (B, K, H, W) bool or uint8 in {0, 1}, valid (B, 1, H, W) or None
        -> scalar, float32 (float64 for float64 logits), in nats.

    Raises:
        ValueError: `pos_weight` is not positive or does not fit K; a shape differs; the mask is not of 0 and 1.

    Source:
        Paper key `resunet`, eq. 5 (there w = 1).

    Example:
        >>> round(BCELoss()(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2, dtype=torch.uint8)).item(), 4)  # ln 2
        0.6931
    """

    pos_weight: Tensor | None

    def __init__(self, *, pos_weight: float | Sequence[float] | None = None) -> None:
        super().__init__()
        weight = None
        if pos_weight is not None:
            weights = [float(pos_weight)] if isinstance(pos_weight, int | float) else [float(w) for w in pos_weight]
            if not weights or not all(0 < w < math.inf for w in weights):
                msg = f"pos_weight={pos_weight} must be positive and finite: one number, or one for each structure"
                raise ValueError(msg)
            weight = torch.tensor(weights).view(-1, 1, 1)
        # not persistent: it comes from the config, and a checkpoint must not bring back an older one
        self.register_buffer("pos_weight", weight, persistent=False)

    def forward(self, logits: Tensor, mask: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the loss (scalar) of logits (B, K, H, W) against a mask (B, K, H, W)."""
        logits, mask, valid = check_inputs(logits, mask, valid)
        weight = self.pos_weight
        if weight is not None and weight.shape[0] not in (1, logits.shape[1]):
            msg = (
                f"loss.pos_weight has {weight.shape[0]} values for {logits.shape[1]} structures: "
                "give one for all, or one for each"
            )
            raise ValueError(msg)
        weight = None if weight is None else weight.to(logits.dtype)
        if valid is None:
            return F.binary_cross_entropy_with_logits(logits, mask, pos_weight=weight)
        # a pixel that is left out may hold an infinite logit, and inf * 0 is NaN: fill first, then weigh
        pixels = F.binary_cross_entropy_with_logits(
            logits.masked_fill(valid == 0, 0), mask, pos_weight=weight, reduction="none"
        )
        count = valid.sum(dim=(1, 2, 3)) * logits.shape[1]
        return mean_over_images((pixels * valid).sum(dim=(1, 2, 3)) / count.clamp(min=1), valid)
