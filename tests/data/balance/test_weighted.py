import logging

import numpy as np
import pytest

from lungseg.data.balance.weighted import WeightedSampling
from lungseg.errors import ConfigError
from tests.data.balance.tables import labels, table, training

SAMPLES = labels(("common", 4), ("rare", 1))


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        # 1 / n: .25 x 4 and 1, mean .4 -> .625 x 4 and 2.5: each class 2.5 of the 5 draws
        (1.0, [0.625] * 4 + [2.5]),
        # 1 / sqrt(n): .5 x 4 and 1, mean .6
        (0.5, [5 / 6] * 4 + [5 / 3]),
        (0.0, [1.0] * 5),
    ],
)
def test_weights_follow_the_rarity_of_the_class(power, expected):
    weights = WeightedSampling(power=power).weights(table(*SAMPLES), training(5))
    np.testing.assert_allclose(weights, expected)


def test_a_sample_of_several_classes_has_the_mean_of_their_weights():
    samples = [("a", "x"), ("b", "x|y"), ("c", "z"), ("d", "z"), ("e", "z"), ("f", "z|?x")]
    # n: x 2, y 1, z 4 -> x .5, x|y (.5 + 1) / 2 = .75, z .25; sum .5 + .75 + 4 x .25 = 2.25, mean .375
    weights = WeightedSampling().weights(table(*samples), training(6))
    np.testing.assert_allclose(weights, np.array([0.5, 0.75, 0.25, 0.25, 0.25, 0.25]) / 0.375)


def test_samples_of_which_nothing_is_known_have_the_least_weight():
    samples = [*SAMPLES, ("q", None), ("r", "?rare")]
    weights = WeightedSampling().weights(table(*samples), training(7))
    assert weights[5] == weights[6] == weights.min() > 0


def test_only_training_samples_are_counted_and_drawn(caplog):
    parts = np.array(["train", "train", "val", "test", "train"])  # train: 2 common, 1 rare
    with caplog.at_level(logging.INFO):
        weights = WeightedSampling().weights(table(*SAMPLES), parts)
    # .5 .5 1, mean 2 / 3
    np.testing.assert_allclose(weights, [0.75, 0.75, 0, 0, 1.5])
    assert caplog.messages == [
        "balance, weighted sampling: training samples of each class: common 2, rare 1; "
        "expected in an epoch: common 2, rare 2"
    ]


def test_names_that_are_no_classes_do_not_count():
    samples = [("a", "x"), ("b", "x|rarest"), ("c", "y"), ("d", "rarest"), ("e", "none"), ("f", "other")]
    # n: x 2, y 1, none 3; weights 1/2 1/2 1 1/3 1/3 1/3, sum 3, mean .5
    weights = WeightedSampling(classes=["x", "y"]).weights(table(*samples), training(6))
    np.testing.assert_allclose(weights, [1, 1, 2, 2 / 3, 2 / 3, 2 / 3])
    all_names = WeightedSampling().weights(table(*samples), training(6))
    np.testing.assert_allclose(WeightedSampling(classes=[]).weights(table(*samples), training(6)), all_names)


def test_without_any_label_all_are_drawn_alike():
    assert WeightedSampling().weights(table(("a", None), ("b", None)), training(2)).tolist() == [1, 1]


@pytest.mark.parametrize("power", [-0.1, 1.1, float("nan")])
def test_the_power_lies_between_0_and_1(power):
    with pytest.raises(ConfigError, match=r"balance\.power is"):
        WeightedSampling(power=power)
