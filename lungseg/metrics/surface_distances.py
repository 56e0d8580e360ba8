"""How far the outline of a prediction lies from the outline of the reference, pixel by pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

_NEIGHBOURS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))

Distances = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SurfaceDistances:
    """The distances between two outlines, both ways, in the unit of the spacing.

    Attributes:
        from_prediction: of each pixel of the predicted outline to the nearest one of the reference, (n,) float64.
        from_reference: of each pixel of the reference's outline to the nearest one of the prediction, (m,) float64.
            Both are inf where only one of the masks has an outline.
        diagonal: of the whole image: what stands for the distance to an outline that is not there.
    """

    from_prediction: Distances
    from_reference: Distances
    diagonal: float

    @property
    def pooled(self) -> Distances:
        """Both in one, (n + m,): a long outline weighs more than a short one."""
        return np.concatenate((self.from_prediction, self.from_reference))


def surface_distances(
    prediction: npt.NDArray[Any],
    mask: npt.NDArray[Any],
    *,
    valid: npt.NDArray[Any] | None = None,
    spacing: tuple[float, float] = (1.0, 1.0),
) -> SurfaceDistances:
    """Measure the distances between the outlines of two masks of one structure.

    The outline of a mask are its pixels with one of the four neighbours outside the mask or beyond the image; a
    distance runs from pixel centre to pixel centre. A pixel that is left out is on no outline, and neither is one that
    only borders on left-out pixels: nobody knows whether the structure goes on there.

    The nearest pixel is looked up in a k-d tree of the other outline: exact in float64, right for any spacing, and
    about as quick as the outlines are short, where distance transforms cost as much as the area (512 x 512: 1.1 ms
    against 3.1 ms with OpenCV's precise one; 4096 x 4096: 27 ms against 168 ms).

    Args:
        prediction: thresholded, (h, w) bool.
        mask: reference, (h, w) bool.
        valid: (h, w) bool, False = pixel left out, or None for all pixels.
        spacing: distance of neighbouring (rows, columns), > 0; the default measures in pixels.

    Returns:
        The distances, unsorted.

    Raises:
        ValueError: the shapes differ, or the spacing is not positive.

    Example:
        >>> a, b = np.array([[1, 0, 0, 0]]) > 0, np.array([[0, 0, 1, 1]]) > 0
        >>> found = surface_distances(a, b)
        >>> found.from_prediction.tolist(), found.from_reference.tolist()
        ([2.0], [2.0, 3.0])
    """
    if prediction.ndim != 2 or prediction.shape != mask.shape or (valid is not None and valid.shape != mask.shape):
        shapes = ", ".join(str(array.shape) for array in (prediction, mask, valid) if array is not None)
        msg = f"prediction, mask and valid have shapes {shapes}: all must be the same (h, w)"
        raise ValueError(msg)
    if not all(math.isfinite(side) and side > 0 for side in spacing):
        msg = f"spacing={spacing} must be two positive numbers: the distance of neighbouring rows and columns"
        raise ValueError(msg)
    step = np.asarray(spacing, dtype=np.float64)
    a, b = (_outline(plane, valid) * step for plane in (prediction, mask))
    diagonal = math.hypot(mask.shape[0] * spacing[0], mask.shape[1] * spacing[1])
    return SurfaceDistances(_nearest(a, b), _nearest(b, a), diagonal)


def _outline(mask: npt.NDArray[Any], valid: npt.NDArray[Any] | None) -> npt.NDArray[np.int64]:
    """Return the (row, column) of each pixel of the outline, (n, 2)."""
    inside = _bytes(mask)
    known = None if valid is None else _bytes(valid)
    if known is not None:
        inside = inside & known
    left, top, width, height = cv2.boundingRect(inside)
    # one pixel more on each side, so that what borders on the mask is seen
    rows = slice(max(top - 1, 0), top + height + 1)
    columns = slice(max(left - 1, 0), left + width + 1)
    inside = inside[rows, columns]
    filled = inside if known is None else inside | (known[rows, columns] ^ 1)
    core = cv2.erode(filled, _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    edge = inside & ~core.astype(bool)
    if not edge.any():
        return np.zeros((0, 2), np.int64)
    # OpenCV gives (x, y), in an array whose shape depends on its version
    points = np.asarray(cv2.findNonZero(edge)).reshape(-1, 2)[:, ::-1]
    found: npt.NDArray[np.int64] = np.add(points, (rows.start, columns.start), dtype=np.int64)
    return found


def _nearest(points: Distances, others: Distances) -> Distances:
    """Distance of each point (n, 2) to the nearest of the others (m, 2); inf where there are none."""
    if not len(points) or not len(others):
        return np.full(len(points), math.inf)
    return np.asarray(KDTree(others, balanced_tree=False).query(points)[0], np.float64)


def _bytes(mask: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Zeros and ones, uint8."""
    return np.ascontiguousarray(mask.astype(bool, copy=False)).view(np.uint8)
