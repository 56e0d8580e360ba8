from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungseg.data.sources.kermany import KermanySource
from lungseg.data.splits.base import check_subjects
from lungseg.data.splits.stratified import StratifiedSplit
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError
from lungseg.types import Row


def table(*samples):
    """A table of (patient, label) pairs."""
    return SamplesTable.from_rows(
        Row(
            sample_id=f"s/{i}", subject_id=f"s/{patient}", source="s", image=f"{i}.png", masks={}, label=label,
            view=None, sex="F" if i % 2 else "M", age=None, spacing_mm=None, official_split=None,
        )
        for i, (patient, label) in enumerate(samples)
    )  # fmt: skip


def single(*counts):
    """One image per patient, from (label, count) pairs."""
    labels = [label for label, count in counts for _ in range(count)]
    return table(*enumerate(labels))


def shares(samples, parts):
    """(class, part) -> images."""
    labels = samples.column("label").to_pylist()
    return Counter((name, part) for label, part in zip(labels, parts, strict=True) for name in label.split("|"))


def test_single_images_are_shared_out_exactly_where_that_can_be():
    samples = single(("a", 100), ("b", 40), ("c", 20))
    found = shares(samples, StratifiedSplit().assign(samples, 0))
    # 70 : 15 : 15 of 100, 40 and 20
    assert found == {
        **{("a", "train"): 70, ("a", "val"): 15, ("a", "test"): 15},
        **{("b", "train"): 28, ("b", "val"): 6, ("b", "test"): 6},
        **{("c", "train"): 14, ("c", "val"): 3, ("c", "test"): 3},
    }


def test_a_patient_of_many_images_is_made_up_for_by_others():
    # one patient has 20 of the 100 images of a; the rest have one each
    samples = table(*[("big", "a")] * 20, *((f"p{i}", "a") for i in range(80)), *((f"q{i}", "b") for i in range(20)))
    parts = StratifiedSplit().assign(samples, 0)
    assert check_subjects(samples, parts) == 0
    found = shares(samples, parts)
    assert [found["a", part] for part in ("train", "val", "test")] == [70, 15, 15]
    assert [found["b", part] for part in ("train", "val", "test")] == [14, 3, 3]


def test_images_of_several_classes_count_for_each():
    samples = single(("a", 20), ("a|b", 20), ("b|c", 20))
    found = shares(samples, StratifiedSplit().assign(samples, 1))
    for name, total in (("a", 40), ("b", 40), ("c", 20)):
        for part, fraction in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
            assert abs(found[name, part] - total * fraction) <= 1


def test_images_without_a_label_are_spread_as_well():
    samples = single((None, 20), ("a", 20))
    parts = StratifiedSplit().assign(samples, 0)
    assert Counter(parts[:20].tolist()) == Counter(parts[20:].tolist()) == {"train": 14, "val": 3, "test": 3}


def test_another_column_may_be_spread():
    samples = single(("a", 40))
    parts = StratifiedSplit(stratify="sex").assign(samples, 0)
    assert Counter(parts[::2].tolist()) == Counter(parts[1::2].tolist()) == {"train": 14, "val": 3, "test": 3}


def test_patients_may_be_parted_where_that_is_asked_for():
    samples = table(*[("p", "a")] * 20, *[("q", "b")] * 20)
    parts = StratifiedSplit(by="sample").assign(samples, 0)
    assert Counter(parts.tolist()) == {"train": 28, "val": 6, "test": 6}
    assert check_subjects(samples, parts, allow=True) == 2


def test_a_fraction_of_0_leaves_its_part_out():
    samples = single(("a", 20))
    parts = StratifiedSplit(train=0.8, val=0.2, test=0).assign(samples, 0)
    assert Counter(parts.tolist()) == {"train": 16, "val": 4}


