from __future__ import annotations

import numpy as np
import pytest

from lungseg.data.preprocess.base import Placement, Prepared, single_channel
from lungseg.errors import ConfigError


def test_other_grey_values_keep_masks_and_placement_and_leave_the_sample_as_it_was():
    sample = Prepared(np.zeros((2, 2), np.uint8), np.ones((1, 2, 2), np.uint8), Placement(0, 0, 2, 2))
    changed = sample.with_image(np.full((2, 2), 9, np.uint8))
    assert changed.image.tolist() == [[9, 9], [9, 9]]
    assert changed.masks is sample.masks
    assert changed.placement == sample.placement
    assert not sample.image.any()


def test_colour_is_refused_by_a_step_on_grey_values():
    colour = Prepared(np.zeros((2, 2, 3), np.uint8), np.ones((1, 2, 2), np.uint8), Placement(0, 0, 2, 2))
    with pytest.raises(ConfigError, match=r"preprocess\.steps\.clahe works on one channel.*\(2, 2, 3\).*grey step"):
        single_channel(colour, "clahe")
