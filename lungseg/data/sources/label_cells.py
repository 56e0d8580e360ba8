"""Labels in the cells of a table: one text, or a column of 1, 0 and nothing for each name."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lungseg.data.labels import label_of, names_of
from lungseg.errors import near_name

_PRESENT = frozenset({"1", "1.0", "true", "yes", "y"})
_ABSENT = frozenset({"0", "0.0", "false", "no", "n"})
_UNKNOWN = frozenset({"", "nan", "na", "n/a", "none", "null", "?", "-1", "-1.0"})


def parse_flag(text: str) -> bool | None:
    """Whether a label is present, or None where it is not known: empty, NaN, or -1 ("uncertain" in CheXpert).

    Raises:
        ValueError: The cell is none of these.

    Example:
        >>> parse_flag("1.0"), parse_flag("0"), parse_flag(""), parse_flag("-1")
        (True, False, None, None)
    """
    word = text.strip().lower()
    if word in _UNKNOWN:
        return None
    if word not in _PRESENT and word not in _ABSENT:
        msg = f"{text!r} says neither yes nor no; write 1, 0, or nothing where it is not known"
        raise ValueError(msg)
    return word in _PRESENT


def label_of_flags(cells: Mapping[str, str]) -> str | None:
    """The label that a row of columns makes, or None where none of them is known.

    Args:
        cells: Name of the label -> cell.

    Raises:
        ValueError: A cell cannot be read; the message names the column.

    Example:
        >>> label_of_flags({"Mass": "1", "Edema": "0", "Nodule": ""}), label_of_flags({"Mass": ""})
        ('Mass|?Nodule', None)
    """
    flags: dict[str, bool | None] = {}
    for name, cell in cells.items():
        try:
            flags[name] = parse_flag(cell)
        except ValueError as error:
            msg = f"{name}: {error}"
            raise ValueError(msg) from error
    if all(flag is None for flag in flags.values()):
        return None
    return label_of(
        [name for name, flag in flags.items() if flag], [name for name, flag in flags.items() if flag is None]
    )


def check_label(label: str, classes: Collection[str] | None) -> str:
    """Return a label whose names are all known ones.

    Args:
        label: As in the samples table.
        classes: Names that it may hold; None = any.

    Raises:
        ValueError: The label cannot be read, or holds another name.
    """
    found = names_of(label)
    wrong = [] if classes is None else [name for name in (*found.present, *found.unknown) if name not in classes]
    if wrong and classes is not None:
        near = near_name(wrong[0], classes)
        hint = f" (did you mean {near!r}?)" if near else ""
        msg = f"{wrong[0]!r} is none of the classes {', '.join(classes)}{hint}"
        raise ValueError(msg)
    return label
