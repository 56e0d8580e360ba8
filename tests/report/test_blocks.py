"""The parts of a report."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from lungseg.report.blocks import Block, Cell, Column, Table


def table(*groups: str) -> Table:
    return Table(tuple(Column(str(i), group) for i, group in enumerate(groups)), ())


def test_neighbours_of_one_group_share_a_header():
    assert table("", "Paper", "Paper", "Ours").groups() == [("", 1), ("Paper", 2), ("Ours", 1)]


def test_a_group_that_is_interrupted_has_two_headers():
    assert table("A", "B", "A").groups() == [("A", 1), ("B", 1), ("A", 1)]


def test_a_table_without_groups_has_no_second_header():
    assert table("", "").groups() == []


def test_headers_cover_every_column_once():
    groups = ("", "", "A", "A", "", "B")
    assert sum(width for _, width in table(*groups).groups()) == len(groups)


def test_every_block_says_its_kind_to_the_templates():
    kinds = [next(f.default for f in dataclasses.fields(cls) if f.name == "kind") for cls in get_args(Block)]
    assert kinds == ["table", "text", "points", "facts", "figures", "gallery", "folded"]


def test_a_cell_is_plain_unless_said_otherwise():
    cell = Cell("0.97")
    assert (cell.sub, cell.tone, cell.heat, cell.ring, cell.colspan) == ("", "", None, False, 1)


def test_a_part_of_a_report_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Cell("0.97").text = "0.98"  # type: ignore[misc]
