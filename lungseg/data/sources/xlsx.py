"""The first sheet of a spreadsheet (.xlsx) as text: enough for the tables that sets are published with."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree

from lungseg.data.io import read_bytes
from lungseg.errors import DataError

MAX_BYTES = 64_000_000
"""A part of the file that claims to unpack to more is refused."""
_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_CELL = re.compile(r"([A-Z]+)\d+")
_MAX_COLUMN = 16_384


def read_xlsx(path: Path) -> list[dict[str, str]]:
    """Rows of the first sheet, keyed by the texts of its first row; empty cells are empty texts.

    Formulas give their stored result. Dates come as the number that the file holds.

    Raises:
        DataError: The file is damaged, is no spreadsheet, or its first row is empty or names a column twice.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(path))) as archive:
            names = set(archive.namelist())
            sheets = sorted(name for name in names if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", name))
            if not sheets:
                msg = f"{path} holds no sheet; save it again as .xlsx"
                raise DataError(msg)
            first = "xl/worksheets/sheet1.xml" if "xl/worksheets/sheet1.xml" in names else sheets[0]
            shared: list[str] = []
            if "xl/sharedStrings.xml" in names:
                root = _parse(archive, "xl/sharedStrings.xml", path)
                shared = [_text(item) for item in root.iter(f"{_MAIN}si")]
            grid = [_cells(row, shared) for row in _parse(archive, first, path).iter(f"{_MAIN}row")]
    except (zipfile.BadZipFile, ElementTree.ParseError, zlib.error, EOFError, NotImplementedError) as error:
        raise _damaged(path, str(error)) from error
    except (ValueError, IndexError, KeyError, RuntimeError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    rows = [row for row in grid if any(text for text in row.values())]
    header = {column: text for column, text in rows[0].items() if text} if rows else {}
    if not header or len(set(header.values())) != len(header):
        said = ", ".join(header.values()) or "nothing"
        msg = f"{path}: the first row must name the columns, each once; it reads {said}"
        raise DataError(msg)
    return [{name: row.get(column, "") for column, name in header.items()} for row in rows[1:]]


def _parse(archive: zipfile.ZipFile, name: str, path: Path) -> ElementTree.Element:
    if archive.getinfo(name).file_size > MAX_BYTES:
        msg = f"{path}: its part {name} claims to unpack to more than {MAX_BYTES:,} bytes; it is no table of this set"
        raise DataError(msg)
    data = archive.read(name)
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        # spreadsheets have none; entities could be made to grow without end
        msg = f"{path}: its part {name} declares a document type, which no spreadsheet does; do not trust this file"
        raise DataError(msg)
    return ElementTree.fromstring(data)


def _cells(row: ElementTree.Element, shared: list[str]) -> dict[int, str]:
    """Column number -> text of one row."""
    found: dict[int, str] = {}
    column = 0
    for cell in row.iter(f"{_MAIN}c"):
        match = _CELL.fullmatch(cell.get("r", ""))
        column = _number(match.group(1)) if match else column + 1
        if column > _MAX_COLUMN:
            msg = f"column {column}"
            raise ValueError(msg)
        kind, value = cell.get("t", "n"), cell.find(f"{_MAIN}v")
        if kind == "inlineStr":
            found[column] = _text(cell).strip()
        elif value is None or value.text is None:
            found[column] = ""
        else:
            found[column] = (shared[int(value.text)] if kind == "s" else value.text).strip()
    return found


def _text(item: ElementTree.Element) -> str:
    """All pieces of a text, without the reading aids for Japanese (`rPh`)."""
    aids = {id(text) for aid in item.iter(f"{_MAIN}rPh") for text in aid.iter(f"{_MAIN}t")}
    return "".join(text.text or "" for text in item.iter(f"{_MAIN}t") if id(text) not in aids)


def _number(letters: str) -> int:
    """Column number by its letters: A = 1, AA = 27."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{path} is damaged or no spreadsheet ({what}); download it again, or remove it")
