"""Soft Dice loss."""

from __future__ import annotations

from lungseg.losses.region import Empty, RegionLoss


class DiceLoss(RegionLoss):
    r"""One minus the soft Dice coefficient.

    With probabilities p and truth t, summed over the valid pixels of one image (or of the whole batch) and structure:

        L = 1 - (2 sum p t + s) / (sum p + sum t + s)

    averaged over structures, then over the images that have valid pixels. The Keras code from which the loss of paper
    key `dual_encoder` is taken sums over the whole batch at once: smooth=1e-15, per_image=False, empty=formula.

    Args:
        smooth: s above, in pixels, > 0; see RegionLoss for what it does, and what `empty` does in its place.
        per_image: sums over each image (True), or over all pixels of the batch together (False).
        empty: what a false positive costs where the mask is empty: penalise (in proportion to its area) | ignore
            (nothing) | formula (nearly 1, whatever its area).
        include_background: under a softmax, average over the background class too.

    Shape:
        logits (B, K, H, W) or, for a softmax, (B, K + 1, H, W), any float dtype; mask (B, K, H, W) bool or uint8 in
        {0, 1}; valid (B, 1, H, W) or None -> scalar in [0, 1], float32 (float64 for float64 logits).

    Raises:
        ValueError: an argument is out of range; a shape differs; the mask is not of 0 and 1.

    Source:
        Milletari et al. 2016, arXiv:1606.04797, here with p instead of p^2 and with s. Paper key `res_cr_net` prints
        this form.

    Example:
        >>> import torch
        >>> mask = torch.ones(1, 1, 2, 2, dtype=torch.uint8)
        >>> round(DiceLoss()(torch.zeros(1, 1, 2, 2), mask).item(), 4)  # 1 - (2 * 2 + 1) / (2 + 4 + 1)
        0.2857
    """

    def __init__(
        self,
        *,
        smooth: float = 1.0,
        per_image: bool = True,
        empty: Empty = "penalise",
        include_background: bool = False,
    ) -> None:
        # TP / (TP + (FP + FN) / 2) is Dice, so half of s stands beside TP
        super().__init__(
            alpha=0.5,
            beta=0.5,
            smooth=smooth / 2,
            per_image=per_image,
            empty=empty,
            include_background=include_background,
        )
