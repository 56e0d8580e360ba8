"""Focal loss of whole images: cross-entropy that turns away from images that are right already."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lungseg.losses.class_weights import ClassWeights, fit
from lungseg.losses.class_weights import class_weights as weights_of
from lungseg.losses.labels import check_class, mean_over_images
from lungseg.types import Kind


class FocalClassesLoss(nn.Module):
    r"""Mean focal loss of images that are of one class each.

    With p = softmax(logits), y the class of an image and w the class weights:

        L = - w_y (1 - p_y)^gamma log(p_y)

    averaged over the images whose class is known. 1 - p_y is computed from the logits of the other classes, so that
    neither the value nor the gradient is lost near p_y = 1. For labels that do not exclude one another the asymmetric
    loss with equal exponents and margin 0 is the focal loss.

    Args:
        gamma: how fast images that are right lose weight, >= 0; 0 = cross-entropy.
        class_weights: none, inverse or one number for each class, see CrossEntropyLoss.
        counts: (C, 2) training images that are of each class and that are not; filled in from the data.

    Shape:
        logits (B, C) any float dtype, label (B,) int64 in [0, C), negative = unknown -> scalar, float32 (float64 for
        float64 logits), in nats.

    Raises:
        ValueError: an argument is out of range; a shape differs; a label is no class.

    Source:
        Lin et al. 2017, arXiv:1708.02002, eq. 5, there of a sigmoid.

    Example:
        >>> import torch
        >>> round(FocalClassesLoss()(torch.zeros(1, 2), torch.tensor([0])).item(), 4)  # (1/2)^2 ln 2
        0.1733
    """

    kinds: tuple[Kind, ...] = ("multiclass",)
    per_image = True
    class_weights: Tensor | None

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        class_weights: ClassWeights | Sequence[float] = "none",
        counts: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        if gamma < 0:
            msg = f"gamma={gamma} is negative: it would weigh images up that are right already"
            raise ValueError(msg)
        # not persistent: they come from config and data, and a checkpoint must not bring back older ones
        self.register_buffer("class_weights", weights_of(class_weights, counts), persistent=False)
        self.gamma = gamma

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss (scalar) of logits (B, C) against classes (B,)."""
        logits, label, known = check_class(logits, label)
        weight = fit("loss.class_weights", self.class_weights, logits)
        every, place = logits.logsumexp(dim=1), label[:, None]
        right = logits.gather(1, place).squeeze(1) - every
        wrong = logits.scatter(1, place, float("-inf")).logsumexp(dim=1) - every
        images = -(self.gamma * wrong).exp() * right
        if weight is not None:
            images = images * weight[label]
        return mean_over_images(images, known)
