"""Binary cross-entropy plus soft Jaccard."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lungseg.losses.bce import BCELoss
from lungseg.losses.inputs import Form, check_term_weights
from lungseg.losses.jaccard import JaccardLoss
from lungseg.losses.region import Empty


class BCEJaccardLoss(nn.Module):
    r"""Weighted sum of binary cross-entropy and one minus the soft Jaccard index.

    With p = sigmoid(logits) and t = mask, summed over the valid pixels of one image and structure:

        L = bce_weight BCE + jaccard_weight (1 - (sum p t + s) / (sum p + sum t - sum p t + s))

    The Jaccard term is averaged over structures, then over the images that have valid pixels.

    Args:
        bce_weight: weight of the cross-entropy, >= 0.
        jaccard_weight: weight of the Jaccard term, >= 0.
        smooth: s above, in pixels, > 0.
        per_image: Jaccard of each image (True) or of all pixels of the batch together (False).
        empty: the Jaccard term where the mask is empty: penalise | ignore | formula, see RegionLoss.
        pos_weight: see BCELoss; it does not touch the Jaccard term.
        label_smoothing: see BCELoss; it does not touch the Jaccard term.

    Shape:
        logits (B, K, H, W) any float dtype, mask (B, K, H, W) bool or uint8 in {0, 1}, valid (B, 1, H, W) or None
        -> scalar, float32 (float64 for float64 logits).

    Raises:
        ValueError: an argument is out of range; a shape differs; the logits are those of a softmax; the mask is not
            of 0 and 1.

    Example:
        >>> import torch
        >>> mask = torch.ones(1, 1, 4, 4, dtype=torch.uint8)
        >>> round(BCEJaccardLoss()(torch.full((1, 1, 4, 4), 30.0), mask).item(), 6)
        0.0
    """

    forms: tuple[Form, ...] = ("sigmoid",)

    def __init__(
        self,
        *,
        bce_weight: float = 1.0,
        jaccard_weight: float = 1.0,
        smooth: float = 1.0,
        per_image: bool = True,
        empty: Empty = "penalise",
        pos_weight: float | Sequence[float] | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        check_term_weights(bce_weight=bce_weight, jaccard_weight=jaccard_weight)
        self.bce = BCELoss(pos_weight=pos_weight, label_smoothing=label_smoothing)
        self.jaccard = JaccardLoss(smooth=smooth, per_image=per_image, empty=empty)
        self.bce_weight = bce_weight
        self.jaccard_weight = jaccard_weight
        self.per_image = per_image

    def forward(self, logits: Tensor, mask: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the loss (scalar) of logits (B, K, H, W) against a mask (B, K, H, W)."""
        bce: Tensor = self.bce(logits, mask, valid)
        jaccard: Tensor = self.jaccard(logits, mask, valid)
        return self.bce_weight * bce + self.jaccard_weight * jaccard
