from __future__ import annotations

import numpy as np
import pytest

from lungseg.errors import ConfigError
from lungseg.postprocess.local_threshold import LocalThreshold
from lungseg.postprocess.otsu import Otsu
from lungseg.postprocess.threshold_union import ThresholdUnion


def lung_and_a_faint_spot() -> np.ndarray:
    """A square of 0.9 and, apart from it, a spot of 0.2 on nothing."""
    p = np.zeros((1, 120, 120), np.float32)
    p[0, 20:80, 20:80] = 0.9
    p[0, 100:104, 100:104] = 0.2
    return p


def test_both_thresholds_count():
    p = lung_and_a_faint_spot()
    found = ThresholdUnion()(p)
    # Otsu's lies between 0.2 and 0.9 and finds the square of 60 x 60, the local one the spot of 4 x 4
    assert found[0, 20:80, 20:80].all()
    assert found[0, 100:104, 100:104].all()
    assert found.sum() == 60 * 60 + 4 * 4
    assert np.array_equal(found, Otsu()(p) | LocalThreshold()(p))
    assert not np.array_equal(found, Otsu()(p))
    assert not np.array_equal(found, LocalThreshold()(p))


def test_the_global_threshold_can_be_fixed():
    p = np.full((1, 40, 40), 0.6, np.float32)
    assert ThresholdUnion(value=0.5)(p).all()
    assert not ThresholdUnion(value=0.7)(p).any()


def test_the_guard_holds_for_both():
    faint = 0.09 * lung_and_a_faint_spot() / 0.9
    assert ThresholdUnion(guard=0.0)(faint).any()
    assert not ThresholdUnion()(faint).any()


def test_the_local_settings_are_handed_on():
    p = 0.9 * np.random.default_rng(0).random((1, 50, 50)).astype(np.float32)
    expected = Otsu(guard=0.2)(p) | LocalThreshold(block=7, offset=0.1, guard=0.2)(p)
    assert np.array_equal(ThresholdUnion(block=7, offset=0.1, guard=0.2)(p), expected)


def test_a_block_without_a_middle_is_refused():
    with pytest.raises(ConfigError, match="block=10"):
        ThresholdUnion(block=10)
