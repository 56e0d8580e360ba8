"""Asymmetric loss: labels that are rightly absent count little, and those that are nearly sure to be, nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lungseg.losses.labels import check_labels, mean_over_images
from lungseg.types import Kind


class AsymmetricLoss(nn.Module):
    r"""Mean asymmetric loss of the labels that are known.

    With p = sigmoid(logits), t = label, m = margin and q = max(p - m, 0), for each image and label

        L = - t (1 - p)^gamma_pos log(p) - (1 - t) q^gamma_neg log(1 - q)

    averaged over the labels of an image that are known, then over the images of which some are. The source adds up over
    labels instead. A label that is absent and predicted below m costs nothing and pulls nowhere, which is meant: it may
    be a wrong one. With equal exponents and m = 0 this is the focal loss; with both 0, binary cross-entropy.

    Args:
        gamma_neg: exponent of absent labels, >= 0.
        gamma_pos: exponent of present labels, >= 0.
        margin: m above, a probability, in [0, 1).

    Shape:
        logits (B, L) any float dtype, label (B, L) float in {0, 1}, NaN = unknown -> scalar, float32 (float64 for
        float64 logits), in nats.

    Raises:
        ValueError: an argument is out of range; a shape differs; a label is neither 0, 1 nor NaN.

    Source:
        Ben-Baruch et al. 2020, arXiv:2009.14119, section 2.

    Example:
        >>> label = torch.tensor([[1.0, float("nan")]])
        >>> round(AsymmetricLoss()(torch.zeros(1, 2), label).item(), 4)  # ln 2, as gamma_pos is 0
        0.6931
    """

    kinds: tuple[Kind, ...] = ("multilabel",)
    per_image = True

    def __init__(self, *, gamma_neg: float = 4.0, gamma_pos: float = 0.0, margin: float = 0.05) -> None:
        super().__init__()
        if min(gamma_neg, gamma_pos) < 0:
            msg = f"gamma_neg={gamma_neg} and gamma_pos={gamma_pos} must not be negative: labels that are right already"
            msg += " would weigh more"
            raise ValueError(msg)
        if not 0 <= margin < 1:
            msg = f"margin={margin} is a probability and must be in [0, 1)"
            raise ValueError(msg)
        self.gamma_neg = gamma_neg
        self.gamma_pos = gamma_pos
        self.margin = margin

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss (scalar) of logits (B, L) against labels (B, L)."""
        logits, label, known = check_labels(logits, label)
        present = -(self.gamma_pos * F.logsigmoid(-logits)).exp() * F.logsigmoid(logits)
        return mean_over_images(torch.where(label > 0, present, self._absent(logits)), known)

    def _absent(self, logits: Tensor) -> Tensor:
        """Return - q^gamma_neg log(1 - q) of each logit."""
        if self.margin == 0:
            return -(self.gamma_neg * F.logsigmoid(logits)).exp() * F.logsigmoid(-logits)
        probability = logits.sigmoid()
        counts = probability > self.margin
        # of what counts for nothing, any other value: 0 to a power below 1 has an infinite slope, and inf * 0 is NaN
        q = torch.where(counts, probability - self.margin, 0.5)
        rest = torch.where(counts, (-logits).sigmoid() + self.margin, 0.5)
        return torch.where(counts, -(q**self.gamma_neg) * rest.log(), 0.0)
