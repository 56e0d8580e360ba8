"""The phantom: sample `index` of the set `seed`, computed on demand."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.phantom.anatomy import LABELS, Anatomy, Label, draw_anatomy
from lungseg.data.phantom.hints import Hints
from lungseg.data.phantom.imaging import Exposure, burn_mark, develop, draw_exposure, finish
from lungseg.data.phantom.pose import Pose, draw_pose
from lungseg.data.phantom.render import Rendering, Streams, render
from lungseg.errors import ConfigError

_IMAGES_PER_PATIENT = (1, 1, 1, 2, 2, 2, 2, 3, 4)
PATIENTS_PER_BLOCK = len(_IMAGES_PER_PATIENT)
IMAGES_PER_BLOCK = sum(_IMAGES_PER_PATIENT)
_PATIENT, _IMAGE, _BLOCK = 0, 1, 2  # the streams of random numbers


@dataclass(frozen=True, kw_only=True)
class PhantomFacts:
    """What is known of a sample without drawing it; `marked`: a mark is burnt into its corner (see `Hints`)."""

    index: int
    subject: int
    subject_id: str
    label: Label
    sex: Literal["F", "M"]
    age: int
    view: Literal["PA", "AP"]
    spacing_mm: tuple[float, float]
    marked: bool


@dataclass(frozen=True, kw_only=True)
class PhantomSample:
    """One radiograph with its masks.

    Attributes:
        pixels: (height, width) uint8, or uint16 with values 0..4095 for 12 bits; bright = dense.
        masks: (height, width) bool by structure: right_lung, left_lung, heart, right_clavicle, left_clavicle. "Right"
            is the patient's right, on the image's left. As in the SCR masks of JSRT, lungs leave out heart,
            mediastinum and what lies below the diaphragm, and clavicles end at the rib cage.
        facts: Patient, label, view, spacing.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    masks: dict[str, NDArray[np.bool_]]
    facts: PhantomFacts


