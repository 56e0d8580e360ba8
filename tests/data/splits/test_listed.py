from __future__ import annotations

import logging

import pytest

from lungseg.data.splits.listed import ListSplit
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError


def table(*ids):
    return SamplesTable.from_rows(
        {
            "sample_id": name,
            "subject_id": name,
            "source": name.split("/")[0],
            "image": "x.png",
            "masks": {},
            "label": None,
            "view": None,
            "sex": None,
            "age": None,
            "spacing_mm": None,
            "official_split": None,
        }
        for name in ids
    )


def split(folder, missing="error", **lists):
    for part, text in lists.items():
        (folder / f"{part}.txt").write_bytes(text.encode("utf-8-sig"))
    return ListSplit(missing=missing, **{part: str(folder / f"{part}.txt") for part in lists})


def test_names_may_be_ids_stems_or_files(tmp_path, caplog):
    lists = split(tmp_path, train="s/a\r\nb.PNG\r\n\r\n# c\r\n", test="deep")
    with caplog.at_level(logging.WARNING):
        parts = lists.assign(table("s/a", "s/b", "s/p/deep", "s/c"), 0)
    assert parts.tolist() == ["train", "train", "test", "unused"]
    assert "1 of 4 samples are in no list" in caplog.text


@pytest.mark.parametrize(
    ("ids", "train", "test", "said"),
    [
        (["s/a"], "a\n", "a\n", "1 names occur twice in the split: a"),
        (["s/a", "t/a"], "a\n", "", "1 names of the split fit several samples: a"),
        (["s/a"], "a\nb\n", "", "1 of 2 names of the split fit no sample: b"),
    ],
    ids=["twice", "several", "none"],
)
def test_names_that_do_not_fit_are_refused(tmp_path, ids, train, test, said):
    with pytest.raises(DataError) as caught:
        split(tmp_path, train=train, test=test or "# nobody\n").assign(table(*ids), 0)
    assert said in str(caught.value)


def test_names_without_a_sample_can_be_ignored_with_a_warning(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        parts = split(tmp_path, missing="ignore", train="a\nb\n").assign(table("s/a"), 0)
    assert parts.tolist() == ["train"]
    assert "1 names of the split fit no sample and are ignored: b" in caplog.text


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.txt is not there"):
        ListSplit(train=str(tmp_path / "gone.txt")).assign(table("s/a"), 0)


def test_no_list_at_all_is_refused():
    with pytest.raises(ConfigError, match=r"split\.train=<file>"):
        ListSplit()
