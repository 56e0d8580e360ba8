"""Euclidean distances of pixels from a mask, in pixels."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor


@torch.no_grad()
def signed_distance(mask: Tensor, valid: Tensor | None = None) -> Tensor:
    """Distance from the boundary of each plane of a mask: negative inside, positive outside.

    The boundary runs between pixels: next to it a pixel lies at -1/2 or 1/2, and the distances of a mask and of its
    complement differ in sign only. (The code of Kervadec et al. 2019 has 0 and 1 there.) A pixel that is left out
    belongs to neither side. A plane without a boundary, empty or full, is 0 everywhere.

    Args:
        mask: (B, K, H, W) in {0, 1}, float.
        valid: (B, 1, H, W) in {0, 1} or None.

    Returns:
        (B, K, H, W), the dtype and device of the mask, in pixels.
    """
    inside = mask > 0
    outside = ~inside
    if valid is not None:
        inside, outside = inside & (valid > 0), outside & (valid > 0)
    to_inside, to_outside = distance_to(torch.stack([inside, outside]))
    distance = torch.where(mask > 0, 0.5 - to_outside, to_inside - 0.5)
    has_boundary = inside.flatten(2).any(dim=2) & outside.flatten(2).any(dim=2)
    # masked_fill and not where: on a GPU, the number that `where` takes is copied there, and waited for
    return distance.masked_fill(~has_boundary[..., None, None], 0).to(mask.dtype)


def distance_to(target: Tensor) -> Tensor:
    """Euclidean distance from each pixel centre to that of the nearest target pixel of the same plane.

    OpenCV does it on the CPU; elsewhere torch does, so that the device is not waited for.

    Args:
        target: (..., H, W) bool.

    Returns:
        (..., H, W) float32, in pixels; of no meaning in a plane without a target.
    """
    if target.device.type != "cpu":
        return _distance_on_device(target)
    planes = (~target).to(torch.uint8).contiguous().numpy()
    found = np.empty(planes.shape, np.float32)
    for index in np.ndindex(planes.shape[:-2]):
        found[index] = cv2.distanceTransform(planes[index], cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return torch.from_numpy(found)


def _distance_on_device(target: Tensor) -> Tensor:
    """`distance_to` by two passes of a minimum over parabolas, exact while squares stay below 2^24.

    After the pass along a row, a pixel knows its nearest target in the row; along the column, (y - y')^2 is added.
    (Felzenszwalb and Huttenlocher 2012, doi:10.4086/toc.2012.v008a019, without their lower envelope: a device is
    quicker at trying all.)
    """
    squares = torch.zeros_like(target, dtype=torch.float32).masked_fill(~target, torch.inf)
    for dim in (-1, -2):
        side = squares.shape[dim]
        at = torch.arange(side, device=target.device, dtype=squares.dtype)
        parabolas = (at[:, None] - at) ** 2 if dim == -1 else ((at[:, None] - at) ** 2)[..., None]
        nearest = torch.full_like(squares, torch.inf)
        for position in range(side):
            nearest = torch.minimum(nearest, squares.narrow(dim, position, 1) + parabolas[position])
        squares = nearest
    return squares.sqrt()
