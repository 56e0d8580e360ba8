"""From outlines to attenuation: a line integral through the patient for each pixel, and the masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.phantom.anatomy import Anatomy
from lungseg.data.phantom.opacity import ToPixels, cloud, draw_opacity
from lungseg.data.phantom.organs import Organs, draw_organs
from lungseg.data.phantom.pose import Pose
from lungseg.data.phantom.shapes import SUBPIXEL_BITS, Plane, Points, ellipse, fill, fixed, inflate, soft, stroke
from lungseg.data.phantom.skeleton import Skeleton, draw_skeleton, grow_vessels

Mask = NDArray[np.bool_]
Streams = Callable[[str], np.random.Generator]
"""Gives an own generator to each purpose, so that a draw more for one of them (at another size) changes no other."""
STRUCTURES = ("right_lung", "left_lung", "heart", "right_clavicle", "left_clavicle")


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """What the detector sees before any film or display.

    Attributes:
        attenuation: (height, width) float32, 0 in air, about 1 through the mediastinum.
        masks: (height, width) bool by structure.
        body: (height, width) float32, share of the pixel covered by the patient.
        unit: Pixels per unit of `Anatomy`.
    """

    attenuation: Plane
    masks: dict[str, Mask]
    body: Plane
    unit: float


class Projector:
    """Bends a patient's outlines by the patient's own low waves and projects them to pixels."""

    def __init__(self, anatomy: Anatomy, pose: Pose, size: tuple[int, int]) -> None:
        self.anatomy, self.pose, self.size = anatomy, pose, size
        self.middle = 0.25 * sum(anatomy.cp_depth) - 0.03
        self.unit = float(np.sqrt(pose.scale[0] * pose.scale[1])) * min(size)

    def __call__(self, points: Points) -> Points:
        """Project (n, 2) points in units to (n, 2) pixels."""
        bent = points.copy()
        for ax, ay, k, phase in self.anatomy.wobble:
            bent[:, 0] += ax * np.sin(k * points[:, 1] + phase)
            bent[:, 1] += ay * np.sin(k * points[:, 0] + phase)
        return self.pose.to_pixels(bent, self.size, self.middle)


def _masks(organs: Organs, bones: Skeleton, project: ToPixels, size: tuple[int, int]) -> dict[str, Mask]:
    """Masks in the SCR convention: lungs without heart, mediastinum and what lies below the domes."""

    def solid(shape: Points) -> Mask:
        return np.asarray(fill(size, [project(shape)]) > 127)

    heart = solid(organs.heart)
    cover = heart | solid(organs.mediastinum)
    right, left = (solid(lung) & ~cover for lung in organs.lungs)
    masks = {"right_lung": _largest(right & ~left), "left_lung": _largest(left), "heart": heart}
    for name, shape in zip(("right_clavicle", "left_clavicle"), bones.clavicle_fields, strict=True):
        masks[name] = solid(shape)
    return masks


def _largest(mask: Mask) -> Mask:
    """Keep the largest piece: what a heart cuts off below itself is not outlined by a reader."""
    n, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if n <= 2:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))


def _bone(
    shapes: tuple[Points, ...],
    project: ToPixels,
    size: tuple[int, int],
    unit: float,
    *,
    core: int,
    rim: float,
    tube: bool = True,
) -> Plane:
    """Bones have a bright rim (cortex) around a paler core; `tube`: outlines come from `band` and have open ends."""
    outlines = [project(s) for s in shapes]
    plane = fill(size, outlines, value=core)
    thick = max(1, round(rim * unit))
    # a rim thinner than a pixel is drawn one pixel wide, but paler
    value = int(core + (255 - core) * min(1.0, rim * unit / thick))
    rims = [half for s in outlines for half in (s[: len(s) // 2], s[len(s) // 2 :])] if tube else outlines
    stroke(plane, rims, value, thick, closed=not tube)
    return soft(plane, max(0.008 * unit, 0.45))


def _vessels(organs: Organs, project: ToPixels, size: tuple[int, int], unit: float, rng: np.random.Generator) -> Plane:
    segments, widths = grow_vessels(organs, rng)
    ends = fixed(project(segments.reshape(-1, 2))).reshape(-1, 2, 2)
    plane = np.zeros(size, np.uint8)
    pixels = 2 * widths * unit * 0.5
    for (start, end), wide in zip(ends.tolist(), pixels.tolist(), strict=True):
        thick = max(1, round(wide))
        value = int(255 * min(1.0, 0.2 + 0.8 * wide / thick) * min(1.0, 0.3 + wide / (0.045 * unit)))
        cv2.line(plane, start, end, value, thick, cv2.LINE_AA, SUBPIXEL_BITS)
    return soft(plane, max(0.007 * unit, 0.4))


def render(anatomy: Anatomy, pose: Pose, size: tuple[int, int], *, patient: Streams, image: Streams) -> Rendering:
    """Project a patient.

    Args:
        anatomy: The patient.
        pose: The image's posture and projection.
        size: (height, width) in pixels.
        patient: Generators of what belongs to the patient (ribs, vessels, disease): the same for each of the images.
        image: Generators of what changes from image to image (gas, texture).
    """
    project = Projector(anatomy, pose, size)
    unit = project.unit
    organs = draw_organs(anatomy, pose, image("organs"))
    bones = draw_skeleton(anatomy, pose, patient("ribs"))
    opacity = draw_opacity(anatomy, organs, project, size, unit, patient("opacity"))
    vessels = _vessels(organs, project, size, unit, patient("vessels"))
    texture = image("texture")

    def shape(points: Points, blur: float) -> Plane:
        return soft(fill(size, [project(points)]), blur * unit)

    # --- the patient as water: trunk, arms, head
    trunk, arms = fill(size, [project(organs.torso)]), fill(size, [project(p) for p in organs.arms])
    body = np.maximum(trunk, arms)
    wall = 0.70 * inflate(trunk, 0.30 * unit) + 0.30 * inflate(trunk, 0.95 * unit)
    thick = soft(np.maximum(wall, 0.62 * inflate(arms, 0.36 * unit)), 0.02 * unit)
    domes = fill(size, [project(p) for p in organs.domes])
    belly = soft(domes, 0.02 * unit)
    total = thick * (0.94 + 0.05 * belly + 0.07 * soft(domes, 0.25 * unit))
    if organs.head is not None:
        total += 0.45 * shape(organs.head, 0.03) * thick
    for breast in organs.breasts:
        fold = inflate(fill(size, [project(breast)]), 0.34 * unit)
        total += np.float32(0.04 + 0.09 * min(anatomy.breast, 1.2)) * soft(fold, 0.02 * unit)
    if not organs.breasts:
        for muscle in organs.pectorals:
            total += np.float32(0.16 * anatomy.muscle) * shape(muscle, 0.05)

    # --- air
    lungs = fill(size, [project(p) for p in organs.lungs])
    depth = inflate(lungs, 0.33 * unit)
    heart, middle = shape(organs.heart, 0.012), shape(organs.mediastinum, 0.015)
    solid = inflate(fill(size, [project(organs.heart)]), 0.22 * unit)
    cover = np.clip(np.maximum(heart * (0.55 + 0.33 * solid), 0.95 * middle), 0, 1)
    clear = soft(0.22 * (lungs > 127).astype(np.float32) + 0.78 * depth, 0.008 * unit)
    air = clear * (1 - cover)
    recess = soft(fill(size, [project(p) for p in organs.recesses]), 0.09 * unit)
    air += 0.16 * recess * (1 - heart) * (1 - middle) * belly
    if opacity is not None:
        air *= 1 - opacity
    total -= np.float32(0.47) * air
    open_air = clear * (1 - np.maximum(heart, middle))
    grain = cloud(texture, size, 3.9 * min(size) / max(unit, 1))
    total += air * (np.float32(0.15 * anatomy.vessel) * vessels + np.float32(0.010) * grain)
    for x, y in organs.hila:
        for rx, ry, blur, dense in ((0.07, 0.16, 0.05, 0.09), (0.20, 0.38, 0.16, 0.10)):
            total += (
                np.float32(dense * anatomy.vessel)
                * shape(ellipse(x, y, rx, ry), blur)
                * open_air
                * (0.6 + 0.6 * vessels)
            )
    total -= np.float32(0.09) * shape(organs.airways[0], 0.022)
    for bronchus in organs.airways[1:]:
        total -= np.float32(0.05) * shape(bronchus, 0.014)
    if organs.gas:
        total -= (
            np.float32(0.17 * anatomy.bubble) * soft(fill(size, [project(p) for p in organs.gas]), 0.025 * unit) * belly
        )

    # --- bone
    wide = cv2.dilate(lungs, np.ones((3, 3), np.uint8), iterations=max(1, round(0.03 * unit)))
    cage = np.clip(soft(np.asarray(wide, dtype=np.uint8), 0.02 * unit), 0, 1)
    back = _bone(bones.back_ribs, project, size, unit, core=165, rim=0.014)
    front = _bone(bones.front_ribs, project, size, unit, core=165, rim=0.012)
    # scatter hides the ribs before heart and liver
    bone = (np.float32(0.115) * back + np.float32(0.065) * front * cage) * (
        0.18 + 0.82 * np.clip(air, 0, 1) / np.maximum(clear, 0.6)
    )
    bone += np.float32(0.13) * _bone(bones.clavicles, project, size, unit, core=170, rim=0.016)
    bone += np.float32(0.065) * _bone(bones.blades[::2], project, size, unit, core=120, rim=0.016, tube=False)
    bone += np.float32(0.06) * _bone(bones.blades[1::2], project, size, unit, core=150, rim=0.016)
    bone += np.float32(0.15) * _bone(bones.humeri[::2], project, size, unit, core=170, rim=0.03)
    bone += np.float32(0.10) * _bone(bones.humeri[1::2], project, size, unit, core=170, rim=0.03, tube=False)
    spine = np.float32(0.055) * shape(bones.column, 0.03) + np.float32(0.02) * shape(bones.sternum, 0.02)
    spine += np.float32(0.035) * _bone(bones.vertebrae, project, size, unit, core=120, rim=0.012, tube=False)
    spine += np.float32(0.03) * soft(fill(size, [project(p) for p in bones.pedicles]), 0.012 * unit)
    total += np.float32(anatomy.bone) * (bone + np.float32(anatomy.spine) * spine) * np.minimum(1, thick * 4)
    total *= 1 + np.float32(0.008) * cloud(texture, size, 10) + np.float32(0.02) * cloud(texture, size, 2.5)
    return Rendering(
        attenuation=np.maximum(total, 0).astype(np.float32),
        masks=_masks(organs, bones, project, size),
        body=soft(body, 0.4),
        unit=unit,
    )
