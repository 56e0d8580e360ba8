from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lungseg.data.phantom.anatomy import LABELS, draw_anatomy


@pytest.fixture(scope="module")
def patients():
    return [draw_anatomy(np.random.default_rng(seed), LABELS[seed % 3]) for seed in range(400)]


def test_the_same_generator_draws_the_same_patient():
    assert draw_anatomy(np.random.default_rng(5), "normal") == draw_anatomy(np.random.default_rng(5), "normal")


def test_the_label_changes_the_label_only():
    ill, well = (draw_anatomy(np.random.default_rng(5), label) for label in ("lobar", "normal"))
    assert dataclasses.replace(ill, label="normal") == well


def test_a_child_is_younger_than_thirteen(anatomy):
    assert [dataclasses.replace(anatomy, age=age).child for age in (1, 12, 13)] == [True, True, False]


def test_ages_and_shares_of_children_and_women_are_as_drawn(patients):
    ages = [patient.age for patient in patients]
    assert 1 <= min(ages) < max(ages) <= 95
    # 18 % of 400 is 72 with a standard deviation of 7.7, 48 % is 192 with one of 10: four of them either way
    assert 41 <= sum(patient.child for patient in patients) <= 103
    assert 152 <= sum(patient.sex == "F" for patient in patients) <= 232


def test_children_are_smaller_than_grown_men(patients):
    small = np.mean([patient.half_width_mm for patient in patients if patient.age <= 6])
    grown = np.mean([patient.half_width_mm for patient in patients if patient.age > 17 and patient.sex == "M"])
    # at 6 years 0.47 + 0.53 * 6 / 17 = 0.66 of the grown width
    assert small / grown < 0.68


def test_only_women_have_breasts(patients):
    assert all((patient.breast > 0) == (patient.sex == "F" and patient.age > 14) for patient in patients)


def test_only_small_children_have_a_thymus(patients):
    assert all(patient.thymus == 0 for patient in patients if patient.age >= 5)
    assert any(patient.thymus > 0 for patient in patients)


def test_the_heart_reaches_further_to_the_left_than_to_the_right(patients):
    # clipped to 0.38 and more on the left; the right one is 0.46 at most, in a heart that is large on both sides
    assert all(patient.heart_left > patient.heart_right for patient in patients)


def test_every_value_is_a_plain_number(patients):
    values = dataclasses.asdict(patients[0])
    numbers = [value for key, value in values.items() if key not in {"sex", "label", "cp_depth", "cp_reach", "wobble"}]
    assert {type(value) for value in numbers} == {int, float}  # no numpy scalar, so that a patient compares and prints
