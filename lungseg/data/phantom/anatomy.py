"""The patient: what is drawn once and is the same in all of a patient's images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Label = Literal["normal", "lobar", "bilateral"]
LABELS: tuple[Label, ...] = ("normal", "lobar", "bilateral")


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """The parameters of a thorax.

    Lengths are in half-widths of the rib cage (about 14 cm in an adult): x = 0 is the midline and x < 0 the patient's
    right (image left), y = 0 the level of the lung apices, y pointing down.

    Attributes:
        sex: "F" or "M".
        age: Years.
        label: What the lungs suffer from.
        half_width_mm: What one unit of length is in the patient, in mm.
        cp_depth: y of the costophrenic angles (right, left); `cp_reach`: their x.
        dome: Height of the right diaphragm dome above the costophrenic angle; `dome_drop`: how much lower the left is;
            `dome_peak`: x of the tops.
        cone: How much narrower the rib cage is at the top; `bulge`: how much wider in the middle.
        apex: x of the lung apices.
        heart_left: Reach of the heart to the left; `heart_right`: to the right; `heart_height`; `heart_tilt`: radians,
            clockwise.
        knob: Reach of the aortic knob, at the height `knob_level`; `waist`: reach of the pulmonary trunk; `superior`:
            of the upper mediastinum; `thymus`: what a small child's thymus adds.
        fat: Thickness of the soft tissue beside the ribs; `muscle`: half-width of the upper arm; `neck`: of the neck.
        breast: Size of the breasts, 0 = none; `breast_level`: their y.
        rib_slope: How far a posterior rib drops from spine to chest wall; `rib_gap`: between neighbouring ribs;
            `rib_width`: half of their width.
        bone: Density of all bones, 1 = usual; `spine`: of the spine on top of that.
        vessel: Density of the pulmonary vessels, 1 = usual; `hilum`: of the haze around the hila.
        liver: Density of the abdomen against the trunk's, 1 = denser, below 0 = less dense.
        bowel: Amount of gas in the colon; `bubble`: in the stomach.
        scoliosis: Sideways reach of the spine's curve.
        wobble: Low waves that bend everything alike: amplitude in x and y, wave number, phase; see `canvas.Canvas`.
    """

    sex: Literal["F", "M"]
    age: int
    label: Label
    half_width_mm: float
    cp_depth: tuple[float, float]
    cp_reach: tuple[float, float]
    dome: float
    dome_drop: float
    dome_peak: float
    cone: float
    bulge: float
    apex: float
    heart_left: float
    heart_right: float
    heart_height: float
    heart_tilt: float
    knob: float
    knob_level: float
    waist: float
    superior: float
    thymus: float
    fat: float
    muscle: float
    neck: float
    breast: float
    breast_level: float
    rib_slope: float
    rib_gap: float
    rib_width: float
    bone: float
    vessel: float
    hilum: float
    liver: float
    bowel: float
    spine: float
    scoliosis: float
    bubble: float
    wobble: tuple[tuple[float, float, float, float], ...]

    @property
    def child(self) -> bool:
        """Younger than 13 years: other proportions, another pose."""
        return self.age < 13


def draw_anatomy(rng: np.random.Generator, label: Label) -> Anatomy:
    """Draw a patient; proportions follow age, sex and build, with the spread seen among real patients."""
    child = rng.random() < 0.18
    age = int(rng.integers(1, 13)) if child else int(np.clip(rng.normal(50, 19), 13, 95))
    sex: Literal["F", "M"] = "F" if rng.random() < 0.48 else "M"
    grown = min(age / 17.0, 1.0)
    build = float(np.clip(rng.normal(0, 1), -2, 2.4))  # -: slender, +: stout
    old = float(np.clip((age - 45) / 40, 0, 1))

    adult_mm = rng.normal(140 if sex == "M" else 127, 8)
    breath = rng.normal(0, 0.16)
    depth = float(np.clip(1.76 + 0.31 * grown - 0.08 * build + breath, 1.35, 2.5))
    uneven = rng.normal(0, 0.06)
    big_heart = max(0.0, rng.normal(0, 1)) * 0.05 + (0.07 if child else 0.0) + 0.03 * old
    return Anatomy(
        sex=sex,
        age=age,
        label=label,
        half_width_mm=float(adult_mm * (0.47 + 0.53 * grown)),
        cp_depth=(float(depth + uneven), float(depth - uneven + rng.normal(0, 0.03))),
        cp_reach=(float(rng.uniform(0.88, 0.98)), float(rng.uniform(0.9, 1.0))),
        dome=float(np.clip(rng.normal(0.45, 0.09) - 0.06 * old, 0.2, 0.68)),
        dome_drop=float(rng.normal(0.06, 0.08)),
        dome_peak=float(rng.uniform(0.32, 0.5)),
        cone=float(rng.normal(0.0, 0.06) + (0.05 if child else 0.0)),
        bulge=float(rng.normal(0.0, 0.02)),
        apex=float(rng.uniform(0.26, 0.40)),
        heart_left=float(np.clip(rng.normal(0.55, 0.07) + big_heart + 0.03 * build, 0.38, 0.86)),
        heart_right=float(np.clip(rng.normal(0.25, 0.04) + 0.5 * big_heart, 0.14, 0.46)),
        heart_height=float(np.clip(rng.normal(0.86, 0.08) + 0.5 * big_heart, 0.62, 1.2)),
        heart_tilt=float(rng.normal(0.0, 0.06)),
        knob=float(np.clip(rng.normal(0.235, 0.03) + 0.08 * old - (0.05 if child else 0.0), 0.13, 0.42)),
        knob_level=float(rng.normal(0.58, 0.06)),
        waist=float(np.clip(rng.normal(0.265, 0.03), 0.18, 0.36)),
        superior=float(np.clip(rng.normal(0.125, 0.025) + 0.02 * build, 0.07, 0.26)),
        thymus=float(max(0.0, rng.normal(0.10, 0.08))) if age < 5 else 0.0,
        fat=float(np.clip(0.14 + 0.05 * build + rng.normal(0, 0.025), 0.05, 0.36)),
        muscle=float(np.clip(0.30 + 0.04 * build + rng.normal(0, 0.03), 0.2, 0.46)) * (0.75 if child else 1.0),
        neck=float(rng.normal(0.30, 0.04)),
        breast=float(np.clip(rng.normal(0.62, 0.25) + 0.18 * build, 0.15, 1.3)) if sex == "F" and age > 14 else 0.0,
        breast_level=float(rng.normal(1.42, 0.14) + 0.16 * old),
        rib_slope=float(rng.normal(0.30, 0.08)) - (0.12 if child else 0.0),
        rib_gap=float(depth * rng.normal(0.092, 0.005)),
        rib_width=float(rng.normal(0.036, 0.005)),
        bone=float(np.clip(rng.normal(1.0, 0.25) - 0.25 * old, 0.4, 1.6)),
        vessel=float(np.clip(rng.normal(0.9, 0.25), 0.35, 1.5)),
        hilum=float(rng.uniform(0.4, 1.5)),
        liver=float(rng.uniform(-0.9, 1.3)),
        bowel=float(max(0.0, rng.normal(0.2, 0.5))),
        spine=float(rng.uniform(0.4, 1.3)),
        scoliosis=float(rng.normal(0.0, 0.025) * (1 + old)),
        bubble=float(rng.uniform(0.0, 1.0)),
        wobble=tuple(
            (
                float(rng.normal(0, 0.012)),
                float(rng.normal(0, 0.012)),
                float(rng.uniform(0.8, 3.2)),
                float(rng.uniform(0, 6.3)),
            )
            for _ in range(4)
        ),
    )
