from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungseg.data.splits.base import check_subjects
from lungseg.data.splits.holdout import HoldoutSplit
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError


def table(n, per_subject=1, label=lambda i: None, source=lambda i: "s"):
    return SamplesTable.from_rows(
        {
            "sample_id": f"{source(i)}/{i}",
            "subject_id": f"{source(i)}/p{i // per_subject}",
            "source": source(i),
            "image": f"{i}.png",
            "masks": {},
            "label": label(i),
            "view": None,
            "sex": None,
            "age": None,
            "spacing_mm": None,
            "official_split": None,
        }
        for i in range(n)
    )


def counts(parts):
    return tuple(int((parts == part).sum()) for part in ("train", "val", "test"))


def test_fractions_are_of_the_patients():
    assert counts(HoldoutSplit().assign(table(100), 0)) == (70, 10, 20)


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 60), st.integers(1, 4), st.integers(0, 5))
def test_no_patient_is_ever_in_two_parts(n, per_subject, seed):
    samples = table(n * per_subject, per_subject)
    assert check_subjects(samples, HoldoutSplit().assign(samples, seed)) == 0


def test_the_seed_decides_and_the_order_of_rows_does_not():
    samples = table(50)
    order = np.random.default_rng(0).permutation(50)
    parts = HoldoutSplit().assign(samples, 0)
    np.testing.assert_array_equal(HoldoutSplit().assign(samples.take(order), 0), parts[order])
    np.testing.assert_array_equal(HoldoutSplit().assign(samples, 0), parts)
    assert (HoldoutSplit().assign(samples, 1) != parts).any()


def test_strata_are_spread_evenly():
    samples = table(100, label=lambda i: "ill" if i < 20 else "well")
    parts = HoldoutSplit(stratify="label").assign(samples, 0)
    # a fifth of each part: 14 of 70, 2 of 10, 4 of 20
    assert counts(parts[:20]) == (14, 2, 4)


def test_each_source_is_in_each_part():
    samples = table(40, source=lambda i: "a" if i < 20 else "b")
    assert counts(HoldoutSplit().assign(samples, 0)[:20]) == (14, 2, 4)


def test_splitting_by_sample_may_tear_patients():
    samples = table(40, per_subject=4)
    assert check_subjects(samples, HoldoutSplit(by="sample").assign(samples, 0), allow=True) > 0


def test_a_part_may_be_left_out():
    assert counts(HoldoutSplit(train=0.8, val=0.2, test=0).assign(table(10), 0)) == (8, 2, 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"train": 0.9}, "add up to 1.2"),
        ({"val": -0.1}, "split.val is -0.1"),
        ({"test": 1.0}, "split.test is 1.0"),
        ({"by": "patient"}, "split.by is 'patient'"),
    ],
    ids=["sum", "negative", "all", "by"],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(ConfigError) as caught:
        HoldoutSplit(**options)
    assert said in str(caught.value)


@pytest.mark.data
def test_the_real_montgomery_set_is_split_96_14_28(real_data):
    from lungseg.data.sources.montgomery import MontgomerySource

    samples = SamplesTable.from_rows(MontgomerySource(search=str(real_data)).index().rows)
    # 138 * .7 = 96.6, .1 = 13.8, .2 = 27.6: 96, 13 and 27 first; the two left go to .8 and, of the tied .6, to one
    assert counts(HoldoutSplit().assign(samples, 0)) == (96, 14, 28)
