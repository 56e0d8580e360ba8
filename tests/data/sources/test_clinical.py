from __future__ import annotations

import pytest

from lungseg.data.sources.clinical import (
    parse_age,
    parse_reading,
    parse_sex,
    read_cells,
    read_lines,
    read_readings,
    read_records,
    read_table,
)
from lungseg.errors import DataError


@pytest.mark.parametrize("ending", ["\r", "\n", "\r\n"], ids=["CR", "LF", "CRLF"])
def test_lines_may_end_in_any_way(tmp_path, ending):
    (tmp_path / "t.txt").write_bytes(ending.join(["one", "two"]).encode("utf-8-sig"))
    assert read_lines(tmp_path / "t.txt") == ["one", "two"]


def test_latin_1_is_read_where_utf_8_fails(tmp_path):
    (tmp_path / "t.txt").write_bytes("Müller".encode("latin-1"))
    assert read_lines(tmp_path / "t.txt") == ["Müller"]


@pytest.mark.parametrize(
    ("text", "years"),
    [("54", 54), ("060Y", 60), ("38yrs", 38), ("38 years", 38), ("006M", 0.5), ("4.5", 4.5), ("?", None), ("", None)],
)
def test_ages_come_in_years(text, years):
    assert parse_age(text) == years


@pytest.mark.parametrize("text", ["old", "5 moons of", "-3", "12x"])
def test_what_is_no_age_is_refused(text):
    with pytest.raises(ValueError, match="is no age"):
        parse_age(text)


@pytest.mark.parametrize(("text", "sex"), [("Female", "F"), ("m", "M"), ("unknown", None), ("", None)])
def test_sexes_are_f_m_or_unknown(text, sex):
    assert parse_sex(text) == sex


def test_what_is_no_sex_is_refused():
    with pytest.raises(ValueError, match="'x' is no sex"):
        parse_sex("x")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["Patient's Sex: M", "Patient's Age: 052Y", "infiltrate"], ("M", 52)),
        (["Female, 24yrs", "normal"], ("F", 24)),
        (["male", "PTB"], ("M", None)),
        (["no reading"], (None, None)),
        (["Patient's Sex: O", "Patient's Age: ???"], (None, None)),
    ],
    ids=["montgomery", "shenzhen", "without age", "neither", "unknown values"],
)
def test_readings_of_both_sets_are_understood(lines, expected):
    assert parse_reading(lines) == expected


def test_readings_are_found_by_stem(tmp_path):
    (tmp_path / "a.txt").write_text("male 30yrs\n")
    assert read_readings(tmp_path, ["a", "b"]) == {"a": ("M", 30.0)}
    assert read_readings(None, ["a"]) == {}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
def test_tables_may_use_any_delimiter_bom_and_line_end(tmp_path, delimiter):
    text = "\r\n".join(delimiter.join(cells) for cells in (["image", "sex"], ["a.png", "F"], ["b.png"], []))
    (tmp_path / "t.csv").write_bytes(text.encode("utf-8-sig"))
    assert read_table(tmp_path / "t.csv") == [{"image": "a.png", "sex": "F"}, {"image": "b.png", "sex": ""}]


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2,3\n", "line 2 (3 cells)"), ("a,a\n1,2\n", "each once")],
    ids=["too many cells", "column twice"],
)
def test_a_malformed_table_is_refused(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=r"t\.csv") as caught:
        read_table(tmp_path / "t.csv")
    assert said in str(caught.value)


def test_records_bear_the_number_of_their_line(tmp_path):
    (tmp_path / "t.csv").write_bytes("image;sex\r\na.png;F\r\n\r\n;\r\nb.png\r\n".encode("utf-8-sig"))
    assert read_records(tmp_path / "t.csv") == [(2, {"image": "a.png", "sex": "F"}), (5, {"image": "b.png", "sex": ""})]


def test_cells_are_read_as_they_stand_the_header_first(tmp_path):
    (tmp_path / "t.csv").write_text('a,[x,y]\n"1,5", 2\n')
    assert read_cells(tmp_path / "t.csv") == [(1, ["a", "[x", "y]"]), (2, ["1,5", "2"])]
