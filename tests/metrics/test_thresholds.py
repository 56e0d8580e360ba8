"""Thresholds of labels, chosen on validation images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_curve

from lungseg.errors import ConfigError, DataError
from lungseg.metrics.thresholds import LabelThreshold, LabelThresholds


def column(scores: list[float], truth: list[float], **settings: Any) -> LabelThreshold:
    chosen = LabelThresholds(**settings)(np.array(scores)[:, None], np.array(truth)[:, None], classes=["mass"])
    return chosen["mass"]


def validation(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    truth = (generator.random((n, 2)) < [0.1, 0.5]).astype(float)
    return np.clip(0.6 * generator.random((n, 2)) + 0.3 * truth, 0, 1), truth


def test_no_threshold_has_a_higher_f1_than_the_one_chosen():
    p, truth = validation()
    found = LabelThresholds(rule="f1")(p, truth, classes=["mass", "nodule"])
    for c, name in enumerate(("mass", "nodule")):
        ours = f1_score(truth[:, c], p[:, c] >= found[name].threshold)
        assert ours == pytest.approx(found[name].f1, abs=1e-12)
        assert ours == pytest.approx(max(f1_score(truth[:, c], p[:, c] >= t) for t in p[:, c]), abs=1e-12)


def test_no_threshold_has_a_higher_youden_index_than_the_one_chosen():
    p, truth = validation()
    found = LabelThresholds(rule="youden")(p, truth, classes=["mass", "nodule"])["nodule"]
    rate, sensitivity, _ = roc_curve(truth[:, 1], p[:, 1])
    assert found.sensitivity + found.specificity - 1 == pytest.approx((sensitivity - rate).max(), abs=1e-12)


def test_the_sensitivity_asked_for_is_reached_at_the_highest_specificity():
    p, truth = validation()
    found = LabelThresholds(rule="sensitivity", sensitivity=0.9)(p, truth, classes=["mass", "nodule"])["nodule"]
    rate, sensitivity, _ = roc_curve(truth[:, 1], p[:, 1], drop_intermediate=False)
    assert found.sensitivity >= 0.9
    assert 1 - found.specificity == pytest.approx(rate[sensitivity >= 0.9].min(), abs=1e-12)


def test_a_threshold_lies_half_way_between_probabilities():
    found = column([0.1, 0.3, 0.4, 0.9], [0, 0, 1, 1])
    assert (found.threshold, found.f1, found.chosen) == (pytest.approx(0.35), 1.0, True)


def test_of_equally_good_thresholds_the_nearest_to_the_default_is_taken():
    # one of each, tied: Youden's index is 0 whether both are predicted or neither, and nothing lies in between
    assert column([0.2, 0.2], [0, 1], rule="youden").threshold == pytest.approx(0.6)
    assert column([0.2, 0.2], [0, 1], rule="youden", default=0.2).threshold == pytest.approx(0.1)


def test_certain_probabilities_have_a_threshold_too():
    assert column([0.0, 1.0], [0, 1]).f1 == 1
    # the positive has probability 0: only a threshold of 0 finds it
    found = column([0.0, 1.0], [1, 0], rule="sensitivity", sensitivity=1.0)
    assert (found.threshold, found.sensitivity, found.specificity) == (0, 1, 0)


@pytest.mark.parametrize("truth", [[0, 0, np.nan], [1, 1, np.nan]], ids=["none", "all"])
def test_a_label_of_one_kind_keeps_the_default(truth: list[float]):
    found = column([0.1, 0.9, 0.2], truth, default=0.4)
    assert (found.threshold, found.chosen, found.n_known) == (0.4, False, 2)


def test_unknown_labels_take_no_part():
    scores, truth = [0.1, 0.3, 0.4, 0.9], [0, 0, 1, 1]
    assert column([*scores, 0.95, 0.05], [*truth, np.nan, np.nan]) == column(scores, truth)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rule": "best"}, "rule=best of the label thresholds must be one of f1, youden, sensitivity"),
        ({"sensitivity": 0}, "sensitivity=0 "),
        ({"default": 1}, "default=1 "),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        LabelThresholds(**settings)


def test_columns_that_are_no_classes_are_refused():
    with pytest.raises(DataError, match="one column for each of mass, nodule"):
        LabelThresholds()(np.zeros((3, 1)), np.zeros((3, 1)), classes=["mass", "nodule"])
