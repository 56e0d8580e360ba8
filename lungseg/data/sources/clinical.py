"""Sex, age and tables from the text files that sets are published with: any line end, any of the usual encodings."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from lungseg.data.io import read_bytes
from lungseg.errors import DataError, first_five

_UNKNOWN = frozenset({"", "?", "-", "na", "n/a", "nan", "none", "null", "unknown", "u", "o", "other"})
_SEXES = {"m": "M", "male": "M", "man": "M", "f": "F", "female": "F", "woman": "F"}
_AGE = re.compile(r"(\d+(?:[.,]\d+)?)\s*([a-z]*)", re.IGNORECASE)
_YEARS_PER_UNIT = {"": 1.0, "y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}
_READING = re.compile(r"\b(male|female)\b[\s,;]*(\d+\s*[a-z]*)?", re.IGNORECASE)
_NLM_SEX = re.compile(r"patient'?s?\s+sex\s*:\s*(\w+)", re.IGNORECASE)
_NLM_AGE = re.compile(r"patient'?s?\s+age\s*:\s*(\w+)", re.IGNORECASE)


def read_lines(path: Path) -> list[str]:
    """Lines of a text file that ends them with CR, LF or both, in UTF-8 (with or without BOM) or Latin-1.

    Raises:
        DataError: The file is missing, unreadable or empty.
    """
    data = read_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return re.split(r"\r\n|\r|\n", text)


def parse_sex(text: str) -> str | None:
    """F, M or None for unknown.

    Raises:
        ValueError: The text is none of the usual words.

    Example:
        >>> parse_sex("female"), parse_sex(" M "), parse_sex("?")
        ('F', 'M', None)
    """
    word = text.strip().lower()
    if word in _UNKNOWN:
        return None
    if word not in _SEXES:
        msg = f"{text!r} is no sex; write F, M or nothing"
        raise ValueError(msg)
    return _SEXES[word]


def parse_age(text: str) -> float | None:
    """Age in years, or None for unknown; reads 54, 060Y, 38yrs, 006M (months), 2 days.

    Raises:
        ValueError: The text is no age.

    Example:
        >>> parse_age("060Y"), parse_age("006M"), parse_age("?")
        (60.0, 0.5, None)
    """
    word = text.strip().lower()
    if word in _UNKNOWN:
        return None
    match = _AGE.fullmatch(word)
    unit = match.group(2)[:1] if match else "x"
    if match is None or unit not in _YEARS_PER_UNIT:
        msg = f"{text!r} is no age; write years such as 54"
        raise ValueError(msg)
    return float(match.group(1).replace(",", ".")) * _YEARS_PER_UNIT[unit]


def parse_reading(lines: Iterable[str]) -> tuple[str | None, float | None]:
    """Sex and age from a ClinicalReadings file of the NLM sets; what is not understood is unknown.

    Montgomery writes "Patient's Sex: F" and "Patient's Age: 035Y", Shenzhen "male 38yrs".

    Example:
        >>> parse_reading(["Patient's Sex: F", "Patient's Age: 035Y", "normal"]), parse_reading(["male 38yrs"])
        (('F', 35.0), ('M', 38.0))
    """
    text = "\n".join(lines)
    sex, age = _NLM_SEX.search(text), _NLM_AGE.search(text)
    if sex or age:
        return _tolerant_sex(sex.group(1) if sex else ""), _tolerant_age(age.group(1) if age else "")
    match = _READING.search(text)
    if match is None:
        return None, None
    return _tolerant_sex(match.group(1)), _tolerant_age(match.group(2) or "")


def _tolerant_sex(text: str) -> str | None:
    try:
        return parse_sex(text)
    except ValueError:
        return None


def _tolerant_age(text: str) -> float | None:
    try:
        return parse_age(text)
    except ValueError:
        return None


def read_readings(folder: Path | None, stems: Iterable[str]) -> dict[str, tuple[str | None, float | None]]:
    """Sex and age of every stem that has a text file in a ClinicalReadings folder."""
    if folder is None:
        return {}
    found = {path.stem: path for path in folder.iterdir() if path.suffix.lower() == ".txt"}
    return {stem: parse_reading(read_lines(found[stem])) for stem in stems if stem in found}


def read_cells(path: Path) -> list[tuple[int, list[str]]]:
    """Line number and cells of every row of a delimited text file, the header first; empty rows are left out.

    The delimiter is comma, semicolon or tab, by what the header holds most of.
    """
    lines = read_lines(path)
    reader = csv.reader(lines, delimiter=max(",;\t", key=lines[0].count), skipinitialspace=True)
    rows: list[tuple[int, list[str]]] = []
    for record in reader:
        cells = [cell.strip() for cell in record]
        if any(cells) or not rows:
            rows.append((reader.line_num, cells))
    return rows


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a delimited text file with a header; comma, semicolon or tab, by what the header holds most of.

    Raises:
        DataError: The file has no header, a header twice, or rows with more cells than the header.
    """
    return [record for _, record in read_records(path)]


def read_records(path: Path) -> list[tuple[int, dict[str, str]]]:
    """As `read_table`, each row with the number of its line."""
    (_, names), *rows = read_cells(path)
    if len(set(names)) != len(names) or not any(names):
        msg = f"{path}: the first line must name the columns, each once; it reads {read_lines(path)[0]!r}"
        raise DataError(msg)
    records: list[tuple[int, dict[str, str]]] = []
    long: list[str] = []
    for number, cells in rows:
        if len(cells) > len(names):
            long.append(f"line {number} ({len(cells)} cells)")
        records.append((number, dict(zip(names, cells + [""] * (len(names) - len(cells)), strict=False))))
    if long:
        msg = (
            f"{path}: {len(long)} rows have more cells than the {len(names)} columns: {first_five(long)}; "
            "put texts that hold the delimiter in quotes"
        )
        raise DataError(msg)
    return records
