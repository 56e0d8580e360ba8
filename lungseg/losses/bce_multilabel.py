"""Binary cross-entropy of labels that an image may bear or lack, each on its own."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lungseg.losses.class_weights import PosWeight, fit, pos_weights
from lungseg.losses.labels import check_labels, mean_over_images
from lungseg.types import Kind


class BCEMultilabelLoss(nn.Module):
    r"""Mean binary cross-entropy of the labels that are known, with a sigmoid inside.

    With p = sigmoid(logits), t = label and w = pos_weight, for each image and label

        L = - w t log(p) - (1 - t) log(1 - p)

    averaged over the labels of an image that are known, then over the images of which some are: a batch's loss is the
    mean of its images. Computed from logits, so it neither overflows nor saturates.

    Args:
        pos_weight: weight of presence: none; neg_pos: (N - n) / n, inverse: N / (L n) or sqrt: ((N - n) / n)^0.5, from
            the training part's N images with a known label, n of which bear it; one number > 0 for all labels, or one
            for each.
        counts: (L, 2) training images that bear each label and that do not; filled in from the data.

    Shape:
        logits (B, L) any float dtype, label (B, L) float in {0, 1}, NaN = unknown -> scalar, float32 (float64 for
        float64 logits), in nats.

    Raises:
        ValueError: an argument is out of range; a shape differs; a label is neither 0, 1 nor NaN.

    Source:
        Paper key `cxr_classification`, section 2: "class weights", whose formula it does not give.

    Example:
        >>> import torch
        >>> label = torch.tensor([[1.0, float("nan")]])
        >>> round(BCEMultilabelLoss()(torch.zeros(1, 2), label).item(), 4)  # ln 2
        0.6931
    """

    kinds: tuple[Kind, ...] = ("multilabel",)
    per_image = True
    pos_weight: Tensor | None

    def __init__(
        self,
        *,
        pos_weight: PosWeight | float | Sequence[float] = "none",
        counts: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        # not persistent: it comes from config and data, and a checkpoint must not bring back an older one
        self.register_buffer("pos_weight", pos_weights(pos_weight, counts), persistent=False)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss (scalar) of logits (B, L) against labels (B, L)."""
        logits, label, known = check_labels(logits, label)
        weight = fit("loss.pos_weight", self.pos_weight, logits)
        each = F.binary_cross_entropy_with_logits(logits, label, pos_weight=weight, reduction="none")
        return mean_over_images(each, known)
