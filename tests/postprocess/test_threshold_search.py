"""The best threshold is that of trying each of them on every image."""

from __future__ import annotations

import numpy as np
import pytest

from lungseg.metrics.counts import counts_of_image
from lungseg.metrics.overlap import dice
from lungseg.postprocess.threshold import Threshold
from lungseg.postprocess.threshold_search import ThresholdSearch


def images(n: int = 4, structures: int = 2) -> list[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(0)
    found = []
    for _ in range(n):
        mask = generator.random((structures, 9, 11)) > 0.6
        probability = np.clip(0.35 * mask + 0.5 * generator.random(mask.shape), 0, 1)
        # half of them exactly on a threshold, where rounding errors would show
        on_grid = np.round(probability, 2)
        found.append((np.where(generator.random(mask.shape) > 0.5, on_grid, probability).astype(np.float32), mask))
    return found


def test_dice_at_every_threshold_is_that_of_thresholding_each_image():
    cases = images()
    cases.append((cases[0][0], np.zeros_like(cases[0][1])))  # an image without the structures
    search = ThresholdSearch(num_classes=2)
    for probability, mask in cases:
        search.update(probability, mask)
    expected = []
    for threshold in search.thresholds:
        predict = Threshold(value=float(threshold))
        values = np.stack([dice(counts_of_image(predict(p), mask)) for p, mask in cases])
        expected.append(np.nanmean(values, axis=0).mean())
    np.testing.assert_allclose(search.dice(), expected, rtol=1e-12)


def test_pixels_left_out_do_not_count():
    cases = images()
    generator = np.random.default_rng(1)
    valids = [generator.random(mask.shape[1:]) > 0.3 for _, mask in cases]
    search, cut = ThresholdSearch(num_classes=2), ThresholdSearch(num_classes=2)
    for (probability, mask), valid in zip(cases, valids, strict=True):
        search.update(probability, mask, valid)
        cut.update(probability[:, valid][:, None], mask[:, valid][:, None])
    np.testing.assert_array_equal(search.dice(), cut.dice())


def test_all_pixels_valid_is_as_none_given():
    probability, mask = images(1)[0]
    one, other = ThresholdSearch(num_classes=2), ThresholdSearch(num_classes=2)
    one.update(probability, mask)
    other.update(probability, mask, np.ones(mask.shape[1:], bool))
    np.testing.assert_array_equal(one.dice(), other.dice())


def test_a_valid_plane_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"valid has shape \(3, 3\), but the mask \(1, 2, 2\)"):
        ThresholdSearch(num_classes=1).update(
            np.zeros((1, 2, 2), np.float32), np.zeros((1, 2, 2), bool), np.ones((3, 3), bool)
        )


def test_best_is_the_highest_dice():
    search = ThresholdSearch(num_classes=1)
    # 0.25 to 0.39 find all three of three; 0.5 finds two: 2 * 2 / (2 + 3)
    search.update(np.array([[[0.25, 0.4, 0.9, 0.95]]], dtype=np.float32), np.array([[[0, 1, 1, 1]]], dtype=bool))
    assert search.best() == (0.39, 1.0)
    assert search.dice()[50] == pytest.approx(4 / 5)


def test_a_tie_goes_to_the_threshold_nearest_to_a_half():
    search = ThresholdSearch(num_classes=1)
    search.update(np.array([[[0.0, 1.0]]], dtype=np.float32), np.array([[[False, True]]]))
    assert search.best() == (0.5, 1.0)


def test_nothing_to_choose_from_is_refused():
    search = ThresholdSearch(num_classes=1)
    search.update(np.zeros((1, 2, 2), dtype=np.float32), np.zeros((1, 2, 2), dtype=bool))
    with pytest.raises(ValueError, match="no threshold can be chosen"):
        search.best()


@pytest.mark.parametrize(
    ("probability", "message"),
    [
        pytest.param(np.full((1, 2, 2), 1.5, np.float32), "apply the sigmoid first", id="logits"),
        pytest.param(np.full((1, 2, 2), np.nan, np.float32), "run from nan", id="nan"),
        pytest.param(np.zeros((2, 2, 2), np.float32), r"must be \(1, h, w\)", id="shape"),
    ],
)
def test_what_is_no_probability_of_the_mask_is_refused(probability, message):
    with pytest.raises(ValueError, match=message):
        ThresholdSearch(num_classes=1).update(probability, np.zeros((1, 2, 2), dtype=bool))


def test_no_structure_is_refused():
    with pytest.raises(ValueError, match="num_classes=0"):
        ThresholdSearch(num_classes=0)
