"""Soft Jaccard (intersection over union) loss."""

from __future__ import annotations

from lungseg.losses.region import Empty, RegionLoss


class JaccardLoss(RegionLoss):
    r"""One minus the soft Jaccard index, the intersection over union.

    With probabilities p and truth t, summed over the valid pixels of one image (or of the whole batch) and structure:

        L = 1 - (sum p t + s) / (sum p + sum t - sum p t + s)

    averaged over structures, then over the images that have valid pixels.

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
        Rahman and Wang 2016, doi:10.1007/978-3-319-50835-1_22, here with s.

    Example:
        >>> import torch
        >>> mask = torch.ones(1, 1, 2, 2, dtype=torch.uint8)
        >>> round(JaccardLoss()(torch.zeros(1, 1, 2, 2), mask).item(), 4)  # 1 - (2 + 1) / (2 + 4 - 2 + 1)
        0.4
    """

    def __init__(
        self,
        *,
        smooth: float = 1.0,
        per_image: bool = True,
        empty: Empty = "penalise",
        include_background: bool = False,
    ) -> None:
        super().__init__(
            alpha=1.0,
            beta=1.0,
            smooth=smooth,
            per_image=per_image,
            empty=empty,
            include_background=include_background,
        )
