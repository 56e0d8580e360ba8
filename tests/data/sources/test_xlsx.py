from __future__ import annotations

import zipfile

import pytest

from lungseg.data.sources import xlsx
from lungseg.data.sources.xlsx import read_xlsx
from lungseg.errors import DataError

SPACE = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def book(folder, rows, shared=None, sheet="xl/worksheets/sheet1.xml", head=""):
    """A spreadsheet of one sheet whose rows are given as XML."""
    path = folder / "t.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(sheet, f"{head}<worksheet {SPACE}><sheetData>{rows}</sheetData></worksheet>")
        if shared is not None:
            archive.writestr("xl/sharedStrings.xml", f"<sst {SPACE}>{shared}</sst>")
    return path


def row(*cells):
    return f"<row>{''.join(cells)}</row>"


def text(value):
    return f'<c t="inlineStr"><is><t>{value}</t></is></c>'


def test_shared_inline_and_plain_values_are_read(tmp_path):
    shared = "<si><t>FILE NAME</t></si><si><r><t>COV</t></r><r><t>ID-1</t></r><rPh><t>x</t></rPh></si>"
    rows = row('<c r="A1" t="s"><v>0</v></c>', text("SIZE")) + row('<c r="A2" t="s"><v>1</v></c>', "<c><v>256</v></c>")
    assert read_xlsx(book(tmp_path, rows, shared)) == [{"FILE NAME": "COVID-1", "SIZE": "256"}]


def test_cells_that_are_left_out_are_empty(tmp_path):
    rows = row(text("a"), text("b"), text("c")) + row('<c r="C2"><v>3</v></c>') + row() + row('<c r="A4"/>', text("2"))
    assert read_xlsx(book(tmp_path, rows)) == [{"a": "", "b": "", "c": "3"}, {"a": "", "b": "2", "c": ""}]


def test_columns_beyond_z_and_the_result_of_a_formula_are_read(tmp_path):
    # AA = 27
    rows = row('<c r="AA1" t="inlineStr"><is><t>a</t></is></c>') + row('<c r="AA2"><f>1+1</f><v>2</v></c>')
    assert read_xlsx(book(tmp_path, rows)) == [{"a": "2"}]


def test_the_first_sheet_may_have_another_number(tmp_path):
    rows = row(text("a")) + row(text("1"))
    assert read_xlsx(book(tmp_path, rows, sheet="xl/worksheets/sheet2.xml")) == [{"a": "1"}]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", "it reads nothing"),
        (row(text("a"), text("a")), "each once; it reads a, a"),
        (row('<c r="A1" t="s"><v>5</v></c>'), "IndexError"),
        (row('<c r="ZZZZ1"><v>5</v></c>'), "ValueError: column"),
        ("<row>", "mismatched tag"),
    ],
    ids=["empty", "twice", "no such text", "far column", "cut"],
)
def test_a_table_that_cannot_be_read_is_refused_by_its_file(tmp_path, rows, said):
    path = book(tmp_path, rows)
    with pytest.raises(DataError) as caught:
        read_xlsx(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_what_is_no_spreadsheet_is_refused(tmp_path):
    path = tmp_path / "t.xlsx"
    path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(DataError, match="damaged or no spreadsheet"):
        read_xlsx(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<a/>")
    with pytest.raises(DataError, match="holds no sheet"):
        read_xlsx(path)


def test_entities_are_not_expanded(tmp_path):
    bomb = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]>'
    with pytest.raises(DataError, match="declares a document type"):
        read_xlsx(book(tmp_path, row(text("&y;")), head=bomb))


def test_a_part_that_unpacks_to_too_much_is_refused_before_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(xlsx, "MAX_BYTES", 100)
    with pytest.raises(DataError, match="claims to unpack to more than 100 bytes"):
        read_xlsx(book(tmp_path, row(text("a" * 50)) * 4))
