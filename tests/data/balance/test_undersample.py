import logging

import numpy as np
import pytest

from lungseg.data.balance.undersample import Undersample
from lungseg.errors import ConfigError
from tests.data.balance.tables import labels, table, training

SAMPLES = labels(("normal", 9), ("covid-19", 4), ("viral", 2))


def kept(samples, parts):
    found = [label for (_, label), part in zip(samples, parts, strict=True) if part == "train"]
    return {label: found.count(label) for label in found}


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (None, {"normal": 2, "covid-19": 2, "viral": 2}),
        ({"normal": 5}, {"normal": 5, "covid-19": 4, "viral": 2}),
        ({"normal": 50}, {"normal": 9, "covid-19": 4, "viral": 2}),
        ({"normal": "covid-19"}, {"normal": 4, "covid-19": 4, "viral": 2}),
        ({"normal": "covid-19", "covid-19": 3}, {"normal": 4, "covid-19": 3, "viral": 2}),
    ],
    ids=["to the rarest", "a number", "more than there are", "another class", "by its number before"],
)
def test_classes_are_brought_down_to_their_limit(limits, expected):
    parts = Undersample(limits=limits).apply(table(*SAMPLES), training(15), 0)
    assert kept(SAMPLES, parts) == expected
    assert (parts == "unused").sum() == 15 - sum(expected.values())


def test_only_the_training_part_is_touched_and_counted(caplog):
    parts = np.array(["test"] * 4 + ["train"] * 5 + ["val"] * 2 + ["train"] * 4)  # train: 5 normal, 2 covid-19, 2 viral
    with caplog.at_level(logging.INFO):
        found = Undersample().apply(table(*SAMPLES), parts, 0)
    assert (found[parts != "train"] == parts[parts != "train"]).all()
    assert kept(SAMPLES, found) == {"normal": 2, "covid-19": 2, "viral": 2}
    assert "before: 9 samples of 9 patients (covid-19 2, normal 5, viral 2)" in caplog.text
    assert "after: 6 samples of 6 patients (covid-19 2, normal 2, viral 2)" in caplog.text


def test_the_draw_goes_by_the_seed_and_not_by_the_order_of_rows():
    draws = [
        Undersample(limits={"normal": 3}).apply(table(*SAMPLES), training(15), seed).tolist() for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    samples = table(*SAMPLES)
    turned = Undersample(limits={"normal": 3}).apply(samples.take(np.arange(15)[::-1]), training(15), 0)
    assert turned[::-1].tolist() == draws[0]


def test_samples_of_several_classes_or_of_none_known_stay():
    samples = [*labels(("Mass", 3)), ("q", "Mass|Edema"), ("r", None)]
    parts = Undersample(limits={"Mass": 1}).apply(table(*samples), training(5), 0)
    assert parts[3:].tolist() == ["train", "train"]
    assert (parts[:3] == "train").sum() == 1


def test_bringing_all_down_needs_one_class_each():
    with pytest.raises(ConfigError, match=r"samples are of several at once \('Mass\|Edema'\)"):
        Undersample().apply(table(("q", "Mass|Edema")), training(1), 0)


@pytest.mark.parametrize("limits", [{"norml": 3}, {"covid-19": "norml"}], ids=["class", "limit"])
def test_a_class_that_is_not_there_is_refused_with_a_near_name(limits):
    with pytest.raises(ConfigError, match=r"'norml', which no training sample is of\. Did you mean 'normal'") as caught:
        Undersample(limits=limits).apply(table(*SAMPLES), training(15), 0)
    assert "There are: covid-19, normal, viral" in str(caught.value)


@pytest.mark.parametrize("limit", [0, -1, 2.5, True, None])
def test_limits_are_whole_numbers_of_at_least_one_or_names(limit):
    with pytest.raises(ConfigError, match=r"balance\.limits\.normal is "):
        Undersample(limits={"normal": limit})


def test_without_a_training_part_nothing_is_done():
    parts = np.array(["test", "test"])
    assert Undersample(limits={"gone": 1}).apply(table(("a", "x"), ("b", "x")), parts, 0) is parts
