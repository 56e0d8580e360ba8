"""Disease: where air is replaced by fluid, as a share in [0, 1] of the air at each pixel."""

from __future__ import annotations

import numpy as np

from lungseg.data.phantom.anatomy import Anatomy
from lungseg.data.phantom.canvas import Canvas, cloud
from lungseg.data.phantom.organs import Organs, chest_wall
from lungseg.data.phantom.shapes import Plane, Points, ellipse, mirrored


def _lobe(anatomy: Anatomy, rng: np.random.Generator) -> tuple[Points, float]:
    """One lobe as seen from the front: its outline, and the softness of its border, in units."""
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
        return mirrored(np.array(shape), side), 0.02 if side < 0 else 0.12
    if kind == "middle":
        reach = rng.uniform(0.5, 0.92)
        shape = [
            (0.0, fissure),
            (reach, fissure + 0.04),
            (0.7 * reach, 0.72 * depth),
            (0.3, 0.98 * depth),
            (0.0, depth),
        ]
        return mirrored(np.array(shape), side), 0.05
    top = depth * rng.uniform(0.45, 0.62)
    shape = [(0.0, top + 0.1), (0.45, top), (1.2, top + 0.15), (1.2, 1.2 * depth), (0.0, 1.2 * depth)]
    return mirrored(np.array(shape), side), 0.11


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


def draw_opacity(anatomy: Anatomy, organs: Organs, canvas: Canvas, rng: np.random.Generator) -> Plane | None:
    """Draw the patient's disease.

    Args:
        anatomy: The patient; its label says what there is to draw.
        organs: The patient's outlines in this pose (the airways stay open in a consolidated lobe).
        canvas: What to draw with.
        rng: The patient's generator, so that the disease sits at the same place in each of the patient's images.

    Returns:
        (height, width) float32 in [0, 1], or None when the patient is healthy.
    """
    if anatomy.label == "normal":
        return None
    strength = float(rng.uniform(0.55, 1.0))
    texture = cloud(rng, canvas.size, rng.uniform(4, 8))
    if anatomy.label == "lobar":
        shape, blur = _lobe(anatomy, rng)
        grain = np.clip(0.88 + 0.24 * texture, 0.15, 1.08)
        share = canvas.soft([shape], blur, least=0.5) * grain * strength * 0.88
        bronchi = canvas.soft(organs.airways[1:], 0.02)
        share *= 1 - 0.5 * bronchi
    else:
        share = np.zeros(canvas.size, np.float32)
        for shape, weight in _patches(anatomy, rng):
            share += np.float32(weight * 0.8) * (1 - share) * canvas.soft([shape], 0.075)
        share *= np.clip(0.85 + 0.42 * texture, 0.1, 1.5) * strength
    return np.asarray(np.clip(share, 0, 0.92), dtype=np.float32)
