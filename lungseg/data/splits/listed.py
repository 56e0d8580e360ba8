"""A split given as one text file of names per part."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from lungseg.data.io import read_bytes
from lungseg.data.splits.base import Split, check_choice
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError, first_five
from lungseg.types import Part

log = logging.getLogger(__name__)

_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".img", ".dcm")


class ListSplit(Split):
    """Parts by text files with one name a line: a sample_id, or a file name with or without ending.

    Empty lines and lines that begin with # are passed over. Samples in no list are `unused`, which is logged.

    Args:
        train: File with the training names.
        val: File with the validation names, or None.
        test: File with the test names, or None.
        missing: What to do with names that no sample has: `error`, or `ignore` (they are counted in the log).
    """

    strategy: ClassVar[str] = "list"

    def __init__(
        self,
        *,
        train: str | None = None,
        val: str | None = None,
        test: str | None = None,
        missing: Literal["error", "ignore"] = "error",
    ) -> None:
        check_choice("split.missing", missing, ("error", "ignore"))
        self.files = {"train": train, "val": val, "test": test}
        self.missing = missing
        if not any(self.files.values()):
            msg = "split=list needs a file of names for a part: split.train=<file>, split.val=<file>, split.test=<file>"
            raise ConfigError(msg)

    def assign(self, table: SamplesTable, seed: int) -> np.ndarray:
        """Give every row its part; the seed does not matter.

        Raises:
            DataError: A list cannot be read, a name is in two lists, fits no sample or several.
        """
        del seed
        lists: dict[Part, list[str]] = {}
        for part in ("train", "val", "test"):
            file = self.files[part]
            if file is not None:
                text = read_bytes(Path(file).expanduser()).decode("utf-8-sig")
                lists[part] = names_in(text)
        return assign_lists(table, lists, missing=self.missing)


def names_in(text: str) -> list[str]:
    r"""Names of a list, one a line; empty lines and comments are passed over.

    Example:
        >>> names_in("# part\na.png\r\n\nb\n")
        ['a.png', 'b']
    """
    lines = (line.strip() for line in text.replace("\r", "\n").split("\n"))
    return [line for line in lines if line and not line.startswith("#")]


def assign_lists(
    table: SamplesTable, lists: Mapping[Part, Sequence[str]], *, missing: Literal["error", "ignore"]
) -> np.ndarray:
    """Parts by lists of names.

    Raises:
        DataError: A name is in two lists, fits no sample (unless `missing` is `ignore`), or fits several.
    """
    places = _places(table)
    parts = np.full(len(table), "unused", dtype="<U6")
    absent: list[str] = []
    several: list[str] = []
    twice: list[str] = []
    for part, names in lists.items():
        for name in names:
            found = places.get(_bare(name), [])
            if not found:
                absent.append(name)
            elif len(found) > 1:
                several.append(name)
            elif parts[found[0]] != "unused":
                twice.append(name)
            else:
                parts[found[0]] = part
    if twice:
        msg = f"{len(twice)} names occur twice in the split: {first_five(twice)}; name each sample once"
        raise DataError(msg)
    if several:
        msg = f"{len(several)} names of the split fit several samples: {first_five(several)}; write <source>/<name>"
        raise DataError(msg)
    if absent and missing == "error":
        msg = (
            f"{len(absent)} of {sum(map(len, lists.values()))} names of the split fit no sample: {first_five(absent)}. "
            "Is this the right set (data=...), and complete? To go on without them: split.missing=ignore"
        )
        raise DataError(msg)
    if absent:
        log.warning("%d names of the split fit no sample and are ignored: %s", len(absent), first_five(absent))
    unused = int(np.count_nonzero(parts == "unused"))
    if unused:
        log.warning("%d of %d samples are in no list of the split and stay unused", unused, len(table))
    return parts


def _places(table: SamplesTable) -> dict[str, list[int]]:
    """Every name a sample may be called by -> rows."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(table.column("sample_id").to_pylist()):
        rest = name.split("/", 1)[1]
        for key in {name, rest, rest.rsplit("/", 1)[-1]}:
            places[key].append(place)
    return places


def _bare(name: str) -> str:
    return name.rsplit(".", 1)[0] if name.lower().endswith(_ENDINGS) else name
