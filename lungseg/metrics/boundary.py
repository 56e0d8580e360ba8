"""Measures of the outline: Hausdorff distance, average distance, and the share of it that is close enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.metrics.surface_distances import SurfaceDistances, surface_distances

# a pixel's sides are kept as float32: what differs by less (relative) is meant to be equal
_ROUNDING = 1e-6


def hd(distances: SurfaceDistances) -> float:
    """Hausdorff distance: the largest distance of a pixel of either outline to the other outline.

    Args:
        distances: of `surface_distances`.

    Returns:
        In the unit of the distances. NaN where neither mask has an outline; the image's diagonal where one has none:
        a structure that was missed costs the worst there is, and never leaves the mean.
    """
    return _of(distances, np.max)


def hd95(distances: SurfaceDistances) -> float:
    """HD95: the 95th percentile of the distances of both outlines, pooled (as medpy has it).

    Others take the larger of the two outlines' own percentiles (MONAI), which is never smaller, or weigh by the length
    of the outline (surface-distance); figures of different tools are not to be compared.

    Args:
        distances: of `surface_distances`.

    Returns:
        In the unit of the distances, between order statistics linearly; NaN and diagonal as for `hd`.

    Source:
        Huttenlocher et al. 1993, Comparing images using the Hausdorff distance, for the idea of a rank.
    """
    return _of(distances, lambda pooled: np.percentile(pooled, 95))


def assd(distances: SurfaceDistances) -> float:
    """Average symmetric surface distance: the mean of the distances of both outlines, pooled (as MONAI has it).

    Args:
        distances: of `surface_distances`.

    Returns:
        In the unit of the distances; NaN and diagonal as for `hd`.
    """
    return _of(distances, np.mean)


def nsd(distances: SurfaceDistances, tolerance: float) -> float:
    """Normalised surface distance (surface Dice): the share of both outlines that lies within a tolerance.

    Args:
        distances: of `surface_distances`.
        tolerance: in the unit of the distances, >= 0; a distance that equals it (but for rounding) is within.

    Returns:
        In [0, 1]; 0 where only one of the masks has an outline, NaN where neither has.

    Source:
        Nikolov et al. 2021, arXiv:1809.04430, with pixels counted instead of lengths.
    """
    pooled = distances.pooled
    return float(np.mean(pooled <= tolerance * (1 + _ROUNDING))) if len(pooled) else math.nan


class Boundary:
    """Measures the outlines of one image, in pixels and, where the pixel's size is known, in millimetres.

    Args:
        tolerance_mm: of the NSD, in mm, >= 0. The default is our choice; there is no standard for chest radiographs. It
            is some six pixels of a JSRT mask (0.35 mm) and 23 of a Montgomery mask (0.0875 mm).

    Raises:
        ValueError: the tolerance is negative or not finite.
    """

    columns = ("hd95_px", "assd_px", "hd95_mm", "assd_mm", "nsd")
    """Names of the values, which are those of the columns in per_sample.parquet."""

    def __init__(self, *, tolerance_mm: float = 2.0) -> None:
        if not (math.isfinite(tolerance_mm) and tolerance_mm >= 0):
            msg = f"metrics.boundary.tolerance_mm={tolerance_mm} must be a number of millimetres, at least 0"
            raise ValueError(msg)
        self.tolerance_mm = float(tolerance_mm)

    def __call__(
        self,
        prediction: npt.NDArray[Any],
        mask: npt.NDArray[Any],
        *,
        valid: npt.NDArray[Any] | None = None,
        spacing_mm: tuple[float, float] | None = None,
    ) -> list[dict[str, float]]:
        """Measure each structure of one image.

        Args:
            prediction: thresholded, (K, h, w) bool.
            mask: reference, (K, h, w) bool.
            valid: (h, w) bool, False = pixel left out, or None for all pixels.
            spacing_mm: size of a pixel of this grid, (rows, columns) in mm; None = not known.

        Returns:
            For each structure the values of `columns`, those in mm and the NSD being NaN where the size is not known.

        Raises:
            ValueError: the shapes differ, or the spacing is not positive.
        """
        if prediction.ndim != 3 or prediction.shape != mask.shape:
            msg = f"prediction has shape {prediction.shape} and the mask {mask.shape}: both must be the same (K, h, w)"
            raise ValueError(msg)
        return [self._structure(p, t, valid, spacing_mm) for p, t in zip(prediction, mask, strict=True)]

    def _structure(
        self,
        prediction: npt.NDArray[Any],
        mask: npt.NDArray[Any],
        valid: npt.NDArray[Any] | None,
        spacing_mm: tuple[float, float] | None,
    ) -> dict[str, float]:
        px = surface_distances(prediction, mask, valid=valid)
        found = {"hd95_px": hd95(px), "assd_px": assd(px), "hd95_mm": math.nan, "assd_mm": math.nan, "nsd": math.nan}
        if spacing_mm is None:
            return found
        if math.isclose(*spacing_mm, rel_tol=_ROUNDING):
            side = spacing_mm[0]
            mm = {
                "hd95_mm": side * found["hd95_px"],
                "assd_mm": side * found["assd_px"],
                "nsd": nsd(px, self.tolerance_mm / side),
            }
        else:
            distances = surface_distances(prediction, mask, valid=valid, spacing=spacing_mm)
            mm = {"hd95_mm": hd95(distances), "assd_mm": assd(distances), "nsd": nsd(distances, self.tolerance_mm)}
        return found | mm


def _of(distances: SurfaceDistances, measure: Callable[[npt.NDArray[np.float64]], Any]) -> float:
    """Measure the pooled distances; the diagonal where one outline is missing, NaN where both are."""
    n, m = len(distances.from_prediction), len(distances.from_reference)
    if not n and not m:
        return math.nan
    return float(measure(distances.pooled)) if n and m else distances.diagonal
