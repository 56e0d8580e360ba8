from __future__ import annotations

import pytest

from lungseg.data.sources.identical import identical_files, join_subjects, notes_on
from lungseg.errors import DataError
from lungseg.types import Row


def row(name, subject, *, label=None, part=None):
    return Row(
        sample_id=f"s/{name}", subject_id=f"s/{subject}", source="s", image=f"{name}.png", masks={}, label=label,
        view=None, sex=None, age=None, spacing_mm=None, official_split=part,
    )  # fmt: skip


def write(root, **contents):
    for name, content in contents.items():
        (root / f"{name}.png").write_bytes(content)


def subjects(rows, *groups):
    by_name = {r["sample_id"][2:]: r for r in rows}
    joined = join_subjects(rows, [[by_name[name] for name in group] for group in groups])
    return [r["subject_id"][2:] for r in joined]


def names(groups):
    return [[r["sample_id"][2:] for r in group] for group in groups]


def test_files_of_the_same_bytes_are_grouped_and_those_of_the_same_length_are_not(tmp_path):
    write(tmp_path, a=b"xy", b=b"yx", c=b"xy", d=b"other", e=b"xy", f=b"yx")
    rows = [row(name, name) for name in "fedcba"]
    assert names(identical_files(tmp_path, rows)) == [["a", "c", "e"], ["b", "f"]]


def test_files_of_a_length_of_their_own_are_not_read(tmp_path, monkeypatch):
    write(tmp_path, a=b"x", b=b"yz", c=b"zy")
    read = []
    monkeypatch.setattr(
        "lungseg.data.sources.identical.content_hash", lambda path: read.append(path.stem) or path.read_bytes()
    )
    assert identical_files(tmp_path, [row(name, name) for name in "abc"]) == []
    assert read == ["b", "c"]


def test_empty_files_are_no_copies_of_each_other(tmp_path):
    write(tmp_path, a=b"", b=b"")
    assert identical_files(tmp_path, [row("a", "a"), row("b", "b")]) == []


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(DataError, match=r"a\.png cannot be read \(No such file"):
        identical_files(tmp_path, [row("a", "a")])


def test_owners_of_a_group_get_the_first_name(tmp_path):
    rows = [row("1", "q"), row("2", "p"), row("3", "q"), row("4", "r")]
    assert subjects(rows, ("1", "2")) == ["p", "p", "p", "r"]


def test_a_chain_of_groups_joins_all_its_owners():
    # 1-2, 3-4 and then 2-3: one patient in the end
    rows = [row("1", "d"), row("2", "c"), row("3", "b"), row("4", "a"), row("5", "e")]
    assert subjects(rows, ("1", "2"), ("3", "4"), ("2", "3")) == ["a", "a", "a", "a", "e"]


def test_rows_given_stay_as_they_were():
    rows = [row("1", "q"), row("2", "p")]
    subjects(rows, ("1", "2"))
    assert [r["subject_id"] for r in rows] == ["s/q", "s/p"]


def test_notes_tell_of_groups_across_parts_and_of_different_labels():
    plain = [row("1", "p", label="a", part="train"), row("2", "q", label="a", part="train")]
    torn = [row("3", "p", label="a", part="train"), row("4", "q", label="b", part="test")]
    assert notes_on([]) == []
    assert notes_on([plain]) == [
        "1 groups of byte-identical files, 2 files in all; the patients of a group count as one"
    ]
    assert notes_on([plain, torn])[1:] == [
        "1 of these groups lie in several parts of the official split: s/3",
        "1 of these groups have different labels: s/3",
    ]
