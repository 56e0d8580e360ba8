"""What all splits share: groups of samples, a seeded order, the hash, and the check that patients stay in one part."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np

from lungseg.data.table import SCHEMA, SamplesTable
from lungseg.errors import ConfigError, DataError, first_five, near_name
from lungseg.types import Part

By = Literal["subject", "sample"]
PARTS: tuple[Part, ...] = ("train", "val", "test", "unused")


class Split(ABC):
    """A strategy that gives every row of a samples table a part."""

    strategy: ClassVar[str]
    by: By = "subject"
    """What is kept together."""

    @abstractmethod
    def assign(self, table: SamplesTable, seed: int) -> np.ndarray:
        """Give every row its part.

        Args:
            table: The samples.
            seed: Seed of the split; 0 is a seed as any other.

        Returns:
            (n,) array of text: train, val, test or unused.
        """


def split_hash(table: SamplesTable, parts: Sequence[str] | np.ndarray) -> str:
    """SHA-256 (hex) over the sorted lines "sample_id<tab>part": equal hashes mean equal splits, whatever the order."""
    lines = sorted(f"{name}\t{part}\n" for name, part in zip(_texts(table, "sample_id"), parts, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check_subjects(table: SamplesTable, parts: Sequence[str] | np.ndarray, *, allow: bool = False) -> int:
    """Count the patients who are in more than one part; refuse them unless `allow`. The part `unused` does not count.

    Returns:
        Number of such patients.

    Raises:
        DataError: There are some; the first five and the count.
    """
    seen: dict[str, set[str]] = defaultdict(set)
    for subject, part in zip(_texts(table, "subject_id"), parts, strict=True):
        if part != "unused":
            seen[subject].add(str(part))
    torn = {subject: found for subject, found in seen.items() if len(found) > 1}
    if torn and not allow:
        names = first_five(f"{subject} ({', '.join(sorted(torn[subject]))})" for subject in sorted(torn))
        msg = (
            f"{len(torn)} of {len(seen)} patients are in more than one part of the split: {names}. Results would be "
            "too good: split by patient (split.by=subject) or correct the lists. To allow it on purpose: "
            "allow_leakage=true"
        )
        raise DataError(msg)
    return len(torn)


def seeded_order(names: Iterable[str], seed: int) -> list[str]:
    """Names in an order drawn from the seed: sorted by SHA-256 of "seed:name".

    The order of two names does not depend on which others there are, so that a set that grows keeps most of its split.

    Example:
        >>> seeded_order(["a", "b", "c"], 0), seeded_order(["a", "b", "c"], 1)
        (['a', 'c', 'b'], ['a', 'b', 'c'])
    """
    return sorted(names, key=lambda name: (hashlib.sha256(f"{seed}:{name}".encode()).digest(), name))


def groups_of(table: SamplesTable, by: By) -> list[str]:
    """The group of every row: its patient, or the sample itself."""
    return _texts(table, "subject_id" if by == "subject" else "sample_id")


def ordered_groups(table: SamplesTable, *, by: By, stratify: str | None, seed: int) -> list[str]:
    """Groups in seeded order, one stratum after the other.

    A group's stratum is the sorted set of the values its rows have in the column `stratify`.

    Raises:
        ConfigError: There is no such column.
    """
    groups = groups_of(table, by)
    if stratify is None:
        return seeded_order(set(groups), seed)
    if stratify not in SCHEMA.names or stratify in ("masks", "spacing_mm"):
        near = near_name(stratify, SCHEMA.names)
        hint = f" Did you mean {near!r}?" if near else ""
        msg = f"split.stratify={stratify!r} is no column to stratify by; use source, label, sex, view or null.{hint}"
        raise ConfigError(msg)
    values: dict[str, set[str]] = defaultdict(set)
    for group, value in zip(groups, table.column(stratify).to_pylist(), strict=True):
        values[group].add("" if value is None else str(value))
    strata: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for group, found in values.items():
        strata[tuple(sorted(found))].append(group)
    return [group for stratum in sorted(strata) for group in seeded_order(strata[stratum], seed)]


def share_out(order: Sequence[str], fractions: Mapping[Part, float]) -> dict[str, Part]:
    """Give parts along an ordered list so that every stretch of it has about the right proportions.

    Totals are fixed first by largest remainder, at least one for every part with a fraction above 0. Then each group
    goes to the part that is furthest behind its share.

    Raises:
        DataError: There are fewer groups than parts.
    """
    wanted = {part: fraction for part, fraction in fractions.items() if fraction > 0}
    totals = _totals(len(order), wanted)
    given = dict.fromkeys(totals, 0)
    parts: dict[str, Part] = {}
    for place, group in enumerate(order, start=1):
        behind = {p: totals[p] * place / len(order) - given[p] for p in totals if given[p] < totals[p]}
        part = max(behind, key=lambda p: behind[p])
        given[part] += 1
        parts[group] = part
    return parts


def _totals(size: int, fractions: Mapping[Part, float]) -> dict[Part, int]:
    if size < len(fractions):
        msg = (
            f"{size} patients cannot fill the {len(fractions)} parts {', '.join(fractions)} of the split; use more "
            "data, or set a fraction to 0"
        )
        raise DataError(msg)
    exact = {part: fraction * size for part, fraction in fractions.items()}
    # 1e-9: .7 * 10 is 6.999... in binary and means 7
    totals = {part: int(value + 1e-9) for part, value in exact.items()}
    by_remainder = sorted(exact, key=lambda part: totals[part] - exact[part])
    for part in by_remainder[: size - sum(totals.values())]:
        totals[part] += 1
    for part in totals:
        if totals[part] == 0:
            totals[max(totals, key=lambda p: totals[p])] -= 1
            totals[part] = 1
    return totals


def check_fraction(key: str, value: float) -> None:
    """Refuse a fraction outside 0 <= value < 1.

    Raises:
        ConfigError: It is outside.
    """
    if not 0 <= value < 1:
        msg = f"{key} is {value}; it must be at least 0 and below 1"
        raise ConfigError(msg)


def check_fractions(train: float, val: float, test: float) -> dict[Part, float]:
    """Return the fractions of the three parts by name.

    Raises:
        ConfigError: One is out of range, or they do not add up to 1.
    """
    for key, value in (("split.val", val), ("split.test", test)):
        check_fraction(key, value)
    if not 0 <= train <= 1 or not math.isclose(train + val + test, 1, abs_tol=1e-6):
        msg = f"split.train={train}, val={val} and test={test} add up to {train + val + test:g}; they must make 1"
        raise ConfigError(msg)
    return {"train": train, "val": val, "test": test}


def check_choice(key: str, value: object, choices: Sequence[object]) -> None:
    """Refuse a value that is none of `choices`.

    Raises:
        ConfigError: It is none of them.
    """
    if value not in choices:
        near = near_name(str(value), [str(choice) for choice in choices])
        hint = f" Did you mean {near}?" if near else ""
        msg = f"{key} is {value!r}; it must be one of {', '.join(str(choice) for choice in choices)}.{hint}"
        raise ConfigError(msg)


def hold_back(
    table: SamplesTable, parts: np.ndarray, *, fraction: float, by: By, stratify: str | None, seed: int
) -> np.ndarray:
    """Move a fraction of the training groups to validation; returns a new array."""
    if fraction == 0:
        return parts
    places = np.flatnonzero(parts == "train")
    inner = table.take(places)
    order = ordered_groups(inner, by=by, stratify=stratify, seed=seed)
    chosen = share_out(order, {"train": 1 - fraction, "val": fraction})
    moved = parts.copy()
    moved[places] = [chosen[group] for group in groups_of(inner, by)]
    return moved


def _texts(table: SamplesTable, column: str) -> list[str]:
    values: list[str] = table.column(column).to_pylist()
    return values
