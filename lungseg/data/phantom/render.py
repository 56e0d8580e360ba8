"""From outlines to attenuation: a line integral through the patient for each pixel, and the masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.phantom.anatomy import Anatomy
from lungseg.data.phantom.canvas import Canvas, cloud
from lungseg.data.phantom.opacity import draw_opacity
from lungseg.data.phantom.organs import Organs, draw_organs
from lungseg.data.phantom.pose import Pose
from lungseg.data.phantom.shapes import Plane, Points, ellipse, inflate, soft
from lungseg.data.phantom.skeleton import Skeleton, draw_skeleton, grow_vessels

Mask = NDArray[np.bool_]
Streams = Callable[[str], np.random.Generator]
"""Gives an own generator to each purpose, so that a draw more for one of them (at another size) changes no other."""
STRUCTURES = ("right_lung", "left_lung", "heart", "right_clavicle", "left_clavicle")
_AIR = 0.47
"""What a lung takes from the attenuation of the trunk, which is about 1."""


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """What the detector sees before any film or display.

    Attributes:
        attenuation: (height, width) float32, 0 in air, about 1 through the mediastinum.
        masks: (height, width) bool by structure.
        body: (height, width) float32, share of the pixel covered by the patient.
    """

    attenuation: Plane
    masks: dict[str, Mask]
    body: Plane


@dataclass(frozen=True, kw_only=True)
class _Planes:
    """Layers, (height, width) float32 in [0, 1], that several parts of the picture need."""

    thick: Plane
    belly: Plane
    body: Plane
    clear: Plane
    air: Plane
    open_air: Plane
    cage: Plane


def render(anatomy: Anatomy, pose: Pose, size: tuple[int, int], *, patient: Streams, image: Streams) -> Rendering:
    """Project a patient.

    Args:
        anatomy: The patient.
        pose: The image's posture and projection.
        size: (height, width) in pixels.
        patient: Generators of what belongs to the patient (ribs, vessels, disease): the same for each of the images.
        image: Generators of what changes from image to image (gas, texture).
    """
    canvas = Canvas(anatomy, pose, size)
    organs = draw_organs(anatomy, pose, image("organs"))
    skeleton = draw_skeleton(anatomy, pose, patient("ribs"))
    vessels = canvas.vessels(*grow_vessels(organs, patient("vessels")))
    texture = image("texture")
    planes = _planes(canvas, organs, draw_opacity(anatomy, organs, canvas, patient("opacity")))
    total = _soft_tissue(canvas, anatomy, organs, planes)
    total -= np.float32(_AIR) * planes.air
    total += np.float32(0.035) * planes.belly * cloud(texture, size, 5) * np.float32(0.4 + anatomy.bowel)
    total += _lung_marks(canvas, anatomy, organs, planes, vessels, texture)
    total -= _gas(canvas, anatomy, organs, planes)
    total += np.float32(anatomy.bone) * _bones(canvas, anatomy, skeleton, planes)
    total *= 1 + np.float32(0.008) * cloud(texture, size, 10) + np.float32(0.02) * cloud(texture, size, 2.5)
    return Rendering(
        attenuation=np.maximum(total, 0).astype(np.float32),
        masks=_masks(canvas, organs, skeleton),
        body=planes.body,
    )


def _planes(canvas: Canvas, organs: Organs, opacity: Plane | None) -> _Planes:
    unit = canvas.unit
    trunk, arms = canvas.fill([organs.torso]), canvas.fill(organs.arms)
    wall = 0.70 * inflate(trunk, 0.30 * unit) + 0.30 * inflate(trunk, 0.95 * unit)
    belly = canvas.soft(organs.domes, 0.02)

    lungs = canvas.fill(organs.lungs)
    heart, middle = canvas.soft([organs.heart], 0.012), canvas.soft([organs.mediastinum], 0.015)
    solid = inflate(canvas.fill([organs.heart]), 0.22 * unit)
    # lung lies behind the heart, too, and behind its edge most
    cover = np.clip(np.maximum(heart * (0.55 + 0.33 * solid), 0.95 * middle), 0, 1)
    clear = soft(0.15 * (lungs > 127).astype(np.float32) + 0.85 * inflate(lungs, 0.35 * unit), 0.008 * unit)
    air = clear * (1 - cover) + 0.16 * canvas.soft(organs.recesses, 0.09) * (1 - heart) * (1 - middle) * belly
    wide = cv2.dilate(lungs, np.ones((3, 3), np.uint8), iterations=max(1, round(0.03 * unit)))
    return _Planes(
        thick=soft(np.maximum(wall, 0.62 * inflate(arms, 0.36 * unit)), 0.02 * unit),
        belly=belly,
        body=soft(np.maximum(trunk, arms), 0.4),
        clear=clear,
        air=air if opacity is None else air * (1 - opacity),
        open_air=clear * (1 - np.maximum(heart, middle)),
        cage=np.clip(soft(np.asarray(wide, dtype=np.uint8), 0.02 * unit), 0, 1),
    )


def _soft_tissue(canvas: Canvas, anatomy: Anatomy, organs: Organs, planes: _Planes) -> Plane:
    """The patient as water: trunk, arms, head, breasts or chest muscles."""
    liver = 0.05 * planes.belly + 0.07 * canvas.soft(organs.domes, 0.25)
    total = planes.thick * (0.94 + np.float32(anatomy.liver) * liver)
    if organs.head is not None:
        total += 0.45 * canvas.soft([organs.head], 0.03) * planes.thick
    for breast in organs.breasts:
        fold = inflate(canvas.fill([breast]), 0.34 * canvas.unit)
        total += np.float32(0.04 + 0.09 * min(anatomy.breast, 1.2)) * soft(fold, 0.02 * canvas.unit)
    if not organs.breasts:
        for muscle in organs.pectorals:
            total += np.float32(0.16 * anatomy.muscle) * canvas.soft([muscle], 0.05)
    return np.asarray(total, dtype=np.float32)


def _lung_marks(
    canvas: Canvas, anatomy: Anatomy, organs: Organs, planes: _Planes, vessels: Plane, rng: np.random.Generator
) -> Plane:
    """Vessels, fine texture, and the haze around the hila."""
    grain = cloud(rng, canvas.size, 3.9 * min(canvas.size) / max(canvas.unit, 1))
    fine = cloud(rng, canvas.size, 18 * min(canvas.size) / max(canvas.unit, 1))
    marks = planes.air * (np.float32(0.15 * anatomy.vessel) * vessels + np.float32(0.010) * (grain + fine))
    for x, y in organs.hila:
        for rx, ry, blur, dense in ((0.07, 0.16, 0.05, 0.09), (0.20, 0.38, 0.16, 0.10)):
            haze = canvas.soft([ellipse(x, y, rx, ry)], blur) * planes.open_air
            marks += np.float32(dense * anatomy.hilum) * haze * (0.7 + 0.3 * vessels)
    return np.asarray(marks, dtype=np.float32)


def _gas(canvas: Canvas, anatomy: Anatomy, organs: Organs, planes: _Planes) -> Plane:
    """Air outside the lungs: trachea, main bronchi, stomach, colon."""
    gas = np.float32(0.09) * canvas.soft(organs.airways[:1], 0.022)
    for bronchus in organs.airways[1:]:
        gas += np.float32(0.05) * canvas.soft([bronchus], 0.014)
    if organs.bubble is not None:
        gas += np.float32(0.17 * anatomy.bubble) * canvas.soft([organs.bubble], 0.025) * planes.belly
    if organs.bowel:
        gas += np.float32(0.11) * canvas.soft(organs.bowel, 0.05) * planes.belly
    return gas


def _bones(canvas: Canvas, anatomy: Anatomy, skeleton: Skeleton, planes: _Planes) -> Plane:
    back = canvas.bones(skeleton.back_ribs, core=165, rim=0.014)
    front = canvas.bones(skeleton.front_ribs, core=165, rim=0.012)
    # scatter hides the ribs before heart and liver
    seen = 0.18 + 0.82 * np.clip(planes.air, 0, 1) / np.maximum(planes.clear, 0.6)
    bone = (np.float32(0.115) * back + np.float32(0.065) * front * planes.cage) * seen
    bone += np.float32(0.13) * canvas.bones(skeleton.clavicles, core=170, rim=0.016)
    bone += np.float32(0.065) * canvas.bones(skeleton.blades, core=120, rim=0.016, tube=False)
    bone += np.float32(0.06) * canvas.bones(skeleton.ridges, core=150, rim=0.016)
    bone += np.float32(0.15) * canvas.bones(skeleton.shafts, core=170, rim=0.03)
    bone += np.float32(0.10) * canvas.bones(skeleton.joints, core=170, rim=0.03, tube=False)
    spine = np.float32(0.055) * canvas.soft([skeleton.column], 0.03)
    spine += np.float32(0.02) * canvas.soft([skeleton.sternum], 0.02)
    spine += np.float32(0.035) * canvas.bones(skeleton.vertebrae, core=120, rim=0.012, tube=False)
    spine += np.float32(0.03) * canvas.soft(skeleton.pedicles, 0.012)
    return np.asarray((bone + np.float32(anatomy.spine) * spine) * np.minimum(1, planes.thick * 4), dtype=np.float32)


def _masks(canvas: Canvas, organs: Organs, skeleton: Skeleton) -> dict[str, Mask]:
    """Masks in the SCR convention: lungs without heart, mediastinum and what lies below the domes."""

    def solid(shape: Points) -> Mask:
        return np.asarray(canvas.fill([shape]) > 127)

    heart = solid(organs.heart)
    cover = heart | solid(organs.mediastinum)
    right, left = (solid(lung) & ~cover for lung in organs.lungs)
    masks = {"right_lung": _largest(right & ~left), "left_lung": _largest(left), "heart": heart}
    for name, shape in zip(("right_clavicle", "left_clavicle"), skeleton.clavicle_fields, strict=True):
        masks[name] = solid(shape)
    return masks


def _largest(mask: Mask) -> Mask:
    """Keep the largest piece: what a heart cuts off below itself is not outlined by a reader."""
    n, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if n <= 2:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))
