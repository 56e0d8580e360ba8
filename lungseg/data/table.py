"""The samples table: one Arrow row per radiograph, validated once and never changed."""

from __future__ import annotations

import logging
import math
import os
import re
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from lungseg.errors import DataError, ResourceError, first_five
from lungseg.types import Row

log = logging.getLogger(__name__)

SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("subject_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        pa.field("masks", pa.map_(pa.string(), pa.string()), nullable=False),
        pa.field("label", pa.string()),
        pa.field("view", pa.string()),
        pa.field("sex", pa.string()),
        pa.field("age", pa.float32()),
        pa.field("spacing_mm", pa.list_(pa.float32(), 2)),
        pa.field("official_split", pa.string()),
    ],
    metadata={b"lungseg": b"samples table 1"},
)
"""Columns of every samples table. age is in years, spacing_mm is (row, column) of the image file's own grid."""

ROWS_PER_BATCH = 10_000
_NAMES = frozenset(SCHEMA.names)
_REQUIRED = ("sample_id", "subject_id", "source", "image")
_TEXTS = (*_REQUIRED, "label", "view", "sex", "official_split")
_STRUCTURE = re.compile(r"[a-z][a-z0-9_]*")
_MAX_AGE_YEARS = 130


class SamplesTable:
    """One row per radiograph, with the columns of `lungseg.types.Row`.

    It wraps a `pyarrow.Table`; a table opened from a file stays on the disk (memory-mapped), so that a million rows
    cost about as much private memory as a thousand. Every method that changes something returns a new table.
    """

    def __init__(self, table: pa.Table) -> None:
        if not table.schema.equals(SCHEMA, check_metadata=False):
            msg = f"this is no samples table: its columns are {', '.join(table.schema.names)}; expected {SCHEMA.names}"
            raise DataError(msg)
        self._table = table
        self._batches: list[pa.RecordBatch] = table.to_batches()
        self._ends = np.cumsum([batch.num_rows for batch in self._batches], dtype=np.int64)

    @classmethod
    def from_rows(cls, rows: Iterable[Row], *, path: Path | None = None) -> SamplesTable:
        """Build and validate a table from rows, 10,000 at a time.

        Args:
            rows: Rows; a generator is consumed as it comes and never held in full.
            path: With a path the rows go to this Arrow file as they come and the table is memory-mapped from it.

        Raises:
            DataError: A required field is empty or of the wrong type or range, or a sample_id occurs twice. All
                problems are collected: the first five and the count.
        """
        if path is not None:
            _write_batches(path, _validated_batches(rows))
            return cls.open(path)
        return cls(pa.Table.from_batches(list(_validated_batches(rows)), schema=SCHEMA))

    @classmethod
    def open(cls, path: Path) -> SamplesTable:
        """Memory-map a table that `save` or `from_rows` wrote.

        Raises:
            DataError: The file is missing, damaged or no samples table.
        """
        try:
            with pa.memory_map(str(path), "r") as source:
                table = pa.ipc.open_file(source).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            msg = f"the samples table {path} cannot be read ({error}); delete it and prepare the data again"
            raise DataError(msg) from error
        try:
            return cls(table)
        except DataError as error:
            msg = f"{path}: {error}"
            raise DataError(msg) from error

    @classmethod
    def concat(cls, tables: Sequence[SamplesTable]) -> SamplesTable:
        """Join tables, for instance of several sources; no rows are copied.

        Raises:
            DataError: A sample_id occurs in two of them, or there is none to join.
        """
        if not tables:
            msg = "there is no table to join: data.sources is empty; choose a set with data=<name>"
            raise DataError(msg)
        joined = cls(pa.concat_tables([table.arrow for table in tables]))
        _refuse_duplicates(joined, array("q", (hash(i) for i in joined._iter_column("sample_id"))))
        return joined

    @property
    def arrow(self) -> pa.Table:
        """The Arrow table itself (immutable)."""
        return self._table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __repr__(self) -> str:
        counts = Counter(self._iter_column("source"))
        return f"SamplesTable({len(self)} rows: {', '.join(f'{name} {n}' for name, n in sorted(counts.items()))})"

    def column(self, name: str) -> pa.ChunkedArray:
        """One column as an Arrow array.

        Raises:
            DataError: There is no such column.
        """
        if name not in SCHEMA.names:
            msg = f"the samples table has no column {name!r}; its columns are {', '.join(SCHEMA.names)}"
            raise DataError(msg)
        return self._table.column(name)

    def row(self, index: int) -> Row:
        """Row `index` as a plain dict; negative indices count from the end.

        Raises:
            IndexError: There is no such row.
        """
        size = len(self)
        place = index + size if index < 0 else index
        if not 0 <= place < size:
            msg = f"row {index} of a samples table with {size} rows"
            raise IndexError(msg)
        chunk = int(np.searchsorted(self._ends, place, side="right"))
        start = int(self._ends[chunk - 1]) if chunk else 0
        return _to_row(self._batches[chunk].slice(place - start, 1).to_pylist()[0])

    def rows(self) -> Iterator[Row]:
        """All rows in order, a batch at a time."""
        for batch in self._batches:
            for record in batch.to_pylist():
                yield _to_row(record)

    def take(self, indices: Sequence[int] | np.ndarray) -> SamplesTable:
        """A new table of the rows `indices`, in that order."""
        return SamplesTable(self._table.take(pa.array(np.asarray(indices, dtype=np.int64))))

    def to_pandas(self) -> pd.DataFrame:
        """The table as a data frame; masks become dicts, spacing_mm arrays."""
        return cast(pd.DataFrame, self._table.to_pandas(maps_as_pydicts="strict"))

    def check_files(self, roots: Mapping[str, Path]) -> None:
        """Check that every image and mask is there.

        Args:
            roots: Source name -> folder that its paths are relative to.

        Raises:
            DataError: Files are missing (the first five and the count), or a source has no root.
        """
        missing: list[str] = []
        total = 0
        for row in self.rows():
            root = roots.get(row["source"])
            if root is None:
                msg = f"{row['sample_id']}: no root folder was given for the source {row['source']!r}"
                raise DataError(msg)
            for relative in (row["image"], *row["masks"].values()):
                total += 1
                path = root / relative
                if not path.is_file():
                    missing.append(str(path))
        if missing:
            msg = (
                f"{len(missing)} of {total} files are not there: {first_five(missing)}. Were they moved since the "
                "set was indexed? Put them back, or index again (python -m lungseg check data=<set>)"
            )
            raise DataError(msg)

    def save(self, path: Path) -> None:
        """Write the table as an Arrow IPC file; the file appears whole or not at all.

        Raises:
            ResourceError: The folder cannot be written to or is full.
        """
        _write_batches(path, self._batches)

    def _iter_column(self, name: str) -> Iterator[str]:
        for chunk in self._table.column(name).chunks:
            yield from chunk.to_pylist()


