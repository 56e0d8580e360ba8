"""Soft Tversky loss: Dice with separate weights of false positives and false negatives."""

from __future__ import annotations

from lungseg.losses.region import Empty, RegionLoss


class TverskyLoss(RegionLoss):
    r"""One minus the soft Tversky index.

    With probabilities p and truth t, summed over the valid pixels of one image (or of the whole batch) and structure:

        L = 1 - (sum p t + s) / (sum p t + alpha sum p (1 - t) + beta sum (1 - p) t + s)

    averaged over structures, then over the images that have valid pixels. beta > alpha favours sensitivity. At
    alpha = beta = 0.5 it is soft Dice with 2 s for s, at alpha = beta = 1 soft Jaccard.

    Args:
        alpha: weight of false positives, > 0, dimensionless.
        beta: weight of false negatives, > 0.
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
        Salehi et al. 2017, arXiv:1706.05721 (there without s); 0.3 and 0.7 are its best values.

    Example:
        >>> import torch
        >>> mask = torch.ones(1, 1, 2, 2, dtype=torch.uint8)
        >>> round(TverskyLoss()(torch.zeros(1, 1, 2, 2), mask).item(), 4)  # 1 - (2 + 1) / (2 + 0.7 * 2 + 1)
        0.3182
    """

    def __init__(
        self,
        *,
        alpha: float = 0.3,
        beta: float = 0.7,
        smooth: float = 1.0,
        per_image: bool = True,
        empty: Empty = "penalise",
        include_background: bool = False,
    ) -> None:
        super().__init__(
            alpha=alpha,
            beta=beta,
            smooth=smooth,
            per_image=per_image,
            empty=empty,
            include_background=include_background,
        )
