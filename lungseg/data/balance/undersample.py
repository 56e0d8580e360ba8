"""Leaving out training samples of frequent classes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lungseg.data.balance.base import Balance, labels_at, leave_out
from lungseg.data.labels import SEPARATOR
from lungseg.data.splits.base import seeded_order
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, near_name


class Undersample(Balance):
    """Keeps at most so many training samples of a class, drawn by the seed.

    A sample is of a class if that is all its label says: of `Effusion|Mass` nothing is left out.

    Args:
        limits: Class -> how many to keep: a number of samples, or the name of another class, whose number in the
            training part is taken (`{normal: covid-19}`). None brings all classes down to the rarest one.

    Raises:
        ConfigError: A limit is neither a number of at least 1 nor a name.
    """

    def __init__(self, *, limits: Mapping[str, int | str] | None = None) -> None:
        for name, limit in (limits or {}).items():
            if isinstance(limit, bool) or not isinstance(limit, int | str) or (isinstance(limit, int) and limit < 1):
                msg = (
                    f"balance.limits.{name} is {limit!r}; it must be a number of samples of at least 1, or the name of "
                    "another class"
                )
                raise ConfigError(msg)
        self.limits = None if limits is None else dict(limits)

    def apply(self, table: SamplesTable, parts: NDArray[np.str_], seed: int) -> NDArray[np.str_]:
        """Leave out training samples beyond the limits.

        Raises:
            ConfigError: A limit names a class that no training sample is of; or all classes are to be brought down, but
                some samples are of several at once.
        """
        places = np.flatnonzero(parts == "train")
        if not len(places):
            return parts
        members: dict[str, list[int]] = defaultdict(list)
        for place, label in zip(places.tolist(), labels_at(table, places), strict=True):
            if label is not None:
                members[label].append(place)
        ids = table.column("sample_id")
        out: list[int] = []
        for name, limit in self._numbers({name: len(rows) for name, rows in members.items()}).items():
            by_id = {str(ids[place]): place for place in members[name]}
            out += [by_id[sample] for sample in seeded_order(by_id, seed)[limit:]]
        return leave_out(table, parts, out, "undersampling")

    def _numbers(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Class -> how many of it to keep."""
        if self.limits is None:
            several = [label for label in counts if SEPARATOR in label]
            if several:
                msg = (
                    f"balance.limits is null, which brings all classes to one number, but samples are of several at "
                    f"once ({several[0]!r}); name the classes: 'balance.limits={{No Finding: 7000}}'"
                )
                raise ConfigError(msg)
            return dict.fromkeys(counts, min(counts.values(), default=0))
        wanted = {}
        for name, limit in self.limits.items():
            for named in (name, limit) if isinstance(limit, str) else (name,):
                if named not in counts:
                    near = near_name(named, counts)
                    hint = f" Did you mean {near!r}?" if near else ""
                    msg = (
                        f"balance.limits names the class {named!r}, which no training sample is of.{hint} There are: "
                        f"{', '.join(sorted(counts)) or 'no labels at all'}"
                    )
                    raise ConfigError(msg)
            wanted[name] = counts[limit] if isinstance(limit, str) else limit
        return wanted
