"""Byte-identical files within a set: those who own them count as one patient, so that no split parts the copies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from lungseg.data.io import content_hash
from lungseg.errors import DataError, first_five
from lungseg.types import Row


def identical_files(root: Path, rows: Iterable[Row]) -> list[list[Row]]:
    """Groups of rows whose image files have the same bytes.

    Only files that share their length with another are read (and hashed, SHA-256), each once. In a set as published
    these are few; where images were resized to one small size they are most.

    Args:
        root: Folder that the paths of the rows are relative to.
        rows: Rows of one source.

    Returns:
        Groups of two rows or more, each sorted by sample_id, in the order of their first.

    Raises:
        DataError: A file is missing or cannot be read.
    """
    by_length: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        path = root / row["image"]
        try:
            length = path.stat().st_size
        except OSError as error:
            msg = f"{path} cannot be read ({error.strerror}); is the set complete, and may its files be read?"
            raise DataError(msg) from error
        if length:  # empty files are refused when they are decoded
            by_length[length].append(row)
    found: dict[str, list[Row]] = defaultdict(list)
    for same in by_length.values():
        if len(same) > 1:
            for row in same:
                found[content_hash(root / row["image"])].append(row)
    groups = [sorted(group, key=lambda row: row["sample_id"]) for group in found.values() if len(group) > 1]
    return sorted(groups, key=lambda group: group[0]["sample_id"])


def join_subjects(rows: Sequence[Row], groups: Iterable[Sequence[Row]]) -> list[Row]:
    """Give all patients of a group one subject_id, the first by name; patients joined by a chain of groups too.

    Args:
        rows: All rows.
        groups: Rows that belong together, as `identical_files` gives them.

    Returns:
        New rows in the same order.
    """
    parent: dict[str, str] = {}

    def top(subject: str) -> str:
        while (above := parent.get(subject, subject)) != subject:
            parent[subject] = parent.get(above, above)  # halves the way for the next time
            subject = above
        return subject

    for group in groups:
        tops = sorted({top(row["subject_id"]) for row in group})
        parent.update(dict.fromkeys(tops[1:], tops[0]))
    return [{**row, "subject_id": top(row["subject_id"])} for row in rows]


def notes_on(groups: Sequence[Sequence[Row]]) -> list[str]:
    """Sentences on groups of identical files: how many, across official parts, with different labels."""
    if not groups:
        return []
    notes = [
        f"{len(groups)} groups of byte-identical files, {sum(map(len, groups))} files in all; the patients of a group "
        "count as one"
    ]
    torn = [group[0]["sample_id"] for group in groups if len({row["official_split"] for row in group}) > 1]
    if torn:
        notes.append(f"{len(torn)} of these groups lie in several parts of the official split: {first_five(torn)}")
    odd = [group[0]["sample_id"] for group in groups if len({row["label"] for row in group}) > 1]
    if odd:
        notes.append(f"{len(odd)} of these groups have different labels: {first_five(odd)}")
    return notes
