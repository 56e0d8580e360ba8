import logging

import numpy as np
import pytest

from lungseg.data.balance.one_per_patient import OnePerPatient
from lungseg.errors import ConfigError
from tests.data.balance.tables import table, training

SAMPLES = [(f"p{i % 3}", "Mass" if i < 3 else "No Finding") for i in range(9)]
"""Three patients, each with one Mass and two No Finding."""


def kept(parts, label=None):
    return sorted(p for (p, own), part in zip(SAMPLES, parts, strict=True) if part == "train" and own == (label or own))


def test_every_patient_keeps_one_sample():
    assert kept(OnePerPatient().apply(table(*SAMPLES), training(9), 0)) == ["p0", "p1", "p2"]


def test_only_samples_with_the_labels_may_be_thinned_out(caplog):
    with caplog.at_level(logging.INFO):
        parts = OnePerPatient(labels=["No Finding"]).apply(table(*SAMPLES), training(9), 0)
    assert kept(parts, "Mass") == ["p0", "p1", "p2"]
    assert kept(parts, "No Finding") == ["p0", "p1", "p2"]
    assert "before: 9 samples of 3 patients (Mass 3, No Finding 6); after: 6 samples of 3 patients" in caplog.text


def test_other_parts_stay_and_do_not_count():
    parts = np.array(["test", "val", "unused"] * 1 + ["train"] * 6)
    found = OnePerPatient().apply(table(*SAMPLES), parts, 0)
    assert found[:3].tolist() == ["test", "val", "unused"]
    assert kept(found) == ["p0", "p1", "p2"]


def test_the_draw_goes_by_the_seed():
    draws = [OnePerPatient().apply(table(*SAMPLES), training(9), seed).tolist() for seed in (0, 0, 1, 2, 3)]
    assert draws[0] == draws[1]
    assert len({tuple(draw) for draw in draws}) > 1


def test_a_label_that_no_sample_has_is_refused_with_a_near_name():
    with pytest.raises(ConfigError, match="Did you mean 'No Finding'"):
        OnePerPatient(labels=["No Findings"]).apply(table(*SAMPLES), training(9), 0)


@pytest.mark.parametrize("labels", ["No Finding", []], ids=["text", "empty"])
def test_labels_are_a_list(labels):
    with pytest.raises(ConfigError, match=r"balance\.labels is"):
        OnePerPatient(labels=labels)
