"""Focal loss: cross-entropy that turns away from pixels that are right already."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lungseg.losses.inputs import Form, check_inputs, is_softmax, mean_over_pixels, with_background


class FocalLoss(nn.Module):
    r"""Mean focal loss of the valid pixels.

    With q the probability of what is true at a pixel (of the structure where it is and of its absence elsewhere, or
    of the true class of a softmax):

        L = - a (1 - q)^gamma log(q)

    where a = alpha at pixels of a structure and 1 - alpha at background (a = 1 without alpha); averaged over
    structures and the valid pixels of an image, then over the images that have valid pixels. The source divides by
    the number of anchors of objects instead, which an image without any structure does not have. 1 - q is computed
    from the logits too, so that neither the value nor the gradient is lost near q = 1.

    Args:
        alpha: weight of the pixels of structures, in (0, 1); None weighs all alike.
        gamma: how fast well-classified pixels lose weight, >= 0; 0 = cross-entropy.

    Shape:
        logits (B, K, H, W) or, for a softmax, (B, K + 1, H, W), any float dtype; mask (B, K, H, W) bool or uint8 in
        {0, 1}; valid (B, 1, H, W) or None -> scalar, float32 (float64 for float64 logits), in nats.

    Raises:
        ValueError: an argument is out of range; a shape differs; the mask is not of 0 and 1.

    Source:
        Lin et al. 2017, arXiv:1708.02002, eq. 5 (there gamma 2 and alpha 0.25).

    Example:
        >>> import torch
        >>> mask = torch.ones(1, 1, 2, 2, dtype=torch.uint8)
        >>> round(FocalLoss()(torch.zeros(1, 1, 2, 2), mask).item(), 4)  # (1/2)^2 ln 2
        0.1733
    """

    forms: tuple[Form, ...] = ("sigmoid", "softmax")
    per_image = True

    def __init__(self, *, alpha: float | None = None, gamma: float = 2.0) -> None:
        super().__init__()
        if alpha is not None and not 0 < alpha < 1:
            msg = f"alpha={alpha} must lie between 0 and 1: structures weigh alpha, background 1 - alpha"
            raise ValueError(msg)
        if gamma < 0:
            msg = f"gamma={gamma} is negative: it would weigh pixels up that are right already"
            raise ValueError(msg)
        self.alpha = alpha
        self.gamma = gamma

    def forward(self, logits: Tensor, mask: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the loss (scalar) of logits (B, K or K + 1, H, W) against a mask (B, K, H, W)."""
        logits, truth, valid = check_inputs(logits, mask, valid, forms=self.forms)
        if valid is not None:
            logits = logits.masked_fill(valid == 0, 0)
        if is_softmax(logits, truth):
            right, wrong, structure = *_softmax_logs(logits, with_background(truth)), truth.sum(dim=1, keepdim=True)
        else:
            towards = (2 * truth - 1) * logits
            right, wrong, structure = F.logsigmoid(towards), F.logsigmoid(-towards), truth
        pixels = -(self.gamma * wrong).exp() * right
        if self.alpha is not None:
            pixels = pixels * (self.alpha * structure + (1 - self.alpha) * (1 - structure))
        return mean_over_pixels(pixels, valid)


def _softmax_logs(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Log probability of the true class and of all others together, each (B, 1, H, W)."""
    every = logits.logsumexp(dim=1, keepdim=True)
    others = logits.masked_fill(truth > 0, float("-inf")).logsumexp(dim=1, keepdim=True)
    return (logits * truth).sum(dim=1, keepdim=True) - every, others - every
