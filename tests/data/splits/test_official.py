from __future__ import annotations

import pytest

from lungseg.data.splits.official import OfficialSplit
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError


def table(*values):
    return SamplesTable.from_rows(
        {
            "sample_id": f"s/{i}",
            "subject_id": f"s/{i}",
            "source": "s",
            "image": f"{i}.png",
            "masks": {},
            "label": None,
            "view": None,
            "sex": None,
            "age": None,
            "spacing_mm": None,
            "official_split": value,
        }
        for i, value in enumerate(values)
    )


def test_published_parts_are_taken_as_they_are():
    assert OfficialSplit().assign(table("train", "test", "val"), 0).tolist() == ["train", "test", "val"]


def test_values_may_be_mapped_and_left_unused():
    split = OfficialSplit(parts={"a": "train", "b": "unused"})
    assert split.assign(table("a", "b"), 0).tolist() == ["train", "unused"]


def test_validation_is_held_back_where_asked():
    parts = OfficialSplit(val=0.25).assign(table(*["train"] * 8, "test"), 0)
    assert (parts == "val").sum() == 2


def test_sets_without_a_split_are_refused():
    with pytest.raises(DataError, match="published without a split; use split=holdout"):
        OfficialSplit().assign(table(None, None), 0)


def test_values_without_a_part_are_named():
    with pytest.raises(DataError, match="official_split holds None, montgomery"):
        OfficialSplit().assign(table("train", "montgomery", None), 0)


def test_an_unknown_part_is_refused():
    with pytest.raises(ConfigError, match=r"split\.parts\.a is 'tran'.*Did you mean train\?"):
        OfficialSplit(parts={"a": "tran"})
