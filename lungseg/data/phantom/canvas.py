"""A patient's own drawing board: outlines in units of `Anatomy` go in, planes of pixels come out."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.phantom.anatomy import Anatomy
from lungseg.data.phantom.pose import Pose
from lungseg.data.phantom.shapes import SUBPIXEL_BITS, Plane, Points, fill, fixed, soft, stroke


class Canvas:
    """Bends a patient's outlines by the patient's own low waves, projects and draws them.

    Args:
        anatomy: The patient.
        pose: The image's posture and projection.
        size: (height, width) in pixels.
    """

    def __init__(self, anatomy: Anatomy, pose: Pose, size: tuple[int, int]) -> None:
        self.size = size
        self.unit = float(np.sqrt(pose.scale[0] * pose.scale[1])) * min(size)
        """Pixels per unit of length."""
        self._anatomy, self._pose = anatomy, pose
        self._middle = 0.25 * sum(anatomy.cp_depth) - 0.03

    def project(self, points: Points) -> Points:
        """Bring (n, 2) points in units to (n, 2) pixels."""
        bent = points.copy()
        for ax, ay, k, phase in self._anatomy.wobble:
            bent[:, 0] += ax * np.sin(k * points[:, 1] + phase)
            bent[:, 1] += ay * np.sin(k * points[:, 0] + phase)
        return self._pose.to_pixels(bent, self.size, self._middle)

    def _project_all(self, shapes: Iterable[Points]) -> list[Points]:
        """Project many outlines in one go: a hundred small calls cost more than all the drawing."""
        outlines = list(shapes)
        ends = np.cumsum([len(outline) for outline in outlines])[:-1]
        return np.split(self.project(np.vstack(outlines)), ends)

    def fill(self, shapes: Iterable[Points], *, value: int = 255) -> NDArray[np.uint8]:
        """Fill closed outlines on one plane."""
        return fill(self.size, self._project_all(shapes), value=value)

    def soft(self, shapes: Iterable[Points], blur: float, *, least: float = 0.0) -> Plane:
        """Fill closed outlines and blur them by `blur` units, `least` pixels at least; values in [0, 1]."""
        return soft(self.fill(shapes), max(blur * self.unit, least))

    def bones(self, shapes: Iterable[Points], *, core: int, rim: float, tube: bool = True) -> Plane:
        """Draw bones: a bright rim (cortex) around a paler core; values in [0, 1].

        Args:
            shapes: Closed outlines.
            core: Level of the inside, out of 255.
            rim: Width of the rim in units.
            tube: The outlines come from `shapes.band`, whose ends are open.
        """
        outlines = self._project_all(shapes)
        plane = fill(self.size, outlines, value=core)
        thick = max(1, round(rim * self.unit))
        # a rim thinner than a pixel is drawn one pixel wide, but paler
        value = int(core + (255 - core) * min(1.0, rim * self.unit / thick))
        rims = [half for s in outlines for half in (s[: len(s) // 2], s[len(s) // 2 :])] if tube else outlines
        stroke(plane, rims, value, thick, closed=not tube)
        return soft(plane, max(0.008 * self.unit, 0.45))

    def vessels(self, segments: NDArray[np.float64], widths: NDArray[np.float64]) -> Plane:
        """Draw (n, 2, 2) segments of (n,) half-widths, thinnest first; the thin ones are pale; values in [0, 1]."""
        ends = fixed(self.project(segments.reshape(-1, 2))).reshape(-1, 2, 2)
        plane = np.zeros(self.size, np.uint8)
        for (start, end), wide in zip(ends.tolist(), (widths * self.unit).tolist(), strict=True):
            thick = max(1, round(wide))
            value = int(255 * min(1.0, 0.2 + 0.8 * wide / thick) * min(1.0, 0.3 + wide / (0.045 * self.unit)))
            cv2.line(plane, start, end, value, thick, cv2.LINE_AA, SUBPIXEL_BITS)
        return soft(plane, max(0.007 * self.unit, 0.4))


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
