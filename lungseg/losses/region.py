"""What Dice, Jaccard and Tversky losses share: sums over a region, and what an empty mask costs."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lungseg.losses.inputs import Form, check_choice, check_inputs, mean_over_images, probabilities

Empty = Literal["penalise", "ignore", "formula"]


class RegionLoss(nn.Module):
    r"""One minus a soft overlap index with weights for false positives and false negatives.

    With probabilities p and truth t (sigmoids and structures, or a softmax and classes), over the valid pixels of one
    image (or of the whole batch) and one structure: TP = sum p t, FP = sum p (1 - t), FN = sum (1 - p) t and

        L = 1 - (TP + s) / (TP + alpha FP + beta FN + s)

    averaged over structures, then over the images that have valid pixels.

    An empty mask (t = 0 everywhere) leaves nothing to overlap with. The formula then gives alpha FP / (alpha FP + s):
    with s of about a pixel it is near 1 for any false positive, large or small, and its gradient, of the order of
    s / FP^2, vanishes; s only decides how fast. So there is a choice:

    - penalise: the same index for the complement, of which the whole image is made. With N pixels its
      TP = sum (1 - p), it has no false positive, and FN = sum p, weighed by alpha since these are the structure's
      false positives:

          L = alpha sum p / (N - (1 - alpha) sum p)

      0 for no false positive, 1 for nothing else, with a gradient at every pixel of the order of 1 / N, like that of
      the formula where there is a structure; s plays no part.
    - ignore: the structure is left out of the mean over structures, so a false positive costs nothing; an image
      whose structures are all empty counts as 0.
    - formula: the formula as it stands, as most published code has it.

    Args:
        alpha: weight of false positives, > 0, dimensionless.
        beta: weight of false negatives, > 0.
        smooth: s above, in pixels, > 0. It keeps the quotient defined and draws the loss of structures of s pixels
            and smaller towards 0.
        per_image: sums over each image (True), so that a batch's loss is the mean of its images, or over all pixels
            of the batch together (False), so that the loss depends on how images fall into batches.
        empty: penalise | ignore | formula, see above. Pooled sums are empty where the whole batch is.
        include_background: under a softmax, average over the background class too; sigmoids have none.

    Raises:
        ValueError: an argument is out of range.
    """

    forms: tuple[Form, ...] = ("sigmoid", "softmax")

    def __init__(
        self,
        *,
        alpha: float,
        beta: float,
        smooth: float,
        per_image: bool,
        empty: Empty,
        include_background: bool,
    ) -> None:
        super().__init__()
        if alpha <= 0 or beta <= 0:
            msg = f"alpha={alpha} and beta={beta} must be above 0: without one, a mask of all or of nothing is perfect"
            raise ValueError(msg)
        if smooth <= 0:
            msg = f"smooth={smooth} must be above 0 pixels (1e-15 will do): with 0 two empty masks give 0/0"
            raise ValueError(msg)
        check_choice("empty", empty, ("penalise", "ignore", "formula"))
        self.alpha = alpha
        self.beta = beta
        self._smooth = smooth  # of this formula: Dice gives half of its own
        self.per_image = per_image
        self.empty = empty
        self.include_background = include_background

    def forward(self, logits: Tensor, mask: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the loss (scalar) of logits (B, K or K + 1, H, W) against a mask (B, K, H, W)."""
        logits, mask, valid = check_inputs(logits, mask, valid, forms=self.forms)
        probability, truth = probabilities(logits, mask, valid)
        if not self.include_background:
            structures = slice(-mask.shape[1], None)
            probability, truth = probability[:, structures], truth[:, structures]
        pixels = (2, 3) if self.per_image else (0, 2, 3)
        overlap = (probability * truth).sum(dim=pixels)
        predicted, size = probability.sum(dim=pixels), truth.sum(dim=pixels)
        top = overlap + self._smooth
        loss = 1 - top / (top + self.alpha * (predicted - overlap) + self.beta * (size - overlap))
        if self.empty == "penalise":
            # (B, 1) or (1,), in the shape of the sums; images without a valid pixel do not count in the end
            area = torch.ones_like(truth[:, :1]) if valid is None else valid
            area = area.sum(dim=pixels).clamp(min=1)
            complement = self.alpha * predicted / (area - (1 - self.alpha) * predicted)
            loss = loss.where(size > 0, complement)
        loss = mean_over_structures(loss, size > 0 if self.empty == "ignore" else None)
        return mean_over_images(loss, valid) if self.per_image else loss


def mean_over_structures(values: Tensor, counted: Tensor | None) -> Tensor:
    """Mean over the last dimension, of those that are counted where that is given; 0 when none is."""
    if counted is None:
        return values.mean(dim=-1)
    return (values * counted).sum(dim=-1) / counted.sum(dim=-1).clamp(min=1)
