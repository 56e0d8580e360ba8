"""Probabilities to masks."""

from __future__ import annotations

import numpy as np
import pytest

from lungseg.postprocess.threshold import Threshold


def test_foreground_is_above_and_not_at_the_threshold():
    found = Threshold()(np.array([[[0.49, 0.5, 0.51]]], dtype=np.float32))
    assert found.dtype == bool
    assert found.tolist() == [[[False, False, True]]]


def test_value_is_compared_as_float32():
    # float32(0.3) = 0.30000001 is not above the threshold 0.3 it was rounded from
    assert not Threshold(value=0.3)(np.full((1, 1, 1), 0.3, dtype=np.float32)).any()


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_a_value_that_is_no_probability_is_refused(value):
    with pytest.raises(ValueError, match=r"postprocess\.value"):
        Threshold(value=value)
