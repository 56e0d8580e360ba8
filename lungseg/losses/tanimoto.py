"""Weighted Tanimoto loss with complement."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from lungseg.losses.inputs import Form, check_choice, check_inputs, is_softmax, mean_over_images, probabilities
from lungseg.losses.pixel_weights import contour, inverse_volume, separation

Weights = Literal["none", "contour", "volume", "both", "unet_border"]


class TanimotoLoss(nn.Module):
    r"""One minus the weighted Tanimoto coefficient, averaged with that of the complement.

    With probabilities p, one-hot truth y and pixel weights w, summed over the whole batch, its valid pixels and all
    classes, the background among them:

        T(y, p) = (sum w y p + s) / (sum w (y^2 + p^2 - y p) + s)
        L = 1 - (T(y, p) + T(1 - y, 1 - p)) / 2

    A softmax has K + 1 classes. Of K sigmoids, each structure and its complement are two classes of their own (y, 1 -
    y and p, 1 - p), and L is the mean over structures; so one sigmoid and a softmax of two classes are the same loss.

    Weights, all without gradient and all of the truth alone. N is the number of valid pixels times classes, over
    which sums run:

    - none: w = 1.
    - contour: a = mean of y over a square window around the pixel, what lies outside the image excluded, of 11, 21,
      31 or 41 pixels for a short side of the image up to 150, 300, 600 or above; b = 1 where 0.005 < a < 0.995, else
      0; u = 1 + 2 b; w = (u N / sum u)^2. A contour pixel weighs 9 times another.
    - volume: V_c = pixels of class c in the batch, r_c = V_c^-2; w_c = r_c (sum_c r_c) / (sum_c r_c^2).
    - both: u = w_c of volume + 2 b of contour; w = (u N / sum u)^2.
    - unet_border: u = 1 + w0 exp(-(d1 + d2)^2 / (2 sigma^2)) in the background between the two nearest objects, d1
      and d2 pixels away, else 1; w = u N / sum u. It is what the paper cites for its weights; its code, followed by
      the others, has neither w0 nor sigma. On a device other than the CPU this kind alone waits for it.

    In the paper's code the batch is what one of two GPUs holds. A class absent from the batch has no V_c^-2; it
    takes the largest r of the classes present (in the code it makes the loss NaN).

    Args:
        weights: contour | volume | both | unet_border | none, see above.
        smooth: s above, in weighted pixels, > 0; None = 1e-5 for volume and 1 otherwise, as in the paper's code.
        per_image: sums, V_c and N of each image (True), so that a batch's loss is the mean of its images, or of the
            whole batch (False), as in the paper's code.
        complement: average with the coefficient of the complement; without it, L = 1 - T(y, p).
        w0: of unet_border, > 0, dimensionless.
        sigma: of unet_border, in pixels, > 0.

    Shape:
        logits (B, K, H, W) or, for a softmax, (B, K + 1, H, W), any float dtype; mask (B, K, H, W) bool or uint8 in
        {0, 1}; valid (B, 1, H, W) or None -> scalar in [0, 1], float32 (float64 for float64 logits).

    Raises:
        ValueError: an argument is out of range; a shape differs; the mask is not of 0 and 1.

    Source:
        Paper key `res_cr_net`, section 1.3 (T and the complement), and its public code (weights, sums, smooth).
        unet_border: Ronneberger et al. 2015, arXiv:1505.04597, eq. 2.

    Example:
        >>> mask = torch.ones(1, 1, 2, 2, dtype=torch.uint8)  # p = 1/2: (4/2 + 1) / (4 + 4/4 + 4/4 - 4/2 + 1)
        >>> round(TanimotoLoss()(torch.zeros(1, 1, 2, 2), mask).item(), 4)  # 1 - 3/5
        0.4
    """

    forms: tuple[Form, ...] = ("sigmoid", "softmax")

    def __init__(
        self,
        *,
        weights: Weights = "contour",
        smooth: float | None = None,
        per_image: bool = False,
        complement: bool = True,
        w0: float = 10.0,
        sigma: float = 5.0,
    ) -> None:
        super().__init__()
        check_choice("weights", weights, ("none", "contour", "volume", "both", "unet_border"))
        if smooth is not None and smooth <= 0:
            msg = f"smooth={smooth} must be above 0: with 0 a batch without valid pixels gives 0/0"
            raise ValueError(msg)
        if not (0 < w0 < math.inf and 0 < sigma < math.inf):
            msg = f"w0={w0} and sigma={sigma} (pixels) must be positive and finite"
            raise ValueError(msg)
        self.weights = weights
        self.smooth = smooth if smooth is not None else 1e-5 if weights == "volume" else 1.0
        self.per_image = per_image
        self.complement = complement
        self.w0 = w0
        self.sigma = sigma

    def forward(self, logits: Tensor, mask: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the loss (scalar) of logits (B, K or K + 1, H, W) against a mask (B, K, H, W)."""
        logits, mask, valid = check_inputs(logits, mask, valid, forms=self.forms)
        probability, truth = probabilities(logits, mask, valid)
        # (B, G, C, H, W): G problems of C classes each, either one with all of them or one for each structure
        if is_softmax(logits, mask):
            probability, truth = probability[:, None], truth[:, None]
        else:
            probability, truth = (torch.stack([1 - x, x], dim=2) for x in (probability, truth))
        valid_here = None if valid is None else valid[:, None]
        weight = self.pixel_weights(truth, valid_here)
        index = self._index(probability, truth, weight)
        if self.complement:
            index = (index + self._index(1 - probability, 1 - truth, weight)) / 2
        loss = 1 - index.mean(dim=-1)
        return mean_over_images(loss, valid) if self.per_image else loss

    @torch.no_grad()
    def pixel_weights(self, truth: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return w of one-hot truth (B, G, C, H, W), G problems of C classes, in a shape that broadcasts to it.

        Args:
            truth: (B, G, C, H, W) in {0, 1}, float.
            valid: (B, 1, 1, H, W) or None; w is 0 where it is 0.
        """
        summed = (2, 3, 4) if self.per_image else (0, 2, 3, 4)
        counted = truth if valid is None else truth * valid
        weight = torch.ones_like(truth[:1, :1, :1, :1, :1])
        if self.weights in ("volume", "both"):
            volume = counted.sum(dim=(3, 4) if self.per_image else (0, 3, 4))
            weight = inverse_volume(volume)[..., None, None]
        if self.weights in ("contour", "both"):
            # two classes are complements and have one contour
            of = counted[:, :, 1:] if truth.shape[2] == 2 else counted
            weight = weight + 2 * contour(of, valid)
        if self.weights == "unet_border":
            objects = counted[:, :, 1:].flatten(0, 1)
            raised = separation(objects, height=self.w0, sigma=self.sigma)
            weight = weight + raised.view(*truth.shape[:2], 1, *truth.shape[3:])
        if self.weights not in ("none", "volume"):
            weight = weight / _mean(weight, valid, summed)
        if self.weights in ("contour", "both"):
            weight = weight**2
        return weight if valid is None else weight.masked_fill(valid == 0, 0)

    def _index(self, probability: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """Tanimoto coefficient of each problem: (B, G), or (G,) where the batch is summed."""
        summed = (2, 3, 4) if self.per_image else (0, 2, 3, 4)
        overlap = (weight * (truth * probability)).sum(dim=summed)
        squares = (weight * (truth**2 + probability**2)).sum(dim=summed)
        return (overlap + self.smooth) / (squares - overlap + self.smooth)


def _mean(weight: Tensor, valid: Tensor | None, dim: tuple[int, ...]) -> Tensor:
    """Mean of a weight over the valid pixels, with the dimensions kept; NaN where there are none."""
    if valid is None:
        return weight.mean(dim=dim, keepdim=True)
    valid = valid.expand_as(weight)
    return (weight * valid).sum(dim=dim, keepdim=True) / valid.sum(dim=dim, keepdim=True)
