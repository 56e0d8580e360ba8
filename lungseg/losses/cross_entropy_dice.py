"""Softmax cross-entropy plus soft Dice, for classes that exclude one another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lungseg.losses.dice import DiceLoss
from lungseg.losses.inputs import (
    Form,
    check_inputs,
    check_term_weights,
    mean_over_images,
    positive_weights,
    with_background,
)
from lungseg.losses.region import Empty


class CrossEntropyDiceLoss(nn.Module):
    r"""Weighted sum of the cross-entropy of a softmax and one minus soft Dice.

    With p = softmax(logits), t the one-hot truth with background, w the class weights, summed over the valid pixels
    of one image and the K + 1 classes c:

        L = ce_weight (- sum w_c t_c log p_c) / (sum w_c t_c) + dice_weight Dice

    averaged over the images that have valid pixels. Dice is that of DiceLoss: the mean over structures, or over all
    classes with `include_background`.

    Args:
        ce_weight: weight of the cross-entropy, >= 0.
        dice_weight: weight of the Dice term, >= 0.
        class_weights: w above, K + 1 numbers > 0, background first; None = 1.
        smooth: of the Dice term, in pixels, > 0.
        per_image: both terms of each image (True) or of all pixels of the batch together (False).
        empty: the Dice term where a mask is empty: penalise | ignore | formula, see RegionLoss.
        include_background: average Dice over the background class too.

    Shape:
        logits (B, K + 1, H, W) any float dtype, mask (B, K, H, W) bool or uint8 in {0, 1} without overlap,
        valid (B, 1, H, W) or None -> scalar, float32 (float64 for float64 logits).

    Raises:
        ValueError: an argument is out of range or does not fit K + 1; a shape differs; the logits are those of
            sigmoids; the mask is not of 0 and 1, or its structures overlap.

    Source:
        The sum is that of nnU-Net, Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.

    Example:
        >>> mask = torch.ones(1, 1, 2, 2, dtype=torch.uint8)  # ln 2 + 1 - (2 * 2 + 1) / (2 + 4 + 1)
        >>> round(CrossEntropyDiceLoss()(torch.zeros(1, 2, 2, 2), mask).item(), 4)
        0.9789
    """

    forms: tuple[Form, ...] = ("softmax",)
    class_weights: Tensor | None

    def __init__(
        self,
        *,
        ce_weight: float = 1.0,
        dice_weight: float = 1.0,
        class_weights: Sequence[float] | None = None,
        smooth: float = 1.0,
        per_image: bool = True,
        empty: Empty = "penalise",
        include_background: bool = False,
    ) -> None:
        super().__init__()
        check_term_weights(ce_weight=ce_weight, dice_weight=dice_weight)
        weights = None if class_weights is None else positive_weights("class_weights", class_weights)
        # not persistent: it comes from the config, and a checkpoint must not bring back an older one
        self.register_buffer("class_weights", weights, persistent=False)
        self.dice = DiceLoss(smooth=smooth, per_image=per_image, empty=empty, include_background=include_background)
        self.ce_weight = ce_weight
        self.dice_weight = dice_weight
        self.per_image = per_image

    def forward(self, logits: Tensor, mask: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the loss (scalar) of logits (B, K + 1, H, W) against a mask (B, K, H, W)."""
        cross_entropy = self._cross_entropy(logits, mask, valid)
        dice: Tensor = self.dice(logits, mask, valid)
        return self.ce_weight * cross_entropy + self.dice_weight * dice

    def _cross_entropy(self, logits: Tensor, mask: Tensor, valid: Tensor | None) -> Tensor:
        logits, mask, valid = check_inputs(logits, mask, valid, forms=self.forms)
        weighed = with_background(mask)
        if self.class_weights is not None:
            if self.class_weights.shape[0] != logits.shape[1]:
                msg = (
                    f"loss.class_weights has {self.class_weights.shape[0]} values for {logits.shape[1]} classes: give "
                    "one for each, the background first"
                )
                raise ValueError(msg)
            weighed = weighed * self.class_weights.to(logits.dtype).view(-1, 1, 1)
        if valid is not None:
            logits, weighed = logits.masked_fill(valid == 0, 0), weighed * valid
        pixels = (1, 2, 3) if self.per_image else (0, 1, 2, 3)
        total = weighed.sum(dim=pixels).clamp(min=torch.finfo(logits.dtype).tiny)
        loss = -(weighed * logits.log_softmax(dim=1)).sum(dim=pixels) / total
        return mean_over_images(loss, valid) if self.per_image else loss
