from __future__ import annotations

import hashlib

import numpy as np
import pytest

from lungseg.data.splits.base import check_subjects, hold_back, ordered_groups, seeded_order, share_out, split_hash
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError


def table(subjects, labels=None):
    """A table with one row per entry of `subjects`."""
    labels = labels or [None] * len(subjects)
    return SamplesTable.from_rows(
        {
            "sample_id": f"s/{i}",
            "subject_id": f"s/{subject}",
            "source": "s",
            "image": f"{i}.png",
            "masks": {},
            "label": label,
            "view": None,
            "sex": None,
            "age": None,
            "spacing_mm": None,
            "official_split": None,
        }
        for i, (subject, label) in enumerate(zip(subjects, labels, strict=True))
    )


def test_the_hash_is_sha256_of_the_sorted_lines():
    expected = hashlib.sha256(b"s/0\ttrain\ns/1\ttest\n").hexdigest()
    assert split_hash(table("ab"), ["train", "test"]) == expected


def test_the_hash_does_not_depend_on_the_order_of_rows_but_on_the_parts():
    samples = table("abc")
    parts = np.array(["train", "val", "test"])
    order = np.array([2, 0, 1])
    assert split_hash(samples.take(order), parts[order]) == split_hash(samples, parts)
    assert split_hash(samples, parts[::-1]) != split_hash(samples, parts)


def test_one_patient_in_two_parts_is_refused_with_the_first_five():
    samples = table("aabbccddeeffg")
    parts = ["train", "test"] * 6 + ["train"]
    with pytest.raises(DataError, match="6 of 7 patients are in more than one part") as caught:
        check_subjects(samples, parts)
    assert "s/e (test, train) and 1 more" in str(caught.value)
    assert "allow_leakage=true" in str(caught.value)
    assert check_subjects(samples, parts, allow=True) == 6


def test_unused_samples_tear_no_patient():
    assert check_subjects(table("aab"), ["train", "unused", "test"]) == 0


def test_seed_0_is_a_seed_like_any_other():
    names = [str(i) for i in range(20)]
    orders = {seed: tuple(seeded_order(names, seed)) for seed in (0, 1, -1)}
    assert len(set(orders.values())) == 3
    assert seeded_order(reversed(names), 0) == list(orders[0])


@pytest.mark.parametrize(
    ("n", "expected"),
    # 10: 7/1/2 exactly. 13: 9.1/1.3/2.6 -> 9/1/2 and the largest remainder .6 to test. 3: one each at least
    [(10, (7, 1, 2)), (13, (9, 1, 3)), (3, (1, 1, 1)), (246, (172, 25, 49))],
)
def test_totals_go_by_largest_remainder_and_no_part_is_empty(n, expected):
    parts = share_out([str(i) for i in range(n)], {"train": 0.7, "val": 0.1, "test": 0.2})
    counts = tuple(list(parts.values()).count(part) for part in ("train", "val", "test"))
    assert counts == expected


def test_every_stretch_of_the_order_has_about_its_share():
    parts = list(share_out([str(i) for i in range(100)], {"train": 0.7, "val": 0.1, "test": 0.2}).values())
    for start in range(0, 100, 10):
        assert parts[start : start + 10].count("val") in (0, 1, 2)
        assert 6 <= parts[start : start + 10].count("train") <= 8


def test_too_few_patients_for_the_parts_are_refused():
    with pytest.raises(DataError, match="2 patients cannot fill the 3 parts"):
        share_out(["a", "b"], {"train": 0.7, "val": 0.1, "test": 0.2})


def test_a_patients_stratum_is_all_its_values():
    samples = table("aabb", ["x", "y", "x", "x"])
    order = ordered_groups(samples, by="subject", stratify="label", seed=0)
    assert order == ["s/b", "s/a"]  # ("x",) sorts before ("x", "y")


def test_an_unknown_column_to_stratify_by_is_refused():
    with pytest.raises(ConfigError, match=r"split\.stratify='lable'.*'label'"):
        ordered_groups(table("ab"), by="subject", stratify="lable", seed=0)


def test_holding_back_moves_training_patients_only():
    samples = table("abcdefghij")
    before = np.array(["train"] * 8 + ["test"] * 2, dtype="<U6")
    after = hold_back(samples, before, fraction=0.25, by="subject", stratify=None, seed=0)
    assert (after == "val").sum() == 2  # a quarter of 8
    assert (after[8:] == "test").all()
    assert (before[:8] == "train").all()
