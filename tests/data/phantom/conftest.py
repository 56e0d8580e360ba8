"""A patient and a pose without any chance in them, so that distances can be worked out."""

from __future__ import annotations

import pytest

from lungseg.data.phantom.anatomy import Anatomy
from lungseg.data.phantom.pose import Pose


@pytest.fixture
def anatomy() -> Anatomy:
    """An upright, healthy man, straight and the same on both sides."""
    return Anatomy(
        sex="M", age=40, label="normal", half_width_mm=140.0, cp_depth=(2.0, 2.0), cp_reach=(0.95, 0.95), dome=0.45,
        dome_drop=0.06, dome_peak=0.4, cone=0.0, bulge=0.0, apex=0.33, heart_left=0.55, heart_right=0.25,
        heart_height=0.86, heart_tilt=0.0, knob=0.24, knob_level=0.58, waist=0.27, superior=0.13, thymus=0.0, fat=0.14,
        muscle=0.3, neck=0.3, breast=0.0, breast_level=1.42, rib_slope=0.3, rib_gap=0.18, rib_width=0.036, bone=1.0,
        vessel=0.9, hilum=1.0, liver=0.2, bowel=0.0, spine=0.8, scoliosis=0.0, bubble=0.8, wobble=(),
    )  # fmt: skip


@pytest.fixture
def pose() -> Pose:
    """Straight before the detector, one unit of length 0.4 of the shorter side."""
    return Pose(
        view="PA", scale=(0.4, 0.4), shift=(0.0, 0.0), angle=0.0, yaw=0.0, breath=0.0, arm=(0.5, 0.5),
        shrug=(0.0, 0.0), blades=0.0, heart=1.0,
    )  # fmt: skip
