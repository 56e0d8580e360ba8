"""How a patient stands before the detector in one image: everything that changes between two images of one patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lungseg.data.phantom.anatomy import Anatomy
from lungseg.data.phantom.shapes import Points


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Projection and posture of one image.

    Attributes:
        view: "PA" or "AP".
        scale: (x, y) pixels per unit of `Anatomy`, as a share of the image's shorter side.
        shift: (x, y) of the thorax' centre from the image's centre, as a share of the shorter side.
        angle: Rotation in radians, clockwise.
        yaw: Sideways shift of what lies in front (heart, medial ends of the clavicles) when the patient is turned.
        breath: Shift of the diaphragm downwards, in units.
        arm: Angle of the arms from hanging, in radians, (right, left).
        shrug: Shift of shoulders and lateral clavicle ends upwards, in units, (right, left).
        blades: Shift of the scapulae over the lungs, in units.
        heart: Magnification of the heart (larger in AP views).
    """

    view: Literal["PA", "AP"]
    scale: tuple[float, float]
    shift: tuple[float, float]
    angle: float
    yaw: float
    breath: float
    arm: tuple[float, float]
    shrug: tuple[float, float]
    blades: float
    heart: float

    def to_pixels(self, points: Points, size: tuple[int, int], middle: float) -> Points:
        """Project points of the patient, (n, 2) in units, to pixels; `middle` is the y that lands on the centre."""
        short = float(min(size))
        p = (points - np.array([0.0, middle])) * (np.array(self.scale) * short)
        c, s = np.cos(self.angle), np.sin(self.angle)
        turned = p @ np.array([[c, s], [-s, c]])
        # -0.5: cv2 puts pixel centres on whole numbers
        moved: Points = turned + np.array([size[1] / 2 - 0.5, size[0] / 2 - 0.5]) + np.array(self.shift) * short
        return moved


def draw_pose(rng: np.random.Generator, anatomy: Anatomy) -> Pose:
    """Draw the pose of one image; small children lie (AP) with raised arms, the sick are more often taken AP."""
    sick = anatomy.label != "normal"
    lying = rng.random() < (0.75 if anatomy.age < 6 else 0.35 if sick else 0.15)
    wide = rng.uniform(0.66, 0.88) if rng.random() > 0.2 else rng.uniform(0.45, 0.66)
    if rng.random() < 0.08 or (anatomy.child and rng.random() < 0.4):
        wide = rng.uniform(0.82, 0.98)
    stretch = float(np.exp(rng.normal(0.0, 0.07)))
    tall = wide * stretch
    limit = rng.uniform(0.64, 1.0)  # the lungs' height as a share of the image, at most
    depth = 0.5 * sum(anatomy.cp_depth)
    if tall * depth / 2 > limit:
        shrink = limit / (tall * depth / 2)
        wide, tall = wide * max(shrink, 0.8), tall * shrink
    if anatomy.child and rng.random() < 0.45:
        arm = rng.uniform(1.5, 2.6, 2)  # held up beside the head
    elif lying or rng.random() < 0.25:
        arm = rng.uniform(0.12, 0.5, 2)
    else:
        arm = rng.uniform(0.35, 1.0) + rng.normal(0, 0.06, 2)  # hands on the hips, or around the detector
    shrug = rng.normal(0.06 if lying else 0.0, 0.06) + rng.normal(0, 0.025, 2)
    return Pose(
        view="AP" if lying else "PA",
        scale=(wide / 2, tall / 2),
        shift=(float(rng.normal(0, 0.022)), float(rng.normal(-0.025, 0.045))),
        angle=float(np.clip(rng.normal(0, 0.03), -0.12, 0.12)) * (1.6 if lying else 1.0),
        yaw=float(rng.normal(0, 0.035)) * (2.0 if anatomy.child else 1.0),
        breath=float(rng.normal(-0.08 if lying else 0.0, 0.04)),
        arm=(float(arm[0]), float(arm[1])),
        shrug=(float(shrug[0]), float(shrug[1])),
        blades=float(np.clip(rng.normal(0.16 if lying else -0.02, 0.08), -0.15, 0.4)),
        heart=float(rng.uniform(1.06, 1.18)) if lying else 1.0,
    )
