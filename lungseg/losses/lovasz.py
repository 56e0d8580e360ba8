"""Lovasz hinge and Lovasz softmax: the Jaccard index extended to real-valued errors."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lungseg.losses.inputs import Form, check_choice, check_inputs, is_softmax, mean_over_images, probabilities
from lungseg.losses.region import mean_over_structures


class LovaszLoss(nn.Module):
    r"""Convex extension of the Jaccard loss, by the errors in decreasing order.

    The Jaccard loss of a set of wrong pixels is a set function; its Lovasz extension weighs the error m_i of each
    pixel by what the loss grows when the pixel joins those of larger error:

        L = sum over pixels in decreasing order of m of m_i (J({1..i}) - J({1..i - 1})),
        J(wrong) = 1 - (P - false negatives) / (P + false positives), P = size of the mask

    For sigmoids m = max(0, 1 - x) in the mask and max(0, 1 + x) outside (the hinge, x = logits), for a softmax
    m = |t - p| of each class. Sums are over the valid pixels of one image (or of the whole batch) and structure or
    class, averaged over these, then over the images that have valid pixels. Sorting makes it the slowest of the losses:
    some 8 ms for a plane of 300 x 340 on one CPU core.

    Where a mask is empty, the extension is the largest error alone: one pixel at a time is pulled.

    Args:
        per_image: sort the pixels of each image (True) or of the whole batch (False).
        empty: penalise (the formula, as above) | ignore (an empty mask is left out of the mean over structures or
            classes, as the source does for a softmax).
        include_background: under a softmax, average over the background class too, as the source does.

    Shape:
        logits (B, K, H, W) or, for a softmax, (B, K + 1, H, W), any float dtype; mask (B, K, H, W) bool or uint8 in
        {0, 1}; valid (B, 1, H, W) or None -> scalar, float32 (float64 for float64 logits).

    Raises:
        ValueError: an argument is out of range; a shape differs; the mask is not of 0 and 1.

    Source:
        Berman et al. 2018, arXiv:1705.08790 (the weights are those of its algorithm 1).

    Example:
        >>> mask = torch.ones(1, 1, 1, 2, dtype=torch.uint8)
        >>> LovaszLoss()(torch.tensor([[[[2.0, 0.5]]]]), mask).item()  # errors 0.5, 0: 0.5 (1 - 1/2)
        0.25
    """

    forms: tuple[Form, ...] = ("sigmoid", "softmax")

    def __init__(
        self,
        *,
        per_image: bool = True,
        empty: Literal["penalise", "ignore"] = "penalise",
        include_background: bool = True,
    ) -> None:
        super().__init__()
        check_choice("empty", empty, ("penalise", "ignore"))
        self.per_image = per_image
        self.empty = empty
        self.include_background = include_background

    def forward(self, logits: Tensor, mask: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the loss (scalar) of logits (B, K or K + 1, H, W) against a mask (B, K, H, W)."""
        logits, mask, valid = check_inputs(logits, mask, valid, forms=self.forms)
        if is_softmax(logits, mask):
            probability, truth = probabilities(logits, mask, valid)
            errors = (truth - probability).abs()
        else:
            truth = mask
            errors = 1 - (2 * truth - 1) * (logits if valid is None else logits.masked_fill(valid == 0, 0))
        if not self.include_background:
            structures = slice(-mask.shape[1], None)
            errors, truth = errors[:, structures], truth[:, structures]
        counted = torch.ones_like(truth[:, :1]) if valid is None else valid
        flat = [self._rows(values) for values in (errors, truth, counted.expand_as(truth))]
        loss = (flat[0].relu() * _growth(*flat)).sum(dim=-1)
        loss = mean_over_structures(loss, (flat[1] * flat[2]).sum(dim=-1) > 0 if self.empty == "ignore" else None)
        return mean_over_images(loss, valid) if self.per_image else loss

    def _rows(self, values: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H W), or (C, B H W) pooled: the pixels that are sorted together."""
        return values.flatten(2) if self.per_image else values.transpose(0, 1).flatten(1)


@torch.no_grad()
def _growth(errors: Tensor, truth: Tensor, counted: Tensor) -> Tensor:
    """What the Jaccard loss grows by at each pixel, in decreasing order of the error.

    With u the union and n the intersection after a pixel, that is 1 / u for a pixel of the mask and n / (u (u - 1))
    for one outside: closed forms, since the difference of two losses near 1 has few correct digits in float32.
    Put back in the order of the pixels, so that no gradient has to pass through the sorting.

    Args:
        errors: (..., N).
        truth: (..., N) in {0, 1}.
        counted: (..., N) in {0, 1}, 0 = left out.

    Returns:
        (..., N), 0 at pixels left out.
    """
    # pixels left out come last and join neither set
    order = errors.masked_fill(counted == 0, float("-inf")).argsort(dim=-1, descending=True)
    inside, outside = (part.to(torch.int32).gather(-1, order) for part in (truth * counted, (1 - truth) * counted))
    size = inside.sum(dim=-1, keepdim=True, dtype=torch.int32)
    left = (size - inside.cumsum(dim=-1, dtype=torch.int32)).to(errors.dtype)
    union = (size + outside.cumsum(dim=-1, dtype=torch.int32)).to(errors.dtype).clamp(min=1)
    growth = inside / union + outside * left / (union * (union - 1).clamp(min=1))
    # without a mask, the first false positive takes the loss from 0 to 1, and none after it adds anything
    growth = growth.where(size > 0, outside * (union == 1))
    return torch.zeros_like(growth).scatter_(-1, order, growth)
