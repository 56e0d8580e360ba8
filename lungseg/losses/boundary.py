"""Boundary loss: errors weighed by their distance to the true boundary, beside soft Dice."""

from __future__ import annotations

from torch import Tensor, nn

from lungseg.losses.dice import DiceLoss
from lungseg.losses.distance import signed_distance
from lungseg.losses.inputs import Form, check_inputs, mean_over_pixels, probabilities
from lungseg.losses.region import Empty


class BoundaryLoss(nn.Module):
    r"""Weighted sum of soft Dice and the mean distance of wrong probability from the true boundary.

    With probabilities p, truth t and phi the signed distance to the boundary of the structure (in pixels of the
    network's input, negative inside):

        L = (1 - alpha) Dice + alpha mean phi (p - t)

    The mean is over structures and the valid pixels of an image, then over the images that have valid pixels. Since
    phi is negative where t = 1, phi (p - t) = |phi| |p - t|: never negative, 0 for a perfect prediction. The source
    drops the constant - phi t, which has no gradient, so that its values are negative; here, zero means none wrong.
    Without a boundary (an empty mask, or a full one) phi is 0 and the Dice term speaks alone.

    The source raises alpha by 0.01 each epoch from 0.01, with generalised Dice for the other term; a loss knows no
    epochs, so here alpha is constant. The distance maps are made at each step: on a CPU by OpenCV (about 1 ms for a
    plane of 256 x 256), on other devices there.

    Args:
        alpha: weight of the boundary term, in (0, 1]; per pixel of distance, so it is small.
        smooth: of the Dice term, in pixels, > 0.
        per_image: Dice of each image (True) or of all pixels of the batch together (False).
        empty: the Dice term where a mask is empty: penalise | ignore | formula, see RegionLoss.

    Shape:
        logits (B, K, H, W) or, for a softmax, (B, K + 1, H, W) (of which the background has no term of its own), any
        float dtype; mask (B, K, H, W) bool or uint8 in {0, 1}; valid (B, 1, H, W) or None -> scalar, float32
        (float64 for float64 logits).

    Raises:
        ValueError: an argument is out of range; a shape differs; the mask is not of 0 and 1.

    Source:
        Kervadec et al. 2019, arXiv:1812.07032, section 2.

    Example:
        >>> import torch
        >>> mask = torch.tensor([[[[1, 0, 0]]]], dtype=torch.uint8)  # phi = -1/2, 1/2, 3/2
        >>> round(BoundaryLoss(alpha=1.0)(torch.zeros(1, 1, 1, 3), mask).item(), 4)  # (1/4 + 1/4 + 3/4) / 3
        0.4167
    """

    forms: tuple[Form, ...] = ("sigmoid", "softmax")

    def __init__(
        self,
        *,
        alpha: float = 0.01,
        smooth: float = 1.0,
        per_image: bool = True,
        empty: Empty = "penalise",
    ) -> None:
        super().__init__()
        if not 0 < alpha <= 1:
            msg = f"alpha={alpha} must lie in (0, 1]: the share of the boundary term; for 0 choose loss=dice"
            raise ValueError(msg)
        self.dice = DiceLoss(smooth=smooth, per_image=per_image, empty=empty)
        self.alpha = alpha
        self.per_image = per_image

    def forward(self, logits: Tensor, mask: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the loss (scalar) of logits (B, K or K + 1, H, W) against a mask (B, K, H, W)."""
        dice: Tensor = self.dice(logits, mask, valid)
        return (1 - self.alpha) * dice + self.alpha * self._boundary(logits, mask, valid)

    def _boundary(self, logits: Tensor, mask: Tensor, valid: Tensor | None) -> Tensor:
        logits, mask, valid = check_inputs(logits, mask, valid, forms=self.forms)
        probability, truth = probabilities(logits, mask, valid)
        structures = slice(-mask.shape[1], None)
        error = probability[:, structures] - truth[:, structures]
        return mean_over_pixels(signed_distance(mask, valid) * error, valid)
