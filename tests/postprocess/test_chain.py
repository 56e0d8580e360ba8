from __future__ import annotations

import numpy as np
import pytest

from lungseg.data.preprocess.base import Placement
from lungseg.errors import ConfigError
from lungseg.postprocess.chain import Postprocess
from lungseg.postprocess.threshold import Threshold

WHOLE = Placement(0, 0, 4, 4)


def logits() -> np.ndarray:
    """Left half 2 (probability 0.88), right half -2 (0.12)."""
    return np.where(np.arange(4) < 2, 2, -2).astype(np.float32) * np.ones((1, 4, 1), np.float32)


def test_masks_and_probabilities_come_on_the_grid_asked_for():
    masks, probability = Postprocess({"threshold": Threshold()})(logits(), WHOLE, (7, 9))
    assert (masks.shape, masks.dtype) == ((1, 7, 9), bool)
    assert (probability.shape, probability.dtype) == ((1, 7, 9), np.float32)


def test_the_first_step_takes_probabilities():
    for value, pixels in ((0.5, 8), (0.9, 0), (0.1, 16)):
        masks, _ = Postprocess({"threshold": Threshold(value=value)})(logits(), WHOLE, (4, 4))
        assert masks.sum() == pixels


def test_further_steps_take_masks_in_order():
    def first_column(masks: np.ndarray) -> np.ndarray:
        kept = np.zeros_like(masks)
        kept[:, :, 0] = masks[:, :, 0]
        return kept

    chain = Postprocess({"threshold": Threshold(), "column": first_column, "not": np.logical_not})
    masks, _ = chain(logits(), WHOLE, (4, 4))
    assert masks.sum() == 12  # 4 pixels in the first column, turned


def test_the_chain_tells_its_threshold():
    assert Postprocess({"threshold": Threshold(value=0.3)}).threshold == 0.3
    assert Postprocess({"own": lambda probability: probability > 0.2}).threshold == 0.5


def test_no_steps_are_refused():
    with pytest.raises(ConfigError, match="postprocess=threshold"):
        Postprocess({})


class TestSoftmax:
    """K + 1 logits, background first."""

    chain = Postprocess({"threshold": Threshold()}, activation="softmax")

    def test_the_background_has_no_mask(self):
        logits = np.zeros((3, 4, 4), np.float32)
        logits[2, :, :2] = 5  # e^5 / (e^5 + 2) = 0.987
        masks, probability = self.chain(logits, WHOLE, (4, 4))
        assert masks.shape == (2, 4, 4)
        assert masks.sum(axis=(1, 2)).tolist() == [0, 8]
        np.testing.assert_allclose(probability[1, 0], [0.9867, 0.9867, 1 / 3, 1 / 3], atol=1e-4)

    def test_what_the_network_never_saw_is_background(self):
        # the left half of the published image was cropped away
        _, probability = self.chain(np.zeros((2, 4, 4), np.float32), Placement(0, -4, 4, 8), (4, 8))
        np.testing.assert_allclose(probability[0, 0], [0] * 4 + [0.5] * 4, atol=1e-6)
