"""Cross-entropy of a softmax over classes, of whole images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lungseg.losses.class_weights import ClassWeights, fit
from lungseg.losses.class_weights import class_weights as weights_of
from lungseg.losses.labels import check_class, mean_over_images
from lungseg.types import Kind


class CrossEntropyLoss(nn.Module):
    r"""Mean cross-entropy of images that are of one class each.

    With p = softmax(logits), y the class of an image, w the class weights, e = label_smoothing and C classes:

        L = - (1 - e) w_y log(p_y) - e / C sum_c w_c log(p_c)

    averaged over the images whose class is known: a batch's loss is the mean of its images. torch divides by the sum of
    the weights in a batch instead, so that there an image's part depends on which others it meets.

    Args:
        class_weights: none; inverse: N / (C n_c), from the training part's N images, n_c of class c; or one number > 0
            for each class.
        label_smoothing: e above, in [0, 1).
        counts: (C, 2) training images that are of each class and that are not; filled in from the data.

    Shape:
        logits (B, C) any float dtype, label (B,) int64 in [0, C), negative = unknown -> scalar, float32 (float64 for
        float64 logits), in nats.

    Raises:
        ValueError: an argument is out of range; a shape differs; a label is no class.

    Source:
        Paper key `cxr_classification`, section 2 (there w = 1, e = 0); smoothing: Szegedy et al. 2016,
        arXiv:1512.00567, section 7.

    Example:
        >>> import torch
        >>> round(CrossEntropyLoss()(torch.zeros(2, 4), torch.tensor([0, 3])).item(), 4)  # ln 4
        1.3863
    """

    kinds: tuple[Kind, ...] = ("multiclass",)
    per_image = True
    class_weights: Tensor | None

    def __init__(
        self,
        *,
        class_weights: ClassWeights | Sequence[float] = "none",
        label_smoothing: float = 0.0,
        counts: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            msg = f"label_smoothing={label_smoothing} must lie in [0, 1): it is the share of the truth that is given up"
            raise ValueError(msg)
        # not persistent: they come from config and data, and a checkpoint must not bring back older ones
        self.register_buffer("class_weights", weights_of(class_weights, counts), persistent=False)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss (scalar) of logits (B, C) against classes (B,)."""
        logits, label, known = check_class(logits, label)
        weight = fit("loss.class_weights", self.class_weights, logits)
        images = F.cross_entropy(logits, label, weight=weight, reduction="none", label_smoothing=self.label_smoothing)
        return mean_over_images(images, known)
