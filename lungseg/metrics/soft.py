"""Measures of probabilities, before any threshold, as functions of four sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Sums = npt.NDArray[np.float64]
"""(..., 5): sum p t, sum p, sum t, sum p^2 and the number of valid pixels."""
Values = npt.NDArray[np.float64]


def soft_sums(
    probability: npt.NDArray[np.float32], mask: npt.NDArray[Any], valid: npt.NDArray[Any] | None = None
) -> Sums:
    """Reduce one image to the sums that every measure here is a function of.

    Args:
        probability: p, (K, h, w) float32 in [0, 1].
        mask: reference t, (K, h, w) bool.
        valid: (h, w) bool, False = pixel left out, or None for all pixels.

    Returns:
        (K, 5) float64: sum p t, sum p, sum t, sum p^2 and the number of valid pixels.

    Raises:
        ValueError: the shapes differ, or the probabilities are not float32.

    Example:
        >>> soft_sums(np.array([[[0.5, 1.0, 0.0]]], dtype=np.float32), np.array([[[True, True, False]]]))
        array([[1.5 , 1.5 , 2.  , 1.25, 3.  ]])
    """
    if probability.ndim != 3 or probability.shape != mask.shape:
        msg = f"probabilities have shape {probability.shape} and the mask {mask.shape}: both must be the same (K, h, w)"
        raise ValueError(msg)
    if probability.dtype != np.float32:
        msg = f"probabilities have dtype {probability.dtype}, but must be float32"
        raise ValueError(msg)
    t = mask.astype(bool, copy=False)
    keep, pixels = None, t.shape[1] * t.shape[2]
    if valid is not None:
        v = valid.astype(bool, copy=False)
        if v.shape != t.shape[1:]:
            msg = f"valid has shape {v.shape}, but must be {t.shape[1:]}"
            raise ValueError(msg)
        t, keep, pixels = t & v, np.ascontiguousarray(v).view(np.uint8), int(np.count_nonzero(v))
    rows = []
    for p, inside in zip(probability, t, strict=True):
        # OpenCV adds float32 up to 1e-8 (relative), 30 times as quick as numpy does in float64; p is never negative
        pt = cv2.norm(p, cv2.NORM_L1, np.ascontiguousarray(inside).view(np.uint8))
        sums = [cv2.norm(p, kind) if keep is None else cv2.norm(p, kind, keep) for kind in _KINDS]
        rows.append((pt, sums[0], np.count_nonzero(inside), sums[1], pixels))
    return np.array(rows, dtype=np.float64).reshape(-1, 5)


_KINDS = (cv2.NORM_L1, cv2.NORM_L2SQR)


def soft_dice(sums: Sums) -> Values:
    """Soft Dice = 2 sum p t / (sum p + sum t); NaN where the reference is empty.

    A probability is hardly ever 0, so that on an empty reference this would be 0 however small it is. Whether
    something is found there is told by the thresholded masks and by `brier`.

    Args:
        sums: (..., 5) of `soft_sums`.

    Returns:
        (...) float64 in [0, 1] or NaN.
    """
    pt, p, t, _, _ = _columns(sums)
    return _ratio(2 * pt, p + t, t > 0)


def soft_iou(sums: Sums) -> Values:
    """Soft IoU = sum p t / (sum p + sum t - sum p t); NaN where the reference is empty, as for `soft_dice`.

    Args:
        sums: (..., 5) of `soft_sums`.

    Returns:
        (...) float64 in [0, 1] or NaN.
    """
    pt, p, t, _, _ = _columns(sums)
    return _ratio(pt, p + t - pt, t > 0)


def tanimoto(sums: Sums) -> Values:
    """Tanimoto coefficient = sum p t / (sum p^2 + sum t^2 - sum p t); NaN where the reference is empty.

    The squares forgive what is nearly right: of two values as far from sure, p = 0.9 inside and 0.1 outside, it is 0.98
    where the soft IoU is 0.82 (half of the pixels each).

    Args:
        sums: (..., 5) of `soft_sums`; t is 0 or 1, so that sum t^2 = sum t.

    Returns:
        (...) float64 in [0, 1] or NaN.

    Source:
        Diakogiannis et al. 2020 (ResUNet-a), arXiv:1904.00592. The paper `res_cr_net` takes it over both classes and
        all images: see `tanimoto_ratio`.
    """
    above, below = tanimoto_ratio(sums)
    return _ratio(above, below, _columns(sums)[2] > 0)


def tanimoto_ratio(sums: Sums) -> tuple[Values, Values]:
    """Return numerator and denominator of the Tanimoto coefficient, each (...), to be pooled over classes or images."""
    pt, _, t, pp, _ = _columns(sums)
    return pt, pp + t - pt


def brier(sums: Sums) -> Values:
    """Brier score = mean over pixels of (p - t)^2, 0 = perfect; NaN where no pixel is valid.

    Args:
        sums: (..., 5) of `soft_sums`.

    Returns:
        (...) float64 in [0, 1] or NaN.

    Source:
        Brier 1950, Verification of forecasts expressed in terms of probability, for two classes and one of them named.
    """
    pt, _, t, pp, n = _columns(sums)
    # the difference of sums can fall a rounding error below 0
    return np.maximum(_ratio(pp - 2 * pt + t, n, n > 0), 0.0)


def complement(sums: Sums) -> Sums:
    """Return the sums of the background, with 1 - p for p and 1 - t for t: (..., 5).

    Example:
        >>> complement(np.array([1.5, 1.5, 2.0, 1.25, 3.0]))  # p = 0.5, 1, 0 and t = 1, 1, 0
        array([1.  , 1.5 , 1.  , 1.25, 3.  ])
    """
    pt, p, t, pp, n = _columns(sums)
    return np.stack((n - p - t + pt, n - p, n - t, n - 2 * p + pp, n), axis=-1)


SOFT: dict[str, Callable[[Sums], Values]] = {
    "soft_dice": soft_dice,
    "soft_iou": soft_iou,
    "tanimoto": tanimoto,
    "brier": brier,
}
"""Every measure of probabilities by the name it is written under."""


def _columns(sums: Sums) -> tuple[Values, ...]:
    array = np.asarray(sums, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] != 5:
        msg = f"sums have shape {array.shape}, but the last dimension must be 5: pt, p, t, p^2, pixels"
        raise ValueError(msg)
    return tuple(np.moveaxis(array, -1, 0))


def _ratio(numerator: Values, denominator: Values, defined: npt.NDArray[np.bool_]) -> Values:
    nothing = np.full(np.shape(denominator), np.nan)
    np.divide(numerator, denominator, out=nothing, where=defined & (denominator > 0))
    return nothing