def test_the_split_goes_by_the_seed_and_not_by_the_order_of_rows():
    samples = single(("a", 30), ("b", 30))
    split = StratifiedSplit()
    first, again, other = (split.assign(samples, seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
    turned = split.assign(samples.take(np.arange(60)[::-1]), 0)
    assert (turned[::-1] == first).all()


@given(
    patients=st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["a", "b", "a|b"])), min_size=40, max_size=80),
    seed=st.integers(0, 9),
)
@settings(max_examples=25, deadline=None)
def test_no_patient_is_parted_and_all_shares_are_near(patients, seed):
    samples = table(*((i, label) for i, (n, label) in enumerate(patients) for _ in range(n)))
    parts = StratifiedSplit().assign(samples, seed)
    assert check_subjects(samples, parts) == 0
    for part, fraction in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        # as many images as the two largest patients have: images of several classes pull the parts apart, in 3,000
        # sets drawn to be hard by at most 9.8
        assert abs((parts == part).sum() - fraction * len(samples)) <= 12


def test_parts_are_at_least_as_even_as_those_of_scikit_learn():
    from sklearn.model_selection import StratifiedGroupKFold

    rng = np.random.default_rng(0)
    # 300 patients of 1 to 12 images, mostly few, three classes of which one is rare
    sizes = 1 + rng.geometric(0.45, 300).clip(max=12)
    labels = rng.choice(["a", "b", "c"], 300, p=[0.6, 0.3, 0.1])
    samples = table(*((i, label) for i, (n, label) in enumerate(zip(sizes, labels, strict=True)) for _ in range(n)))
    groups, names = samples.column("subject_id").to_pylist(), np.array(samples.column("label").to_pylist())

    def unevenness(parts):
        return max(
            abs((parts[names == name] == part).mean() - fraction)
            for name, (part, fraction) in itertools.product("abc", (("train", 0.7), ("val", 0.15), ("test", 0.15)))
        )

    ours = [unevenness(StratifiedSplit().assign(samples, seed)) for seed in range(5)]
    theirs = []
    for seed in range(5):
        folds = StratifiedGroupKFold(20, shuffle=True, random_state=seed).split(names, names, groups)
        parts = np.full(len(names), "train", "<U6")
        for place, (_, held) in enumerate(folds):  # 14 : 3 : 3 of 20 folds
            parts[held] = "val" if place < 3 else "test" if place < 6 else "train"
        theirs.append(unevenness(parts))
    assert max(ours) <= min(theirs)


def test_too_few_patients_are_refused():
    with pytest.raises(DataError, match="2 patients cannot fill the 3 parts train, val, test"):
        StratifiedSplit().assign(single(("a", 2)), 0)


@pytest.mark.parametrize("n", [3, 4, 5])
def test_every_part_gets_a_patient_even_of_few(n):
    assert set(StratifiedSplit().assign(single(("a", n)), 0).tolist()) == {"train", "val", "test"}


def test_beside_a_patient_of_nearly_all_images_the_small_ones_fill_the_other_parts():
    samples = table(*[("big", "a")] * 30, ("p", "a"), ("q", "a"))
    parts = StratifiedSplit().assign(samples, 0)
    assert Counter(parts.tolist()) == {"train": 30, "val": 1, "test": 1}
    assert check_subjects(samples, parts) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"train": 0.5}, "add up to 0.8"),
        ({"val": 1.2}, "split.val is 1.2"),
        ({"by": "patient"}, "split.by is 'patient'"),
        ({"stratify": "labels"}, "Did you mean label?"),
        ({"stratify": None}, "must be one of label, source, sex, view"),
    ],
    ids=["sum", "fraction", "by", "near column", "no column"],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(ConfigError) as caught:
        StratifiedSplit(**options)
    assert said in str(caught.value)


@pytest.mark.data
def test_the_real_children_are_split_70_15_15_within_a_radiograph(real_data):
    samples = SamplesTable.from_rows(KermanySource(search=str(real_data)).index().rows)
    parts = StratifiedSplit().assign(samples, 42)
    assert check_subjects(samples, parts) == 0
    found = shares(samples, parts)
    for name, total in (("normal", 1575), ("bacteria", 2772), ("virus", 1493)):
        for part, fraction in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
            assert abs(found[name, part] - fraction * total) < 2
