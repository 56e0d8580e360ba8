from __future__ import annotations

import logging

import numpy as np
import pytest

from lungseg.data.splits.base import check_subjects
from lungseg.data.splits.count import CountSplit
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError


def table(n, subject=lambda i: i):
    return SamplesTable.from_rows(
        {
            "sample_id": f"s/{i:04d}",
            "subject_id": f"s/p{subject(i)}",
            "source": "s",
            "image": f"{i:04d}.png",
            "masks": {},
            "label": None,
            "view": None,
            "sex": None,
            "age": None,
            "spacing_mm": None,
            "official_split": None,
        }
        for i in range(n)
    )


def counts(parts):
    return int((parts == "train").sum()), int((parts == "val").sum())


@pytest.mark.parametrize(
    ("n", "expected"), [(952, (904, 48)), (951, (903, 48)), (950, (902, 48))], ids=["paper", "published", "one less"]
)
def test_jms_has_48_for_validation_as_the_paper(n, expected, caplog):
    with caplog.at_level(logging.WARNING):
        assert counts(CountSplit(val=48, of=952, draw_seed=42).assign(table(n), 0)) == expected
    assert caplog.text == ""


def test_v7_has_204_for_validation_although_patients_have_several_radiographs():
    samples = table(6395, subject=lambda i: i // 3 if i < 900 else i)
    parts = CountSplit(val=204, of=6395, draw_seed=42).assign(samples, 0)
    assert counts(parts) == (6191, 204)
    assert check_subjects(samples, parts) == 0


def test_a_patient_too_large_for_what_is_left_is_passed_over():
    # patients of 1, 2, ..., 8 radiographs: 36 in all; 3 are wanted, so that the large ones never fit
    owner = np.repeat(np.arange(8), np.arange(1, 9))
    for seed in range(5):
        assert counts(CountSplit(val=3, of=36).assign(table(36, subject=lambda i: owner[i]), seed)) == (33, 3)


def test_a_set_of_another_size_gets_the_same_share_and_the_log_says_so(caplog):
    # 204 / 6395 * 100 = 3.19
    with caplog.at_level(logging.WARNING):
        assert counts(CountSplit(val=204, of=6395).assign(table(100), 0)) == (97, 3)
    assert "here are 100, so it holds back 3" in caplog.text


def test_a_stated_seed_is_used_instead_of_the_runs():
    samples = table(60)
    fixed = CountSplit(val=6, of=60, draw_seed=1)
    np.testing.assert_array_equal(fixed.assign(samples, 0), fixed.assign(samples, 5))
    np.testing.assert_array_equal(CountSplit(val=6, of=60).assign(samples, 1), fixed.assign(samples, 0))
    assert (CountSplit(val=6, of=60).assign(samples, 2) != fixed.assign(samples, 0)).any()


def test_splitting_by_sample_may_tear_patients():
    samples = table(40, subject=lambda i: i // 8)
    parts = CountSplit(val=20, of=40, by="sample").assign(samples, 0)
    assert counts(parts) == (20, 20)
    assert check_subjects(samples, parts, allow=True) > 0


@pytest.mark.parametrize(
    ("n", "subject"), [(10, lambda i: i), (40, lambda i: 0)], ids=["share below one", "one patient has all"]
)
def test_too_small_a_set_is_refused(n, subject):
    with pytest.raises(DataError, match="too few to hold back 204 of 6395"):
        CountSplit(val=204, of=6395).assign(table(n, subject), 0)


@pytest.mark.parametrize("val", [0, 10, -1])
def test_a_number_outside_the_set_is_refused(val):
    with pytest.raises(ConfigError, match=rf"split\.val is {val} and split\.of is 10"):
        CountSplit(val=val, of=10)


@pytest.mark.data
def test_the_real_jms_union_is_split_902_48(real_data):
    from lungseg.data.sources.jsrt import JsrtSource
    from lungseg.data.sources.mc_sh import McShSource

    rows = [row for source in (JsrtSource, McShSource) for row in source(search=str(real_data)).index().rows]
    samples = SamplesTable.from_rows(rows)
    assert counts(CountSplit(val=48, of=952, draw_seed=42).assign(samples, 0)) == (902, 48)
