"""Binary cross-entropy plus soft Dice."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from lungseg.losses.bce import BCELoss
from lungseg.losses.inputs import check_inputs, mean_over_images


class BCEDiceLoss(nn.Module):
    r"""Weighted sum of binary cross-entropy and one minus soft Dice.

    With p = sigmoid(logits) and t = mask, summed over the valid pixels of one image and structure:

        L = bce_weight BCE + dice_weight (1 - (2 sum p t + s) / (sum p + sum t + s))

    The Dice term is averaged over structures, then over the images that have valid pixels, so that a batch's loss is
    the mean of its images. The public ancestor of the paper's code sums over all pixels of the batch at once instead:
    `per_image=False` (then also the loss depends on how images fall into batches).

    Args:
        bce_weight: weight of the cross-entropy, >= 0.
        dice_weight: weight of the Dice term, >= 0.
        smooth: s above, in pixels, > 0; two empty masks have Dice 1.
        per_image: Dice of each image (True) or of all pixels of the batch together (False).
        pos_weight: see BCELoss; it does not touch the Dice term.

    Shape:
        logits (B, K, H, W) any float dtype, mask (B, K, H, W) bool or uint8 in {0, 1}, valid (B, 1, H, W) or None
        -> scalar, float32 (float64 for float64 logits).

    Raises:
        ValueError: a weight or `smooth` is out of range; a shape differs; the mask is not of 0 and 1.

    Source:
        Soft Dice: Milletari et al. 2016, arXiv:1606.04797, eq. 1, here with p instead of p^2 and with s.

    Example:
        >>> import torch
        >>> mask = torch.ones(1, 1, 4, 4, dtype=torch.uint8)
        >>> round(BCEDiceLoss()(torch.full((1, 1, 4, 4), 30.0), mask).item(), 6)
        0.0
    """

    def __init__(
        self,
        *,
        bce_weight: float = 1.0,
        dice_weight: float = 1.0,
        smooth: float = 1.0,
        per_image: bool = True,
        pos_weight: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if bce_weight < 0 or dice_weight < 0 or bce_weight + dice_weight == 0:
            msg = f"bce_weight={bce_weight} and dice_weight={dice_weight} must be >= 0, and not both 0"
            raise ValueError(msg)
        if smooth <= 0:
            msg = f"smooth={smooth} must be above 0 pixels: with 0 the Dice of two empty masks is 0/0"
            raise ValueError(msg)
        self.bce = BCELoss(pos_weight=pos_weight)
        self.bce_weight = bce_weight
        self.dice_weight = dice_weight
        self.smooth = smooth
        self.per_image = per_image

    def forward(self, logits: Tensor, mask: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the loss (scalar) of logits (B, K, H, W) against a mask (B, K, H, W)."""
        bce: Tensor = self.bce(logits, mask, valid)
        return self.bce_weight * bce + self.dice_weight * self._dice_loss(logits, mask, valid)

    def _dice_loss(self, logits: Tensor, mask: Tensor, valid: Tensor | None) -> Tensor:
        logits, truth, valid = check_inputs(logits, mask, valid)
        if valid is not None:
            logits, truth = logits.masked_fill(valid == 0, -math.inf), truth * valid
        probability = logits.sigmoid()
        pixels = (2, 3) if self.per_image else (0, 2, 3)
        overlap = (probability * truth).sum(dim=pixels)
        size = probability.sum(dim=pixels) + truth.sum(dim=pixels)
        loss = 1 - (2 * overlap + self.smooth) / (size + self.smooth)
        return mean_over_images(loss.mean(dim=1), valid) if self.per_image else loss.mean()
