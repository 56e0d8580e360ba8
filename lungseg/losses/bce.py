"""Binary cross-entropy on logits, one term per structure."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lungseg.losses.inputs import Form, check_inputs, mean_over_pixels, positive_weights


class BCELoss(nn.Module):
    r"""Mean binary cross-entropy of the valid pixels, with a sigmoid inside.

    With p = sigmoid(logits), t = mask and w = pos_weight, for each pixel and structure

        L = - w t log(p) - (1 - t) log(1 - p)

    averaged over structures and the valid pixels of an image, then over the images that have valid pixels: a batch's
    loss is the mean of its images. Computed from logits, so it neither overflows nor saturates. With
    e = label_smoothing, t is replaced by (1 - e) t + e / 2: a soft target that no logit need run away from.

    Args:
        pos_weight: weight of the pixels of a structure, > 0, dimensionless: one number for all structures or one
            for each; None = 1.
        label_smoothing: e above, in [0, 1).

    Shape:
        logits (B, K, H, W) any float dtype, mask (B, K, H, W) bool or uint8 in {0, 1}, valid (B, 1, H, W) or None
        -> scalar, float32 (float64 for float64 logits), in nats.

    Raises:
        ValueError: `pos_weight` is not positive or does not fit K; `label_smoothing` is out of range; a shape differs;
            the logits are those of a softmax; the mask is not of 0 and 1.

    Source:
        Paper key `resunet`, eq. 5 (there w = 1, e = 0).

    Example:
        >>> import torch
        >>> round(BCELoss()(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2, dtype=torch.uint8)).item(), 4)  # ln 2
        0.6931
    """

    forms: tuple[Form, ...] = ("sigmoid",)
    per_image = True
    pos_weight: Tensor | None

    def __init__(self, *, pos_weight: float | Sequence[float] | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            msg = f"label_smoothing={label_smoothing} must lie in [0, 1): it is the share of the truth that is given up"
            raise ValueError(msg)
        weight = None if pos_weight is None else positive_weights("pos_weight", pos_weight).view(-1, 1, 1)
        # not persistent: it comes from the config, and a checkpoint must not bring back an older one
        self.register_buffer("pos_weight", weight, persistent=False)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, mask: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the loss (scalar) of logits (B, K, H, W) against a mask (B, K, H, W)."""
        logits, truth, valid = check_inputs(logits, mask, valid, forms=self.forms)
        weight = self.pos_weight
        if weight is not None and weight.shape[0] not in (1, logits.shape[1]):
            msg = (
                f"loss.pos_weight has {weight.shape[0]} values for {logits.shape[1]} structures: "
                "give one for all, or one for each"
            )
            raise ValueError(msg)
        weight = None if weight is None else weight.to(logits.dtype)
        if self.label_smoothing:
            truth = truth * (1 - self.label_smoothing) + self.label_smoothing / 2
        if valid is not None:
            # a pixel that is left out may hold an infinite logit, and inf * 0 is NaN: fill first, then weigh
            logits = logits.masked_fill(valid == 0, 0)
        pixels = F.binary_cross_entropy_with_logits(logits, truth, pos_weight=weight, reduction="none")
        return mean_over_pixels(pixels, valid)
