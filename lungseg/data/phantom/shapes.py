"""Small geometry kit: curves, bands and filled shapes. Points are float64 arrays (n, 2) of (x, y), y pointing down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]
Plane = NDArray[np.float32]

SUBPIXEL_BITS = 4
_SUBPIXELS = 1 << SUBPIXEL_BITS


def curve(points: ArrayLike, *, closed: bool = False, steps: int = 8) -> Points:
    """Draw a Catmull-Rom spline through `points`.

    Args:
        points: (n, 2) control points, n >= 2.
        closed: Join the last point to the first.
        steps: Points drawn for each stretch between two control points.

    Returns:
        (m, 2) points; the control points are among them.

    Example:
        >>> curve([(0, 0), (1, 0), (2, 0)], steps=2).tolist()
        [[0.0, 0.0], [0.4375, 0.0], [1.0, 0.0], [1.5625, 0.0], [2.0, 0.0]]
    """
    p = np.asarray(points, dtype=np.float64)
    padded = np.vstack([p[-1], p, p[:2]]) if closed else np.vstack([p[0], p, p[-1]])
    p0, p1, p2, p3 = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[None, :, None]
    a, b, c, d = (q[:, None, :] for q in (p0, p1, p2, p3))
    drawn = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    flat = drawn.reshape(-1, 2)
    return flat if closed else np.vstack([flat, p[-1]])


def band(centre: Points, half_width: float | NDArray[np.float64]) -> Points:
    """Widen a centre line into a closed outline.

    Args:
        centre: (n, 2) centre line.
        half_width: One number, or (n,) numbers along the line.

    Returns:
        (2 n, 2) outline: along one side, back along the other.
    """
    along = np.gradient(centre, axis=0)
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1])[:, None], 1e-9)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    shift = normal * np.broadcast_to(np.asarray(half_width, dtype=np.float64), (len(centre),))[:, None]
    return np.vstack([centre + shift, (centre - shift)[::-1]])


def ellipse(x: float, y: float, rx: float, ry: float, *, tilt: float = 0.0, steps: int = 28) -> Points:
    """Outline of an ellipse; `tilt` in radians, clockwise on the image."""
    t = np.linspace(0.0, 2 * np.pi, steps, endpoint=False)
    u, v = rx * np.cos(t), ry * np.sin(t)
    c, s = np.cos(tilt), np.sin(tilt)
    return np.stack([x + c * u - s * v, y + s * u + c * v], axis=1)


def mirrored(points: Points, side: int) -> Points:
    """Put a shape that is drawn at x > 0 on `side`: -1 = image left (the patient's right), +1 = image right."""
    turned: Points = points * np.array([float(side), 1.0])
    return turned


def fixed(points: Points) -> NDArray[np.int32]:
    """Pixel coordinates in the fixed-point form that cv2's `shift` argument takes."""
    return np.round(np.clip(points, -16000, 16000) * _SUBPIXELS).astype(np.int32)


def fill(size: tuple[int, int], shapes: Iterable[Points], *, value: int = 255) -> NDArray[np.uint8]:
    """Fill closed outlines, given in pixels, on an empty uint8 plane with smooth edges."""
    plane = np.zeros(size, np.uint8)
    for shape in shapes:
        cv2.fillPoly(plane, [fixed(shape)], value, lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS)
    return plane


def stroke(plane: NDArray[np.uint8], lines: Sequence[Points], value: int, thickness: int, *, closed: bool) -> None:
    """Draw lines, given in pixels, into `plane`."""
    cv2.polylines(plane, [fixed(line) for line in lines], closed, value, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


def soft(plane: NDArray[np.uint8] | Plane, sigma: float) -> Plane:
    """Blur to float32; uint8 planes are scaled to [0, 1]. Wide blurs are done at a lower resolution, for speed."""
    f = plane.astype(np.float32)
    if plane.dtype == np.uint8:
        f /= np.float32(255)
    if sigma < 0.2:
        return f
    step = int(min(16, sigma // 3))
    if step < 2:
        return _plane(cv2.GaussianBlur(f, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))
    h, w = f.shape
    small = cv2.resize(f, (max(1, w // step), max(1, h // step)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / step, borderType=cv2.BORDER_REPLICATE)
    return _plane(cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC))


def _plane(values: np.ndarray) -> Plane:
    return np.asarray(values, dtype=np.float32)


def inflate(plane: NDArray[np.uint8], reach: float) -> Plane:
    """Give a filled shape the thickness of a cushion: 0 at its edge, 1 from `reach` pixels inside.

    The profile is that of a circle, t = sqrt(1 - (1 - d / reach)^2) with d the distance to the edge.
    """
    solid = (plane > 127).astype(np.uint8)
    distance = cv2.distanceTransform(solid, cv2.DIST_L2, 3)
    inside = 1.0 - np.minimum(distance / np.float32(max(reach, 1e-3)), 1.0)
    return _plane(np.sqrt(np.maximum(1.0 - inside * inside, 0.0)))
