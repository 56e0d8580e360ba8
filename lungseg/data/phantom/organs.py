"""Outlines of the soft parts, in units of `Anatomy`: lungs, heart, mediastinum, airways, skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lungseg.data.phantom.anatomy import Anatomy
from lungseg.data.phantom.pose import Pose
from lungseg.data.phantom.shapes import Points, band, curve, ellipse, mirrored

SIDES = (-1, 1)
"""Right (image left) first, then left."""


@dataclass(frozen=True, kw_only=True)
class Organs:
    """Closed outlines (n, 2). Pairs are (right, left).

    The raw lungs reach the midline: what covers them (heart, mediastinum) is taken off after drawing, so that borders
    are shared to the pixel. `recesses` is the lung that hangs behind the diaphragm domes.
    """

    lungs: tuple[Points, Points]
    recesses: tuple[Points, Points]
    domes: tuple[Points, Points]
    heart: Points
    mediastinum: Points
    airways: tuple[Points, ...]
    torso: Points
    arms: tuple[Points, Points]
    head: Points | None
    breasts: tuple[Points, ...]
    pectorals: tuple[Points, ...]
    hila: tuple[tuple[float, float], tuple[float, float]]
    bubble: Points | None
    bowel: tuple[Points, ...]


def chest_wall(anatomy: Anatomy, side: int, y: float | np.ndarray) -> np.ndarray:
    """Reach (x, positive on both sides) of the inner chest wall at height y."""
    depth = anatomy.cp_depth[0 if side < 0 else 1]
    down = np.asarray(y, dtype=np.float64) / depth
    knots = (-0.02, 0.02, 0.05, 0.11, 0.22, 0.37, 0.59, 0.79, 1.0)
    reach = (
        anatomy.apex,
        anatomy.apex + 0.15,
        0.57,
        0.71,
        0.84,
        0.915,
        0.97,
        1.0,
        anatomy.cp_reach[0 if side < 0 else 1],
    )
    x = np.interp(down, knots, reach)
    return np.asarray(x * (1 - anatomy.cone * (1 - down)) + anatomy.bulge * np.sin(np.pi * np.clip(down, 0, 1)))


def dome_top(anatomy: Anatomy, pose: Pose, side: int) -> float:
    """Level (y) of the top of a diaphragm dome."""
    drop = 0.0 if side < 0 else anatomy.dome_drop
    return max(anatomy.cp_depth) - anatomy.dome + drop + pose.breath


def _diaphragm(anatomy: Anatomy, pose: Pose, side: int) -> list[tuple[float, float]]:
    """Control points of a dome from the costophrenic angle to the midline, on the positive side."""
    i = 0 if side < 0 else 1
    angle_x, angle_y = anatomy.cp_reach[i], anatomy.cp_depth[i] + 0.6 * pose.breath
    top, peak = dome_top(anatomy, pose, side), anatomy.dome_peak
    return [
        (angle_x, angle_y),
        (0.90 * angle_x, top + 0.66 * (angle_y - top)),
        (0.76 * angle_x, top + 0.36 * (angle_y - top)),
        (0.5 * (peak + 0.76 * angle_x), top + 0.12 * (angle_y - top)),
        (peak, top),
        (0.2, top + 0.02),
        (0.0, top + 0.07),
    ]


def _lung(anatomy: Anatomy, pose: Pose, side: int) -> Points:
    depth = anatomy.cp_depth[0 if side < 0 else 1]
    levels = np.array([0.93, 0.79, 0.59, 0.37, 0.22, 0.11, 0.05]) * depth
    levels[:2] += np.array([0.55, 0.35]) * pose.breath
    wall = list(zip(chest_wall(anatomy, side, levels), levels, strict=True))
    angle = _diaphragm(anatomy, pose, side)[0]
    roof = [(anatomy.apex, 0.0), (0.55 * anatomy.apex, 0.05), (0.05, 0.19)]
    upper = curve([angle, *wall, *roof])
    return mirrored(np.vstack([upper, curve(_diaphragm(anatomy, pose, side))[::-1]]), side)


def _recess(anatomy: Anatomy, pose: Pose, side: int) -> Points:
    floor = curve(_diaphragm(anatomy, pose, side))
    low = floor + np.array([0.0, 1.0]) * (0.3 * np.sin(np.linspace(0.15, np.pi - 0.3, len(floor)))[:, None])
    return mirrored(np.vstack([floor, low[::-1]]), side)


def _dome(anatomy: Anatomy, pose: Pose, side: int) -> Points:
    floor = curve(_diaphragm(anatomy, pose, side))
    return mirrored(np.vstack([floor, [[0.0, 4.5], [1.2, 4.5], [1.15, floor[0, 1]]]]), side)


def _heart(anatomy: Anatomy, pose: Pose) -> Points:
    left, right = anatomy.heart_left * pose.heart, anatomy.heart_right * pose.heart
    floor = dome_top(anatomy, pose, 1) + 0.05
    height = anatomy.heart_height * pose.heart
    top = floor - height
    outline = curve(
        [
            (0.06, top - 0.02),
            (-0.12, top + 0.05),
            (-0.8 * right, top + 0.27 * height),
            (-right, top + 0.55 * height),
            (-0.93 * right, top + 0.78 * height),
            (-0.72 * right, top + 0.93 * height),
            (0.1, floor + 0.02),
            (0.62 * left, floor + 0.03),
            (0.88 * left, floor - 0.06 * height),
            (left, floor - 0.24 * height),
            (0.96 * left, floor - 0.45 * height),
            (0.76 * left, floor - 0.68 * height),
            (0.6 * left, floor - 0.86 * height),
            (0.30, top - 0.05),
        ],
        closed=True,
    )
    c, s = np.cos(anatomy.heart_tilt), np.sin(anatomy.heart_tilt)
    pivot = np.array([0.1, floor - 0.4 * height])
    turned: Points = (outline - pivot) @ np.array([[c, s], [-s, c]]) + pivot + np.array([pose.yaw, 0.0])
    return turned


def _mediastinum(anatomy: Anatomy, pose: Pose, heart: Points) -> Points:
    wide, thymus, k = anatomy.superior, anatomy.thymus, anatomy.knob_level
    neck = max(wide, 0.13)
    low = float(heart[:, 1].max())
    waist_y = max(float(heart[:, 1].min()) + 0.04, k + 0.28)
    right = [(-neck - 0.03, -1.4), (-neck, -0.3), (-0.9 * neck, 0.05), (-wide, 0.3), (-wide - thymus, 0.6)]
    right += [(-wide - 0.3 * thymus, 0.85), (-0.17, waist_y + 0.1), (-0.17, low), (-0.15, 4.5)]
    left = [
        (0.15, 4.5),
        (0.17, low),
        (0.30, waist_y + 0.22),
        (anatomy.waist, waist_y),
        (0.93 * anatomy.waist, waist_y - 0.12),
    ]
    left += [(max(0.85 * anatomy.knob, 0.15) + 0.5 * thymus, k + 0.13), (anatomy.knob + thymus, k + 0.02)]
    left += [
        (0.93 * anatomy.knob + thymus, k - 0.08),
        (wide + 0.02, k - 0.18),
        (neck, 0.1),
        (neck, -0.3),
        (neck + 0.03, -1.4),
    ]
    outline = curve(right + left, closed=True, steps=6)
    outline += np.array([0.6 * pose.yaw, 0.0])
    return outline


def _airways(anatomy: Anatomy, pose: Pose) -> tuple[Points, ...]:
    fork = anatomy.knob_level + 0.17
    x = 0.5 * pose.yaw
    trachea = curve([(x, -1.2), (x, -0.2), (x - 0.02, fork - 0.22), (x - 0.035, fork - 0.1), (x - 0.015, fork)])
    right = curve([(x - 0.015, fork - 0.05), (x - 0.09, fork + 0.07), (x - 0.20, fork + 0.22)])
    left = curve([(x - 0.015, fork - 0.05), (x + 0.08, fork + 0.09), (x + 0.24, fork + 0.17)])
    wide = 0.052 if anatomy.child else 0.062
    return band(trachea, wide), band(right, 0.7 * wide), band(left, 0.6 * wide)


def _torso(anatomy: Anatomy, pose: Pose) -> Points:
    outline: list[Points] = []
    for side, shrug in zip(SIDES, pose.shrug, strict=True):
        f, n, m = anatomy.fat, anatomy.neck, anatomy.muscle
        half = curve(
            [
                (n + 0.04, -1.6),
                (n, -0.75 - shrug),
                (n + 0.06, -0.42 - 0.6 * shrug),
                (0.70, -0.24 - shrug),
                (1.12, -0.12 - shrug),
                (1.34 + m * 0.4, 0.10 - shrug),
                (1.36 + 0.5 * f, 0.62 - 0.5 * shrug),
                (1.12 + f, 0.98),
                (1.04 + f, 1.35),
                (1.02 + f, 1.8),
                (1.0 + 1.05 * f, 2.4),
                (1.02 + 1.3 * f, 4.5),
            ]
        )
        outline.append(mirrored(half, side))
    return np.vstack([outline[0], outline[1][::-1]])


def _arm(anatomy: Anatomy, pose: Pose, side: int) -> Points:
    i = 0 if side < 0 else 1
    angle, joint = pose.arm[i], np.array([1.22, 0.14 - pose.shrug[i]])
    way = np.linspace(0.0, 3.0, 8)[:, None]
    centre = joint + way * np.array([np.sin(angle), np.cos(angle)])
    return mirrored(band(centre, anatomy.muscle * np.linspace(1.05, 0.72, 8)), side)


def _breasts(anatomy: Anatomy, rng: np.random.Generator) -> tuple[Points, ...]:
    if anatomy.breast <= 0:
        return ()
    shapes = []
    for side in SIDES:
        r = 0.36 + 0.14 * anatomy.breast
        x, y = 0.56 + 0.03 * rng.normal(), anatomy.breast_level + 0.03 * rng.normal()
        shapes.append(mirrored(ellipse(x, y, r * 1.02, r, tilt=-0.2), side))
    return tuple(shapes)


def _pectoral(pose: Pose, side: int) -> Points:
    lift = -pose.shrug[0 if side < 0 else 1]
    outline = [(1.15, 0.25 + lift), (0.95, 0.75), (0.62, 0.98), (0.25, 0.95), (0.2, 0.45), (0.7, 0.18 + lift)]
    return mirrored(curve(outline, closed=True), side)


def _bubble(anatomy: Anatomy, pose: Pose, rng: np.random.Generator) -> Points | None:
    """Gastric bubble below the left dome, with a fluid level when the patient stands."""
    rx, ry = 0.10 + 0.22 * anatomy.bubble, 0.06 + 0.12 * anatomy.bubble
    top = dome_top(anatomy, pose, 1) + rng.uniform(0.05, 0.16)
    bubble = ellipse(0.48 + 0.1 * rng.normal(), top + ry, rx, ry, tilt=0.2 * rng.normal())
    if anatomy.bubble < 0.35:
        return None
    if pose.view == "PA":
        bubble[:, 1] = np.minimum(bubble[:, 1], top + 1.25 * ry)
    return bubble


def _bowel(anatomy: Anatomy, pose: Pose, rng: np.random.Generator) -> tuple[Points, ...]:
    """Gas in the colon: in most patients a little, in some a lot of it up to the domes."""
    top = dome_top(anatomy, pose, 1) + (0.3 if anatomy.bowel > 0.4 else 0.55)
    shapes = []
    for _ in range(int(rng.integers(0, 4) + 10 * anatomy.bowel)):
        x, y, tilt = rng.uniform(-0.7, 0.9), top + rng.uniform(0.0, 0.9), rng.uniform(-1, 1)
        shapes.append(ellipse(x, y, rng.uniform(0.06, 0.22), rng.uniform(0.05, 0.13), tilt=tilt))
    return tuple(shapes)


def draw_organs(anatomy: Anatomy, pose: Pose, rng: np.random.Generator) -> Organs:
    """Draw all soft outlines; `rng` places what has no role in the masks (gas, breasts)."""
    heart = _heart(anatomy, pose)
    head = None
    if rng.random() < (0.6 if anatomy.child else 0.12):
        head = ellipse(0.15 * rng.normal(), -0.98 + 0.2 * rng.random(), 0.52, 0.46)
    fork = anatomy.knob_level + 0.3
    return Organs(
        lungs=(_lung(anatomy, pose, -1), _lung(anatomy, pose, 1)),
        recesses=(_recess(anatomy, pose, -1), _recess(anatomy, pose, 1)),
        domes=(_dome(anatomy, pose, -1), _dome(anatomy, pose, 1)),
        heart=heart,
        mediastinum=_mediastinum(anatomy, pose, heart),
        airways=_airways(anatomy, pose),
        torso=_torso(anatomy, pose),
        arms=(_arm(anatomy, pose, -1), _arm(anatomy, pose, 1)),
        head=head,
        breasts=_breasts(anatomy, rng),
        pectorals=tuple(_pectoral(pose, side) for side in SIDES),
        hila=((-0.21, fork + 0.08), (0.26, fork + 0.02)),
        bubble=_bubble(anatomy, pose, rng),
        bowel=_bowel(anatomy, pose, rng),
    )
