"""Binary cross-entropy plus soft Dice."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lungseg.losses.bce import BCELoss
from lungseg.losses.dice import DiceLoss
from lungseg.losses.inputs import Form, check_term_weights
from lungseg.losses.region import Empty


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
        smooth: s above, in pixels, > 0.
        per_image: Dice of each image (True) or of all pixels of the batch together (False).
        empty: the Dice term where the mask is empty: penalise | ignore | formula, see RegionLoss.
        pos_weight: see BCELoss; it does not touch the Dice term.
        label_smoothing: see BCELoss; it does not touch the Dice term.

    Shape:
        logits (B, K, H, W) any float dtype, mask (B, K, H, W) bool or uint8 in {0, 1}, valid (B, 1, H, W) or None
        -> scalar, float32 (float64 for float64 logits).

    Raises:
        ValueError: an argument is out of range; a shape differs; the logits are those of a softmax; the mask is not
            of 0 and 1.

    Source:
        Soft Dice: Milletari et al. 2016, arXiv:1606.04797, eq. 1, here with p instead of p^2 and with s.

    Example:
        >>> import torch
        >>> mask = torch.ones(1, 1, 4, 4, dtype=torch.uint8)
        >>> round(BCEDiceLoss()(torch.full((1, 1, 4, 4), 30.0), mask).item(), 6)
        0.0
    """

    forms: tuple[Form, ...] = ("sigmoid",)

    def __init__(
        self,
        *,
        bce_weight: float = 1.0,
        dice_weight: float = 1.0,
        smooth: float = 1.0,
        per_image: bool = True,
        empty: Empty = "penalise",
        pos_weight: float | Sequence[float] | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        check_term_weights(bce_weight=bce_weight, dice_weight=dice_weight)
        self.bce = BCELoss(pos_weight=pos_weight, label_smoothing=label_smoothing)
        self.dice = DiceLoss(smooth=smooth, per_image=per_image, empty=empty)
        self.bce_weight = bce_weight
        self.dice_weight = dice_weight
        self.per_image = per_image

    def forward(self, logits: Tensor, mask: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the loss (scalar) of logits (B, K, H, W) against a mask (B, K, H, W)."""
        bce: Tensor = self.bce(logits, mask, valid)
        dice: Tensor = self.dice(logits, mask, valid)
        return self.bce_weight * bce + self.dice_weight * dice
