from __future__ import annotations

import pytest

from lungseg.data.sources.label_cells import check_label, label_of_flags, parse_flag


@pytest.mark.parametrize(
    ("cells", "flag"),
    [
        (["1", "1.0", " TRUE ", "yes"], True),
        (["0", "0.0", "False", "no"], False),
        (["", "NaN", "-1", "-1.0", "?"], None),
    ],
    ids=["present", "absent", "unknown"],
)
def test_cells_say_yes_no_or_nothing(cells, flag):
    assert [parse_flag(cell) for cell in cells] == [flag] * len(cells)


@pytest.mark.parametrize("cell", ["2", "0.5", "maybe", "-2"])
def test_other_cells_are_refused(cell):
    with pytest.raises(ValueError, match="says neither yes nor no"):
        parse_flag(cell)


def test_absent_names_are_left_out_and_unknown_ones_marked():
    assert label_of_flags({"a": "0", "b": "1", "c": "", "d": "1"}) == "b|d|?c"
    assert label_of_flags({"a": "0", "b": "0"}) == "none"
    assert label_of_flags({"a": "", "b": "-1"}) is None


def test_a_wrong_cell_names_its_column():
    with pytest.raises(ValueError, match="b: 'x' says neither"):
        label_of_flags({"a": "1", "b": "x"})


def test_names_are_held_against_the_classes_where_there_are_some():
    assert check_label("a|?b", ["a", "b"]) == check_label("a|?b", None) == "a|?b"
    assert check_label("none", ["a"]) == "none"
    with pytest.raises(ValueError, match=r"'noraml' is none of the classes ill, normal \(did you mean 'normal'\?\)"):
        check_label("?noraml", ["ill", "normal"])
