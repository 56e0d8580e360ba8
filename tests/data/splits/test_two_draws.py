from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from lungseg.data.splits.base import check_subjects
from lungseg.data.splits.two_draws import TwoDrawsSplit
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError


def table(n, subject=lambda i: i):
    """File names COVID-1.png, COVID-2.png, ...: sorted as text, COVID-10 comes before COVID-2."""
    return SamplesTable.from_rows(
        {
            "sample_id": f"s/COVID-{i + 1}",
            "subject_id": f"s/{subject(i)}",
            "source": "s",
            "image": f"COVID/images/COVID-{i + 1}.png",
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
    return tuple(int((parts == part).sum()) for part in ("train", "val", "test"))


def files(samples, parts, part):
    names = samples.column("image").to_pylist()
    return {name.rsplit("/", 1)[-1] for name, found in zip(names, parts, strict=True) if found == part}


def test_3616_radiographs_are_split_as_two_calls_on_the_sorted_list_split_them():
    samples = table(3616)
    parts = TwoDrawsSplit().assign(samples, 0)
    # ceil(361.6) = 362; ceil(3254 * .2 = 650.8) = 651; 3616 - 362 - 651 = 2603
    assert counts(parts) == (2603, 651, 362)
    listed = sorted(f"COVID-{i}.png" for i in range(1, 3617))
    rest, test = train_test_split(listed, test_size=0.1, random_state=42)
    train, val = train_test_split(rest, test_size=0.2, random_state=42)
    assert files(samples, parts, "test") == set(test)
    assert files(samples, parts, "val") == set(val)
    assert files(samples, parts, "train") == set(train)


def test_704_pairs_are_split_564_70_70_with_validation_drawn_first():
    samples = table(704)
    parts = TwoDrawsSplit(val=0.1, val_of="whole", first="val", rounding="floor").assign(samples, 0)
    # int(70.4) = 70 twice
    assert counts(parts) == (564, 70, 70)
    listed = sorted(f"COVID-{i}.png" for i in range(1, 705))
    rest, val = train_test_split(listed, test_size=70, random_state=42)
    _, test = train_test_split(rest, test_size=70, random_state=42)
    assert files(samples, parts, "val") == set(val)
    assert files(samples, parts, "test") == set(test)


def test_the_order_of_rows_and_the_seed_of_the_run_do_not_matter():
    samples = table(50)
    order = np.random.default_rng(0).permutation(50)
    parts = TwoDrawsSplit().assign(samples, 0)
    np.testing.assert_array_equal(TwoDrawsSplit().assign(samples.take(order), 7), parts[order])
    assert (TwoDrawsSplit(random_state=1).assign(samples, 0) != parts).any()


def test_patients_with_several_radiographs_are_drawn_whole():
    samples = table(120, subject=lambda i: i // 3)
    parts = TwoDrawsSplit().assign(samples, 0)
    assert check_subjects(samples, parts) == 0
    # of 40 patients 4 are tested, 8 = ceil(7.2) validated
    assert counts(parts) == (84, 24, 12)
    assert counts(TwoDrawsSplit(by="sample").assign(samples, 0)) == (86, 22, 12)


def test_a_part_may_be_left_out():
    assert counts(TwoDrawsSplit(test=0).assign(table(10), 0)) == (8, 2, 0)
    assert counts(TwoDrawsSplit(val=0).assign(table(10), 0)) == (9, 0, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"test": 1.0}, "split.test is 1.0"),
        ({"val": -0.1}, "split.val is -0.1"),
        ({"first": "train"}, "split.first is 'train'"),
        ({"rounding": "nearest"}, "split.rounding is 'nearest'"),
        ({"by": "patient"}, "split.by is 'patient'"),
        ({"val_of": "all"}, "split.val_of is 'all'"),
        ({"first": "val"}, "split.val_of=rest needs split.first=test"),
    ],
    ids=["test", "val", "first", "rounding", "by", "val_of", "order"],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(ConfigError) as caught:
        TwoDrawsSplit(**options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("n", "options"), [(2, {}), (5, {"rounding": "floor"})], ids=["no training", "a part rounds to nothing"]
)
def test_too_few_patients_are_refused(n, options):
    with pytest.raises(DataError, match=rf"{n} patients cannot fill the parts of the split"):
        TwoDrawsSplit(**options).assign(table(n), 0)


@pytest.mark.data
def test_the_real_704_pairs_are_split_564_70_70(real_data):
    from lungseg.data.sources.mc_sh import McShSource

    samples = SamplesTable.from_rows(McShSource(search=str(real_data)).index().rows)
    parts = TwoDrawsSplit(val=0.1, val_of="whole", first="val", rounding="floor").assign(samples, 0)
    assert counts(parts) == (564, 70, 70)
