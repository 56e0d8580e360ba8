"""Disease: where air is replaced by fluid, as a share in [0, 1] of the air at each pixel."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from lungseg.data.phantom.anatomy import Anatomy
from lungseg.data.phantom.organs import Organs, chest_wall
from lungseg.data.phantom.shapes import Plane, Points, ellipse, fill, mirrored, soft

ToPixels = Callable[[Points], Points]


def cloud(rng: np.random.Generator, size: tuple[int, int], cells: float) -> Plane:
    """Smooth noise, about N(0, 1): `cells` waves over the shorter side and finer ones of half their strength."""
    plane = np.zeros(size, np.float32)
    for octave, weight in ((1.0, 0.86), (2.1, 0.43), (4.3, 0.26)):
        rows = max(2, round(cells * octave * size[0] / min(size))) + 2
        columns = max(2, round(cells * octave * size[1] / min(size))) + 2
        small = rng.standard_normal((rows, columns)).astype(np.float32)
        # 1.35 makes up for the variance that cubic interpolation takes away
        plane += np.float32(1.35 * weight) * cv2.resize(small, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return plane


def _lobe(anatomy: Anatomy, rng: np.random.Generator) -> tuple[Points, float, float]:
    """One lobe as seen from the front: outline in units, blur in units, and how far it spreads to the other rows."""
    side = -1 if rng.random() < 0.58 else 1
    depth = anatomy.cp_depth[0 if side < 0 else 1]
    kind = rng.choice(["upper", "middle", "lower"] if side < 0 else ["upper", "lower", "lower"])
    fissure = depth * rng.uniform(0.42, 0.5)
    y = np.linspace(-0.15, 1.1, 9) * depth
    wall = chest_wall(anatomy, side, y) + 0.1
    if kind == "upper":
        floor = fissure if side < 0 else depth * rng.uniform(0.45, 0.62)
        rows = y < floor - 0.05
        shape = [
            (0.0, -0.3),
            *zip(wall[rows], y[rows], strict=True),
            (1.05, floor + 0.02),
            (0.5, floor - 0.02),
            (0.0, floor + 0.03),
        ]
        return mirrored(np.array(shape), side), 0.02 if side < 0 else 0.12, depth
    if kind == "middle":
        shape = [
            (0.0, fissure),
            (rng.uniform(0.55, 0.95), fissure + 0.03),
            (0.6, 0.8 * depth),
            (0.35, depth),
            (0.0, depth),
        ]
        return mirrored(np.array(shape), side), 0.03, depth
    top = depth * rng.uniform(0.45, 0.62)
    shape = [(0.0, top + 0.1), (0.45, top), (1.2, top + 0.15), (1.2, 1.2 * depth), (0.0, 1.2 * depth)]
    return mirrored(np.array(shape), side), 0.11, depth


def _patches(anatomy: Anatomy, rng: np.random.Generator) -> list[tuple[Points, float]]:
    shapes = []
    for side in (-1, 1):
        depth = anatomy.cp_depth[0 if side < 0 else 1]
        for _ in range(int(rng.integers(2, 7))):
            y = depth * rng.beta(2.6, 1.8) * 0.95
            wall = float(chest_wall(anatomy, side, y))
            x = wall * (0.25 + 0.75 * rng.beta(2.2, 1.3))
            r = rng.uniform(0.10, 0.30)
            shape = ellipse(x, y, r * rng.uniform(0.8, 1.3), r * rng.uniform(0.8, 1.6), tilt=rng.uniform(-0.6, 0.6))
            shapes.append((mirrored(shape, side), float(rng.uniform(0.35, 0.9))))
    return shapes


def draw_opacity(
    anatomy: Anatomy, organs: Organs, to_pixels: ToPixels, size: tuple[int, int], unit: float, rng: np.random.Generator
) -> Plane | None:
    """Draw the patient's disease.

    Args:
        anatomy: The patient; its label says what there is to draw.
        organs: The patient's outlines in this pose (the airways stay open in a consolidated lobe).
        to_pixels: Projection of points in units to pixels.
        size: (height, width).
        unit: Pixels per unit.
        rng: The patient's generator, so that the disease sits at the same place in each of the patient's images.

    Returns:
        (height, width) float32 in [0, 1], or None when the patient is healthy.
    """
    if anatomy.label == "normal":
        return None
    strength = float(rng.uniform(0.55, 1.0))
    texture = cloud(rng, size, rng.uniform(4, 8))
    if anatomy.label == "lobar":
        shape, blur, _ = _lobe(anatomy, rng)
        grain = np.clip(0.92 + 0.13 * texture, 0.3, 1.1)
        share = soft(fill(size, [to_pixels(shape)]), max(blur * unit, 0.5)) * grain * strength * 0.88
        bronchi = soft(fill(size, [to_pixels(p) for p in organs.airways[1:]]), 0.02 * unit)
        share *= 1 - 0.5 * bronchi
    else:
        share = np.zeros(size, np.float32)
        for shape, weight in _patches(anatomy, rng):
            share += np.float32(weight * 0.8) * (1 - share) * soft(fill(size, [to_pixels(shape)]), 0.075 * unit)
        share *= np.clip(0.85 + 0.42 * texture, 0.1, 1.5) * strength
    return np.asarray(np.clip(share, 0, 0.92), dtype=np.float32)