class Phantom:
    """An endless set of procedural frontal chest radiographs.

    A sample is a function of (seed, index) and of nothing else: neither of the order of calls nor of numpy's global
    state. Samples come in blocks of 18 images of 9 patients, three of each label; a patient has one to four images with
    the same anatomy and disease and another pose, exposure and film. The picture at another size is another sampling of
    the same outlines. Burnt-in letters are in OpenCV's fonts, which differ between its major versions.

    Args:
        seed: Which set, >= 0.
        size: (height, width) in pixels, each at least 32.
        bits: 8 for uint8 pixels, 12 for uint16 pixels in 0..4095.
        hints: Which signs of the label stand outside the lungs.

    Raises:
        ConfigError: If an argument is out of its range.

    Example:
        >>> sample = Phantom(seed=0, size=(64, 64)).sample(3)
        >>> sample.pixels.shape, sample.pixels.dtype.name, sorted(sample.masks)[0]
        ((64, 64), 'uint8', 'heart')
    """

    def __init__(
        self,
        seed: int = 0,
        size: tuple[int, int] = (256, 256),
        *,
        bits: Literal[8, 12] = 8,
        hints: Hints = Hints(),  # noqa: B008  frozen
    ) -> None:
        if seed < 0:
            raise ConfigError(
                f"the phantom's seed is {seed}, which is below zero; set data.sources.phantom.seed to 0 or more"
            )
        if len(size) != 2 or min(size) < 32:
            raise ConfigError(
                f"the phantom's size is {list(size)}, but height and width must be two numbers of at least 32; "
                "set data.sources.phantom.size=[256,256]"
            )
        if bits not in (8, 12):
            raise ConfigError(f"the phantom's depth is {bits} bits, but it is 8 or 12; set data.sources.phantom.bits=8")
        self.seed, self.size, self.bits = int(seed), (int(size[0]), int(size[1])), bits
        self.hints = hints

    def subject_of(self, index: int) -> int:
        """Number of the patient that image `index` shows."""
        return self._subject(index)[0]

    def facts(self, index: int) -> PhantomFacts:
        """Patient, label, view and spacing of image `index`, without drawing it."""
        subject, label = self._subject(index)
        anatomy = draw_anatomy(self._streams(_PATIENT, subject)("anatomy"), label)
        pose = draw_pose(self._streams(_IMAGE, index)("pose"), self._outside(anatomy))
        return self._facts(index, subject, anatomy, pose)

    def sample(self, index: int) -> PhantomSample:
        """Draw image `index`, >= 0."""
        subject, label = self._subject(index)
        patient, image = self._streams(_PATIENT, subject), self._streams(_IMAGE, index)
        anatomy = draw_anatomy(patient("anatomy"), label)
        outside = self._outside(anatomy)
        pose, exposure = draw_pose(image("pose"), outside), draw_exposure(image("exposure"))
        facts = self._facts(index, subject, anatomy, pose)
        drawn = rendering = render(anatomy, pose, self.size, patient=patient, image=image)
        if outside is not anatomy:
            drawn = render(outside, pose, self.size, patient=patient, image=image)
        pixels = self._picture(drawn, drawn, exposure, image, sick=outside.label != "normal", marked=facts.marked)
        if outside is not anatomy:
            ill = self._picture(rendering, drawn, exposure, image, sick=False, marked=False)
            lungs = drawn.masks["right_lung"] | drawn.masks["left_lung"]
            # after noise and compression, so that not a grey level outside the lungs knows of the disease
            pixels = np.where(lungs, ill, pixels)
        return PhantomSample(pixels=pixels, masks=drawn.masks, facts=facts)

    def _outside(self, anatomy: Anatomy) -> Anatomy:
        """The patient as all but the lungs show him: healthy, unless the label may be seen outside the lungs."""
        if self.hints.kind == "usual" or anatomy.label == "normal":
            return anatomy
        return replace(anatomy, label="normal")

    def _picture(
        self, rendering: Rendering, metered: Rendering, exposure: Exposure, image: Streams, *, sick: bool, marked: bool
    ) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Develop, finish, digitise and, at 8 bits, compress."""
        v = develop(rendering, exposure, image("film"), metered=metered)
        v = finish(v, rendering, exposure, image("frame"), sick=sick)
        if marked:
            burn_mark(v)
        if self.bits == 12:
            return np.round(v * 4095).astype(np.uint16)
        pixels = np.round(v * 255).astype(np.uint8)
        if exposure.quality is not None:
            _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, exposure.quality])
            pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
        return pixels

    def _streams(self, kind: int, number: int) -> Streams:
        return lambda purpose: np.random.default_rng([self.seed, kind, number, zlib.crc32(purpose.encode())])

    def _subject(self, index: int) -> tuple[int, Label]:
        if index < 0:
            raise IndexError(f"phantom image {index} is below zero")
        block, place = divmod(index, IMAGES_PER_BLOCK)
        rng = self._streams(_BLOCK, block)("patients")
        counts = rng.permutation(_IMAGES_PER_PATIENT)
        labels = rng.permutation(PATIENTS_PER_BLOCK) % len(LABELS)
        within = int(np.searchsorted(np.cumsum(counts), place, side="right"))
        return block * PATIENTS_PER_BLOCK + within, LABELS[int(labels[within])]

    def _facts(self, index: int, subject: int, anatomy: Anatomy, pose: Pose) -> PhantomFacts:
        short = min(self.size)
        row, column = (anatomy.half_width_mm / (share * short) for share in (pose.scale[1], pose.scale[0]))
        return PhantomFacts(
            index=index,
            subject=subject,
            subject_id=f"P{subject:05d}",
            label=anatomy.label,
            sex=anatomy.sex,
            age=anatomy.age,
            view=pose.view,
            spacing_mm=(round(row, 4), round(column, 4)),
            marked=self._streams(_IMAGE, index)("mark").random() < self.hints.chance_of_mark(anatomy.label),
        )
