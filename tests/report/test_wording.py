"""Numbers, counts and times as a report writes them."""

from __future__ import annotations

import math

import pytest

from lungseg.report.wording import (
    METRIC_NAMES,
    capital,
    count,
    decimal,
    duration,
    listed,
    metric_name,
    part_name,
    signed,
    some,
    source_name,
    span,
    structure_name,
    to_count,
    to_float,
)

NAN = math.nan
MINUS = "\u2212"  # the sign that is as wide as a plus
DASH = "\u2013"


@pytest.mark.parametrize("value", ["0.5", None, True, [1], {}])
def test_what_is_no_number_is_nan(value: object):
    assert math.isnan(to_float(value))


def test_whole_numbers_are_numbers():
    assert to_float(3) == 3.0


@pytest.mark.parametrize(("value", "found"), [(3.0, 3), (0, 0), (NAN, None), (math.inf, None), ("3", None)])
def test_a_count_is_whole_or_unknown(value: object, found: int | None):
    assert to_count(value) == found


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.5, 4, "0.5000"), (-0.25, 2, f"{MINUS}0.25"), (NAN, 4, DASH), (math.inf, 4, DASH), (0.99996, 4, "1.0000")],
)
def test_a_number_has_fixed_decimals(value: float, digits: int, text: str):
    assert decimal(value, digits) == text


@pytest.mark.parametrize(("value", "text"), [(0.25, "+0.25"), (-0.25, f"{MINUS}0.25"), (0.0, "+0.00"), (NAN, DASH)])
def test_a_difference_has_its_sign(value: float, text: str):
    assert signed(value, 2) == text


def test_an_interval_stands_in_brackets():
    assert span(-0.1, 0.2, 1) == f"[{MINUS}0.1, 0.2]"


def test_an_interval_of_a_difference_has_two_signs():
    assert span(-0.1, 0.2, 1, plus=True) == f"[{MINUS}0.1, +0.2]"


@pytest.mark.parametrize(("low", "high"), [(NAN, 1.0), (0.0, NAN), (NAN, NAN)])
def test_an_undefined_interval_is_left_out(low: float, high: float):
    assert span(low, high) == ""


def test_an_unknown_count_is_a_dash():
    assert count(None) == DASH
    assert count(0) == "0"


def test_thousands_are_separated():
    assert count(13_040_705) == "13,040,705"


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 patients"), (1, "1 patient"), (2, "2 patients"), (1246, "1,246 patients")]
)
def test_one_is_singular(number: int, text: str):
    assert some(number, "patient") == text


def test_an_irregular_plural_is_given():
    assert some(2, "axis", "axes") == "2 axes"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),  # rounds to 60 seconds
        (192, "3 min 12 s"),
        (3599.7, "1 h 0 min"),  # rounds to 3600 seconds
        (7384, "2 h 3 min"),  # 2 * 3600 + 3 * 60 + 4
        (-1, DASH),
        (NAN, DASH),
    ],
)
def test_a_time_span_has_its_two_largest_units(seconds: float, text: str):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("names", "text"), [([], ""), (["A"], "A"), (["A", "B"], "A and B"), (["A", "B", "C"], "A, B and C")]
)
def test_names_are_joined_as_in_a_sentence(names: list[str], text: str):
    assert listed(names) == text


def test_known_names_are_written_as_usual_and_others_as_they_are():
    assert (part_name("val"), part_name("mine")) == ("validation", "mine")
    assert (source_name("mc_sh"), source_name("mine")) == ("MC+SH", "mine")
    assert (metric_name("iou_pooled"), metric_name("my_metric")) == ("IoU, pooled", "my metric")
    assert (structure_name("left_clavicle"), structure_name("mean")) == ("left clavicle", "mean of structures")


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        ("hd95_px", "HD95, px"),
        ("soft_dice", "soft Dice"),
        ("recall_pooled", "recall, pooled"),
        ("iou_classes", "IoU, mean with background"),
        ("tanimoto_micro_all", "Tanimoto, pooled over all classes"),
        ("my_metric_pooled", "my metric pooled"),  # not one of ours: left as it is
        ("_pooled", " pooled"),
    ],
)
def test_the_name_of_a_metric_says_how_it_was_brought_together(metric: str, text: str):
    assert metric_name(metric) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("v7_darwin", "V7 COVID-19 CXR"),
        ("qatar_covid", "COVID-19 Radiography"),
        ("covid_qu_ex", "COVID-QU-Ex"),
    ],
)
def test_the_sets_of_covid_have_their_published_names(source: str, text: str):
    assert source_name(source) == text


def test_every_metric_that_evaluation_writes_has_a_name():
    from lungseg.metrics.boundary import Boundary
    from lungseg.metrics.overlap import PER_IMAGE
    from lungseg.metrics.soft import SOFT

    assert {*PER_IMAGE, *SOFT, *Boundary.columns} <= set(METRIC_NAMES)


def test_a_capital_leaves_the_rest_as_it_is():
    assert (capital("mean IoU"), capital("")) == ("Mean IoU", "")