def _to_row(record: dict[str, Any]) -> Row:
    record["masks"] = dict(record["masks"])
    spacing = record["spacing_mm"]
    record["spacing_mm"] = None if spacing is None else (float(spacing[0]), float(spacing[1]))
    return cast(Row, record)


def _validated_batches(rows: Iterable[Row]) -> Iterator[pa.RecordBatch]:
    """Yield record batches; at the end refuse everything that was found wrong in any of them."""
    # 8 bytes a row instead of a set of strings: equal hashes are looked at again by name
    hashes = array("q")
    problems: list[str] = []
    count = 0
    batches: list[pa.RecordBatch] = []
    iterator = iter(rows)
    while chunk := list(islice(iterator, ROWS_PER_BATCH)):
        for row in chunk:
            problem = _problem(row)
            if problem:
                count += 1
                if len(problems) < 5:
                    problems.append(f"{row.get('sample_id') or 'a row without sample_id'}: {problem}")
            else:
                hashes.append(hash(row["sample_id"]))
        if not count:
            records = [{**row, "masks": list(row["masks"].items())} for row in chunk]
            batch = pa.RecordBatch.from_pylist(records, schema=SCHEMA)
            batches.append(batch.select(["sample_id"]))
            yield batch
    if count:
        more = f" and {count - 5} more" if count > 5 else ""
        msg = f"{count} rows of the samples table are wrong: {'; '.join(problems)}{more}. Correct the source's files"
        raise DataError(msg)
    repeated = _repeated(hashes)
    if repeated:
        ids = (i for batch in batches for i in batch.column(0).to_pylist())
        _raise_duplicates(ids, repeated)


