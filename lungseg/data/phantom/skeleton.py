"""Bones and pulmonary vessels, in units of `Anatomy`: centre lines and outlines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungseg.data.phantom.anatomy import Anatomy
from lungseg.data.phantom.organs import SIDES, Organs, chest_wall
from lungseg.data.phantom.pose import Pose
from lungseg.data.phantom.shapes import Points, band, curve, ellipse, mirrored

N_RIBS = 11


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """Closed outlines (n, 2); ribs and clavicles on both sides. `clavicles` are whole bones, (right, left)."""

    back_ribs: tuple[Points, ...]
    front_ribs: tuple[Points, ...]
    clavicles: tuple[Points, Points]
    clavicle_fields: tuple[Points, Points]
    vertebrae: tuple[Points, ...]
    column: Points
    pedicles: tuple[Points, ...]
    sternum: Points
    blades: tuple[Points, ...]
    ridges: tuple[Points, ...]
    shafts: tuple[Points, ...]
    joints: tuple[Points, ...]


def _ribs(anatomy: Anatomy, rng: np.random.Generator) -> tuple[list[Points], list[Points]]:
    back, front = [], []
    for side in SIDES:
        for k in range(N_RIBS):
            start = -0.06 + k * anatomy.rib_gap * 1.02 + 0.008 * rng.normal()
            slope = anatomy.rib_slope * (0.55 + 0.09 * k) + 0.012 * rng.normal()
            end = max(start + slope, 0.12)
            wall = float(chest_wall(anatomy, side, min(end, 1.05 * anatomy.cp_depth[0]))) + 0.015
            if k == 0:
                wall = min(wall, anatomy.apex + 0.30)
            rear = curve(
                [
                    (0.13, start),
                    (0.30, start - 0.045 + 0.1 * slope),
                    (0.62 * wall, start + 0.22 * slope),
                    (0.87 * wall, start + 0.62 * slope),
                    (wall, end),
                ]
            )
            wide = anatomy.rib_width * (0.85 + 0.3 * min(k, 4) / 4)
            back.append(mirrored(band(rear, wide * np.linspace(0.85, 1.05, len(rear))), side))
            if k > 6:
                continue
            drop = (0.30 + 0.03 * k) * (0.75 + anatomy.rib_slope)
            inner = 0.30 + 0.028 * k + 0.015 * rng.normal()
            turn = float(chest_wall(anatomy, side, min(end + 0.10, 2.2))) + 0.012 if k else wall
            fore = curve(
                [(wall, end), (turn, end + 0.10), (0.5 * (turn + inner) + 0.13, end + 0.62 * drop), (inner, end + drop)]
            )
            front.append(mirrored(band(fore, wide * np.linspace(0.95, 1.3, len(fore))), side))
    return back, front


def _clavicle(anatomy: Anatomy, pose: Pose, side: int) -> tuple[Points, Points]:
    """The bone, and the part of it over the lung and rib cage (which is what the SCR masks show)."""
    shrug = pose.shrug[0 if side < 0 else 1]
    x0 = 0.13 + side * 1.2 * pose.yaw
    y0 = 0.30 - 0.15 * shrug - (0.07 if pose.view == "AP" else 0.0)
    y1 = 0.02 - 1.1 * shrug
    centre = curve(
        [
            (x0, y0),
            (x0 + 0.13, y0 - 0.045),
            (0.52, y0 + 0.42 * (y1 - y0)),
            (0.82, y0 + 0.85 * (y1 - y0)),
            (1.18, y1 - 0.03),
        ],
        steps=12,
    )
    wide = 0.05 * (0.85 + 0.15 * min(anatomy.bone, 1.3)) * (0.8 if anatomy.child else 1.0)
    taper = wide * np.interp(np.linspace(0, 1, len(centre)), [0, 0.12, 0.45, 0.8, 1], [1.35, 1.0, 0.8, 0.75, 1.0])
    over = centre[:, 0] < chest_wall(anatomy, side, centre[:, 1]) + 0.03
    n = max(int(np.argmin(over)) if not over.all() else len(centre), 12)
    return mirrored(band(centre, taper), side), mirrored(band(centre[:n], taper[:n]), side)


def _spine(anatomy: Anatomy) -> tuple[list[Points], Points, list[Points]]:
    vertebrae, pedicles = [], []
    y = np.linspace(-1.5, 4.2, 60)
    x = anatomy.scoliosis * np.sin(1.6 * y)
    column = band(np.stack([x, y], axis=1), np.interp(y, [-1.5, 0.0, 2.0, 4.2], [0.095, 0.10, 0.135, 0.165]))
    level, gap = -1.4, anatomy.rib_gap
    while level < 3.6:
        tall = gap * float(np.interp(level, [-1.4, 0, 2.2, 3.6], [0.75, 0.88, 1.12, 1.35]))
        cx = anatomy.scoliosis * float(np.sin(1.6 * level))
        half = float(np.interp(level, [-1.5, 0.0, 2.0, 4.2], [0.095, 0.10, 0.135, 0.165]))
        box = np.array([[-1, -0.41], [-0.9, 0], [-1, 0.41], [1, 0.41], [0.9, 0], [1, -0.41]]) * [half, tall]
        vertebrae.append(box + np.array([cx, level]))
        pedicles += [
            ellipse(cx + s * 0.62 * half, level - 0.12 * tall, 0.17 * half, 0.17 * tall, steps=10) for s in SIDES
        ]
        pedicles.append(ellipse(cx, level + 0.25 * tall, 0.12 * half, 0.24 * tall, steps=10))
        level += tall
    return vertebrae, column, pedicles


def _shoulder(anatomy: Anatomy, pose: Pose, side: int) -> tuple[Points, Points, Points, Points]:
    """Shoulder blade, its ridge, the shaft of the upper arm and its head."""
    i = 0 if side < 0 else 1
    shift, lift = pose.blades, -pose.shrug[i]
    blade = curve(
        [
            (0.86 - shift, 0.05 + lift),
            (0.78 - shift, 0.28 + lift),
            (0.83 - shift, 0.68 + lift),
            (0.95 - shift, 1.02 + lift),
            (1.04 - shift, 0.80 + lift),
            (1.10 - 0.5 * shift, 0.42 + lift),
            (1.16, 0.26 + lift),
            (1.13, 0.06 + lift),
        ],
        closed=True,
        steps=5,
    )
    ridge = band(curve([(0.82 - shift, 0.22 + lift), (1.0, 0.07 + lift), (1.24, -0.07 + lift)]), 0.03)
    angle, joint = pose.arm[i], np.array([1.22, 0.14 + lift])
    along = np.array([np.sin(angle), np.cos(angle)])
    bone = 0.075 + 0.12 * (anatomy.muscle - 0.2)
    shaft = band(joint + np.linspace(0.0, 2.8, 6)[:, None] * along, bone * np.array([1.25, 0.95, 0.9, 0.9, 0.9, 1.0]))
    ball = ellipse(joint[0], joint[1], 1.55 * bone, 1.55 * bone)
    return mirrored(blade, side), mirrored(ridge, side), mirrored(shaft, side), mirrored(ball, side)


def draw_skeleton(anatomy: Anatomy, pose: Pose, rng: np.random.Generator) -> Skeleton:
    """Draw all bones; `rng` jitters the ribs (pass the patient's, so that they stay the same)."""
    back, front = _ribs(anatomy, rng)
    pairs = [_clavicle(anatomy, pose, side) for side in SIDES]
    vertebrae, column, pedicles = _spine(anatomy)
    shoulders = [_shoulder(anatomy, pose, side) for side in SIDES]
    x = 1.2 * pose.yaw
    sternum = curve(
        [(x - 0.13, 0.24), (x + 0.13, 0.24), (x + 0.09, 0.55), (x + 0.08, 1.2), (x - 0.08, 1.2), (x - 0.09, 0.55)],
        closed=True,
    )
    return Skeleton(
        back_ribs=tuple(back),
        front_ribs=tuple(front),
        clavicles=(pairs[0][0], pairs[1][0]),
        clavicle_fields=(pairs[0][1], pairs[1][1]),
        vertebrae=tuple(vertebrae),
        column=column,
        pedicles=tuple(pedicles),
        sternum=sternum,
        blades=tuple(s[0] for s in shoulders),
        ridges=tuple(s[1] for s in shoulders),
        shafts=tuple(s[2] for s in shoulders),
        joints=tuple(s[3] for s in shoulders),
    )


def grow_vessels(organs: Organs, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Grow branching vessels from both hila.

    Returns:
        Segments (n, 2, 2) from point to point, in units; their widths (n,), in units, thinnest first.
    """
    segments, widths = [], []
    for side, hilum in zip(SIDES, organs.hila, strict=True):
        n = 13
        angle = np.linspace(-1.30, 1.50, n) + rng.normal(0, 0.12, n)  # 0 = lateral, + = down
        place = np.array(hilum) + np.stack([0.04 * side * rng.normal(size=n), 0.20 * (np.linspace(-0.6, 1, n))], axis=1)
        width = rng.uniform(0.013, 0.030, n) * np.where(angle > 0.1, 1.2, 0.75)
        bend = rng.normal(0, 0.05, n)
        for _ in range(22):
            if not len(place):
                break
            step = 0.055 * np.stack([side * np.cos(angle), np.sin(angle)], axis=1)
            segments.append(np.stack([place, place + step], axis=1))
            widths.append(width)
            place, width = place + step, width * 0.93
            angle = angle + bend + rng.normal(0, 0.09, len(angle))
            split = rng.random(len(angle)) < 0.23
            turn = rng.uniform(0.3, 0.8, len(angle)) * rng.choice([-1.0, 1.0], len(angle))
            place = np.vstack([place, place[split]])
            angle = np.concatenate([angle - 0.3 * np.where(split, turn, 0), angle[split] + turn[split]])
            bend = np.concatenate([bend, rng.normal(0, 0.05, int(split.sum()))])
            width = np.concatenate([np.where(split, 0.82, 1.0) * width, 0.68 * width[split]])
            keep = width > 0.0028
            place, angle, width, bend = place[keep], angle[keep], width[keep], bend[keep]
    flat, wide = np.vstack(segments), np.concatenate(widths)
    order = np.argsort(wide, kind="stable")
    return flat[order], wide[order]
