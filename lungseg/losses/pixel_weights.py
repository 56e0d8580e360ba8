"""Weights of pixels made from the truth: near contours, by volume of the class, between objects."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lungseg.losses.distance import distance_to

WINDOWS = ((150, 11), (300, 21), (600, 31))
"""(longest short side of the image, side of the averaging window), in pixels."""
LARGEST_WINDOW = 41


def contour_window(height: int, width: int) -> int:
    """Side in pixels of the window that contours are found with, by the short side of the image.

    Example:
        >>> contour_window(300, 340)
        21
    """
    return next((window for side, window in WINDOWS if min(height, width) <= side), LARGEST_WINDOW)


@torch.no_grad()
def contour(truth: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mark the pixels whose window holds both the class and something else.

    With a the mean of the truth over the `contour_window` around a pixel, padding and pixels left out excluded:
    1 where 0.005 < a < 0.995, else 0. A class and its complement have the same contour.

    Args:
        truth: (..., H, W) in {0, 1}, float, 0 where left out.
        valid: of a shape that broadcasts to it, or None.

    Returns:
        (..., H, W) in {0, 1}, dtype of the truth.
    """
    window = contour_window(*truth.shape[-2:])
    counted = torch.ones_like(truth[(0,) * (truth.ndim - 2)]) if valid is None else valid
    share = _window_sum(truth, window).to(truth.dtype) / _window_sum(counted, window).clamp(min=1).to(truth.dtype)
    return ((share > 0.005) & (share < 0.995)).to(truth.dtype)


@torch.no_grad()
def inverse_volume(volume: Tensor) -> Tensor:
    """Weights of classes by the inverse square of their volume.

    With r_c = V_c^-2: w_c = r_c (sum r) / (sum r^2). An absent class, whose weight would be infinite, takes the
    largest weight of those that are there, as in ResUNet-a (Diakogiannis et al. 2020, arXiv:1904.00592).

    Args:
        volume: (..., C) pixels of each class, >= 0.

    Returns:
        (..., C), all 1 where no class is there at all.

    Example:
        >>> inverse_volume(torch.tensor([2.0, 1.0]))  # r = 1/4, 1: (5/4) / (17/16) = 20/17 times r
        tensor([0.2941, 1.1765])
    """
    present = volume > 0
    # relative to the smallest class, since V^-4 of a large image has few digits left in float32
    smallest = volume.masked_fill(~present, torch.inf).amin(dim=-1, keepdim=True)
    share = (smallest / volume).masked_fill(~present, 1) ** 2
    return share * share.sum(dim=-1, keepdim=True) / (share**2).sum(dim=-1, keepdim=True)


@torch.no_grad()
def separation(structures: Tensor, *, height: float, sigma: float) -> Tensor:
    """Raise the background between two objects of an image.

    With d1 and d2 the distances in pixels to the nearest and the second nearest object (connected component, with
    diagonals, of any structure), height exp(-(d1 + d2)^2 / (2 sigma^2)) outside all objects, else 0. Made on the CPU;
    another device is waited for.

    Args:
        structures: (B, P, H, W) in {0, 1}; the components of all P planes are the objects of an image.
        height: the value between two objects that touch, without unit.
        sigma: in pixels.

    Returns:
        (B, 1, H, W), dtype and device of the structures.

    Source:
        Ronneberger et al. 2015, arXiv:1505.04597, eq. 2 without its class balance.
    """
    images = structures.to("cpu", torch.uint8).numpy()
    maps = np.stack([_between(planes) for planes in images])[:, None]
    raised = torch.from_numpy(height * np.exp(-(maps**2) / (2 * sigma**2)))
    return raised.to(structures.device, structures.dtype)


def _between(planes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Sum of the distances to the two nearest objects, (H, W); infinite inside and where there are not two."""
    first = np.full(planes.shape[1:], np.inf)
    second = first.copy()
    for plane in planes:
        count, labels = cv2.connectedComponents(np.ascontiguousarray(plane), connectivity=8)
        for label in range(1, count):
            distance = distance_to(torch.from_numpy(labels == label)).double().numpy()
            second = np.minimum(second, np.maximum(first, distance))
            first = np.minimum(first, distance)
    return np.where(planes.any(axis=0), np.inf, first + second)


def _window_sum(values: Tensor, window: int) -> Tensor:
    """Sum of (..., H, W) values in {0, 1} over the window around each pixel, 0 outside the image, as int16."""
    half = window // 2
    padded = F.pad(values.to(torch.int16), (half, half, half, half))
    return _sliding_sum(_sliding_sum(padded, window, -1), window, -2)


def _sliding_sum(values: Tensor, length: int, dim: int) -> Tensor:
    """Sum over each run of `length` along `dim`, by doubling: log2(length) additions, exact on integers."""
    if length == 1:
        return values
    half = _sliding_sum(values, length // 2, dim)
    runs = values.shape[dim] - length + 1
    doubled = half.narrow(dim, 0, runs) + half.narrow(dim, length // 2, runs)
    return doubled + values.narrow(dim, length - 1, runs) if length % 2 else doubled