def _problem(row: Row) -> str | None:
    """What is wrong with a row, or None."""
    record = cast(dict[str, Any], row)
    if record.keys() != _NAMES:
        absent = [name for name in SCHEMA.names if name not in record]
        return f"{absent[0]} is missing" if absent else f"unknown fields {sorted(record.keys() - _NAMES)}"
    for name in _TEXTS:
        value = record[name]
        if value is None and name not in _REQUIRED:
            continue
        if not isinstance(value, str) or not value.strip():
            return f"{name} is {value!r}; it must be a text that is not empty"
    for name in ("sample_id", "subject_id"):
        value = record[name]
        if not value.startswith(f"{row['source']}/") or len(value) <= len(row["source"]) + 1:
            return f"{name} is {value!r}; it must read {row['source']}/<name>"
    if row["sex"] not in ("F", "M", None):
        return f"sex is {row['sex']!r}; it must be F, M or None"
    age = row["age"]
    if age is not None and not (math.isfinite(age) and 0 <= age <= _MAX_AGE_YEARS):
        return f"age is {age!r}; it must lie in 0..{_MAX_AGE_YEARS} years or be None"
    spacing = row["spacing_mm"]
    if spacing is not None and not (len(spacing) == 2 and all(math.isfinite(mm) and mm > 0 for mm in spacing)):
        return f"spacing_mm is {spacing!r}; it must be (row mm, column mm), both positive, or None"
    for structure, path in row["masks"].items():
        if not _STRUCTURE.fullmatch(structure) or not path:
            return f"masks holds {structure!r}: {path!r}; names are lower case with underscores, paths not empty"
    return None


def _repeated(hashes: array[int]) -> set[int]:
    """Values that occur at least twice."""
    values = np.sort(np.frombuffer(hashes, dtype=np.int64)) if hashes else np.empty(0, dtype=np.int64)
    return set(values[1:][values[1:] == values[:-1]].tolist())


def _refuse_duplicates(table: SamplesTable, hashes: array[int]) -> None:
    repeated = _repeated(hashes)
    if repeated:
        _raise_duplicates(table._iter_column("sample_id"), repeated)


def _raise_duplicates(ids: Iterable[str], repeated: set[int]) -> None:
    counts = Counter(name for name in ids if hash(name) in repeated)
    twice = sorted(name for name, n in counts.items() if n > 1)
    if twice:
        msg = (
            f"{len(twice)} sample_id occur more than once: {first_five(twice)}. A sample_id names one radiograph: "
            "rename the files so that their names differ, or leave one of the folders out"
        )
        raise DataError(msg)


def _write_batches(path: Path, batches: Iterable[pa.RecordBatch]) -> None:
    """Write to a temporary file beside `path`, then move it there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        msg = f"the samples table {path} cannot be written ({error}); choose another folder or free some space"
        raise ResourceError(msg) from error
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            with pa.ipc.new_file(file, SCHEMA) as writer:
                for batch in batches:
                    writer.write_batch(batch)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        msg = f"the samples table {path} cannot be written ({error}); choose another folder or free some space"
        raise ResourceError(msg) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
