"""Names of the structures a mask can show, and the one place where the two lungs are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from lungseg.errors import ConfigError, DataError, near_name

STRUCTURES: tuple[str, ...] = (
    "lungs", "right_lung", "left_lung", "heart", "right_clavicle", "left_clavicle", "infection",
)  # fmt: skip
"""Structures lungseg knows. Right and left are the patient's: the right lung lies on the left of a frontal image.
Infection is the part of the lungs that pneumonia shows in; it is empty where there is none."""

UNIONS: Mapping[str, tuple[str, ...]] = MappingProxyType({"lungs": ("right_lung", "left_lung")})
"""Structures that are the union of others where a set publishes the others only."""


def check_structures(structures: Sequence[str]) -> None:
    """Refuse names that are not in `STRUCTURES`, an empty list and repeated names.

    Args:
        structures: Names as the configuration gives them.

    Raises:
        ConfigError: A name is unknown or repeated, or there is none.
    """
    if isinstance(structures, str) or not structures:
        msg = f"data.structures is {structures!r}; give a list such as [lungs] out of {', '.join(STRUCTURES)}"
        raise ConfigError(msg)
    for name in structures:
        if name not in STRUCTURES:
            near = near_name(name, STRUCTURES)
            hint = f" Did you mean {near!r}?" if near else ""
            msg = f"data.structures names {name!r}, which is no structure.{hint} Known: {', '.join(STRUCTURES)}"
            raise ConfigError(msg)
    if len(set(structures)) != len(structures):
        msg = f"data.structures names a structure twice: {', '.join(structures)}; name each once"
        raise ConfigError(msg)


def available(masks: Mapping[str, str]) -> tuple[str, ...]:
    """Structures that can be read from `masks`, unions included, in the order of `STRUCTURES`.

    Example:
        >>> available({"right_lung": "r.png", "left_lung": "l.png"})
        ('lungs', 'right_lung', 'left_lung')
    """
    names = set(masks)
    names.update(union for union, parts in UNIONS.items() if all(part in masks for part in parts))
    known = tuple(name for name in STRUCTURES if name in names)
    return known + tuple(sorted(names.difference(STRUCTURES)))


def paths_for(masks: Mapping[str, str], structure: str) -> list[str]:
    """Mask files whose union is `structure`.

    Args:
        masks: Structure -> path, as in a row of the samples table.
        structure: Structure asked for.

    Returns:
        One path where the set publishes the structure itself, else the paths of its parts; empty where the sample
        has neither.

    Example:
        >>> paths_for({"right_lung": "r.png", "left_lung": "l.png"}, "lungs")
        ['r.png', 'l.png']
    """
    if structure in masks:
        return [masks[structure]]
    parts = UNIONS.get(structure, ())
    return [masks[part] for part in parts] if all(part in masks for part in parts) else []


def refuse_missing(masks: Mapping[str, str], structure: str) -> DataError:
    """The error for a structure that a sample has no mask of; it names those it has and a near name.

    Args:
        masks: Structure -> path, as in a row of the samples table.
        structure: Structure asked for.
    """
    near = near_name(structure, [*STRUCTURES, *masks])
    hint = f" Did you mean {near!r}?" if near and near != structure else ""
    have = ", ".join(available(masks)) or "none"
    msg = f"there is no mask of {structure!r}; this sample has: {have}.{hint} Choose data.structures among these"
    return DataError(msg)
