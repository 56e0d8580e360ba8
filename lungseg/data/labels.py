"""The column `label` of the samples table: how texts are written, read, and encoded as classes.

A label is a text of names joined by `|`: `bacteria`, or `Effusion|Mass`. A name with a question mark in front is not
known: `Effusion|?Mass`. Names that a label does not hold are absent from the image. `none` says that none of the names
applies. A missing label (None) says nothing at all.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError, first_five, near_name
from lungseg.types import Kind, Part

log = logging.getLogger(__name__)

SEPARATOR = "|"
UNKNOWN_MARK = "?"
NOTHING = "none"
"""Label of an image of which every name is known to be absent."""
UNKNOWN_CLASS = -1
"""Class of an image whose label is not known (multiclass)."""
_PARTS: tuple[Part, ...] = ("train", "val", "test")


class Named(NamedTuple):
    """The names that a label holds, in its order."""

    present: tuple[str, ...]
    unknown: tuple[str, ...]


class ClassCount(NamedTuple):
    """Images of one class: those that are of it, those that are not, and those of which it is not known."""

    positive: int
    negative: int
    unknown: int


def names_of(label: str) -> Named:
    """Read a label.

    Raises:
        ValueError: A name is empty, occurs twice, or stands beside `none`.

    Example:
        >>> names_of("Effusion|?Mass"), names_of("none")
        (Named(present=('Effusion',), unknown=('Mass',)), Named(present=(), unknown=()))
    """
    texts = [text.strip() for text in label.split(SEPARATOR)]
    unknown = tuple(text[1:].strip() for text in texts if text.startswith(UNKNOWN_MARK))
    present = tuple(text for text in texts if not text.startswith(UNKNOWN_MARK))
    names = (*present, *unknown)
    if not all(names):
        msg = f"the label {label!r} has an empty name; names are joined by one {SEPARATOR}"
        raise ValueError(msg)
    if len(set(names)) != len(names):
        msg = f"the label {label!r} holds a name twice"
        raise ValueError(msg)
    if NOTHING in present:
        if len(present) > 1:
            msg = f"the label {label!r} says {NOTHING} and names something; write one or the other"
            raise ValueError(msg)
        present = ()
    return Named(present, unknown)


def label_of(present: Iterable[str], unknown: Iterable[str] = ()) -> str:
    """Write a label, the inverse of `names_of`.

    Example:
        >>> label_of(["Effusion"], ["Mass"]), label_of([])
        ('Effusion|?Mass', 'none')
    """
    return SEPARATOR.join([*(list(present) or [NOTHING]), *(f"{UNKNOWN_MARK}{name}" for name in unknown)])


def check_classes(classes: Sequence[str]) -> None:
    """Refuse class names that a label could not hold.

    Raises:
        ConfigError: `data.classes` is no list of at least one name, repeats one, or has one that is empty, is `none`,
            begins with a question mark or holds a bar.
    """
    if isinstance(classes, str) or not classes or not all(isinstance(name, str) for name in classes):
        msg = f"data.classes is {classes!r}; it must list the names of the classes in order: data.classes=[normal,ill]"
        raise ConfigError(msg)
    twice = [name for name, n in Counter(classes).items() if n > 1]
    if twice:
        msg = f"data.classes names {first_five(twice)} more than once; name each class once"
        raise ConfigError(msg)
    odd = [
        name
        for name in classes
        if name != name.strip() or name in ("", NOTHING) or SEPARATOR in name or name.startswith(UNKNOWN_MARK)
    ]
    if odd:
        msg = (
            f"data.classes holds {first_five(map(repr, odd))}; a name may neither be empty or {NOTHING!r}, nor hold "
            f"{SEPARATOR!r}, begin with {UNKNOWN_MARK!r}, or begin or end with a blank"
        )
        raise ConfigError(msg)


def encode(
    label: str | None, classes: Sequence[str], kind: Kind, *, sample_id: str = "a sample"
) -> int | NDArray[np.float32]:
    """Encode one label.

    Args:
        label: As in the samples table.
        classes: Names of the classes, in order (`data.classes`).
        kind: `multiclass`: the image is of one class. `multilabel`: each class is present, absent or unknown.
        sample_id: Whose label it is, for messages.

    Returns:
        multiclass: Place of the label in `classes`; -1 where it is not known. multilabel: (L,) float32 of 1 (present),
        0 (absent) and NaN (unknown). Names outside `classes` are passed over.

    Raises:
        DataError: The label cannot be read; or, multiclass, it is none of the classes, or several at once.

    Example:
        >>> encode("b", ["a", "b"], "multiclass"), encode("b|?c", ["a", "b", "c"], "multilabel").tolist()
        (1, [0.0, 1.0, nan])
    """
    if label is None:
        if kind == "multiclass":
            return UNKNOWN_CLASS
        return np.full(len(classes), np.nan, np.float32)
    try:
        found = names_of(label)
    except ValueError as error:
        msg = f"{sample_id}: {error}. Correct the table or folder it comes from"
        raise DataError(msg) from error
    if kind == "multiclass":
        return _one_class(label, found, classes, sample_id)
    row = np.zeros(len(classes), np.float32)
    for place, name in enumerate(classes):
        if name in found.present:
            row[place] = 1
        elif name in found.unknown:
            row[place] = np.nan
    return row


def _one_class(label: str, found: Named, classes: Sequence[str], sample_id: str) -> int:
    """Place of the one name that a label holds."""
    if not found.present and found.unknown:
        return UNKNOWN_CLASS
    if len(found.present) > 1:
        msg = (
            f"{sample_id} is labelled {label!r}: several classes at once, and task=multiclass tells one from the "
            "others. Use task=multilabel"
        )
        raise DataError(msg)
    name = found.present[0] if found.present else NOTHING
    if name not in classes:
        near = near_name(name, classes)
        hint = f" Did you mean {near!r} in data.classes?" if near else ""
        msg = (
            f"{sample_id} is labelled {name!r}, which is none of data.classes=[{','.join(classes)}].{hint} Name it "
            "there, correct the label where it comes from, or take such images out of the set"
        )
        raise DataError(msg)
    return list(classes).index(name)


def encode_table(table: SamplesTable, classes: Sequence[str], kind: Kind) -> NDArray[np.int64] | NDArray[np.float32]:
    """Encode the labels of all rows, each different text once.

    Returns:
        (N,) int64, -1 = unknown, for multiclass; (N, L) float32 with NaN = unknown for multilabel.

    Raises:
        ConfigError: The names of the classes are wrong.
        DataError: Labels cannot be encoded: the first five samples and the count.
    """
    check_classes(classes)
    texts: list[str | None] = table.column("label").to_pylist()
    known: dict[str | None, int | NDArray[np.float32]] = {}
    problems: dict[str | None, str] = {}
    wrong = 0
    for place, text in enumerate(texts):
        if text not in known and text not in problems:
            try:
                known[text] = encode(text, classes, kind, sample_id=str(table.column("sample_id")[place]))
            except DataError as error:
                problems[text] = str(error)
        wrong += text in problems
    if problems:
        lines = "\n".join(f"  {problem}" for problem in list(problems.values())[:5])
        more = f"\n  and {len(problems) - 5} labels more" if len(problems) > 5 else ""
        msg = f"{wrong} of {len(texts)} samples have {len(problems)} labels that fit no class:\n{lines}{more}"
        raise DataError(msg)
    if kind == "multiclass":
        return np.array([known[text] for text in texts], np.int64)
    return np.array([known[text] for text in texts], np.float32).reshape(len(texts), len(classes))


def leave_out_unknown(parts: NDArray[np.str_], labels: NDArray[np.int64] | NDArray[np.float32]) -> NDArray[np.str_]:
    """Put samples of which no class is known in the part `unused`; the log says how many.

    Args:
        parts: (N,) the part of each sample.
        labels: (N,) or (N, L), as `encode_table` gives them.

    Returns:
        (N,) a new array.
    """
    unknown = labels == UNKNOWN_CLASS if labels.ndim == 1 else np.isnan(labels).all(axis=1)
    found = parts.astype("<U6")
    found[unknown] = "unused"
    for part in _PARTS:
        n, total = int((unknown & (parts == part)).sum()), int((parts == part).sum())
        if n:
            log.warning("%d of %d samples of the %s part have no label and are left out", n, total, part)
    return found


def class_counts(
    labels: NDArray[np.int64] | NDArray[np.float32], classes: Sequence[str], parts: NDArray[np.str_] | None = None
) -> dict[str, dict[str, ClassCount]]:
    """Count the images of every class.

    Args:
        labels: (N,) or (N, L), as `encode_table` gives them.
        classes: Names of the classes.
        parts: (N,) the part of each sample; None counts all of them as the part `all`.

    Returns:
        Part -> class -> counts; parts without samples are left out.
    """
    if labels.ndim == 1:
        known = (labels != UNKNOWN_CLASS)[:, None]
        rows = np.where(known, labels[:, None] == np.arange(len(classes)), np.nan)
    else:
        rows = labels
    where = (
        {"all": np.ones(len(rows), bool)} if parts is None else {part: parts == part for part in (*_PARTS, "unused")}
    )
    return {
        part: {
            name: ClassCount(int((of[:, c] == 1).sum()), int((of[:, c] == 0).sum()), int(np.isnan(of[:, c]).sum()))
            for c, name in enumerate(classes)
        }
        for part, at in where.items()
        if len(of := rows[at])
    }


def tokens_of(label: str | None) -> tuple[str, ...]:
    """The names that a label gives to an image, for counting: its present names, `none`, or nothing where unknown.

    A label that cannot be read counts as one name of its own.

    Example:
        >>> tokens_of("Effusion|?Mass"), tokens_of("none"), tokens_of(None)
        (('Effusion',), ('none',), ())
    """
    if label is None:
        return ()
    try:
        found = names_of(label)
    except ValueError:
        return (label,)
    return found.present or (() if found.unknown else (NOTHING,))


def count_names(labels: Iterable[str | None]) -> Counter[str]:
    """How many labels hold each name; see `tokens_of`.

    Example:
        >>> sorted(count_names(["a|b", "a", None]).items())
        [('a', 2), ('b', 1)]
    """
    return Counter(name for label in labels for name in tokens_of(label))
