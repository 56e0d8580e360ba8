"""Joining the radiographs of the V7 set with their annotation files, label maps and a manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lungseg.data.sources.clinical import read_table
from lungseg.data.sources.darwin import levels_of, read_darwin, read_label_map
from lungseg.errors import DataError, first_five

_THREADS = 4
_COLUMNS = {"view": "View/", "patient": "PatientID:", "sex": "Sex/", "age": "Age:"}
"""Column of manifest.csv -> the tag it stands for."""


@dataclass(frozen=True)
class Annotation:
    """An annotation file, without its polygons.

    Attributes:
        path: The file.
        names: Names its image may have.
        ids: Names a mask exported for it may have, without ending.
        tags: Its tags.
        levels: Levels that its polygons draw.
    """

    path: Path
    names: tuple[str, ...]
    ids: tuple[str, ...]
    tags: tuple[str, ...]
    levels: frozenset[int]


@dataclass
class Entry:
    """All that was found of one radiograph.

    Attributes:
        image: The radiograph.
        annotation: Its annotation file.
        png: Its label map.
        mask: The one of the two that its mask is read from.
        levels: Levels in that mask; None where it is not known.
        tags: Tags by annotation file or manifest.
    """

    image: Path
    annotation: Annotation | None = None
    png: Path | None = None
    mask: Path | None = None
    levels: frozenset[int] | None = None
    tags: list[str] = field(default_factory=list)


def entries_of(files: Sequence[Path], folder: Path) -> dict[str, Entry]:
    """Key -> entry; the key is the name without ending where that is unique, else the path below `folder`."""
    stems = Counter(path.stem for path in files)
    return {path.stem if stems[path.stem] == 1 else path.relative_to(folder).as_posix(): Entry(path) for path in files}


def join_annotations(paths: Sequence[Path], entries: Mapping[str, Entry], notes: list[str]) -> list[Path]:
    """Give entries their annotation file and tags.

    Args:
        paths: JSON files.
        entries: Key -> entry; filled in.
        notes: Gets a sentence on files that were passed over.

    Returns:
        Files with polygons that belong to no radiograph.

    Raises:
        DataError: Files are damaged: the first five and the count.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        results = list(pool.map(_summary, paths))
    damaged = [result for result in results if isinstance(result, str)]
    if damaged:
        msg = f"{len(damaged)} of {len(paths)} annotation files cannot be used: {first_five(damaged)}"
        raise DataError(msg)
    places = _places(entries)
    loose: list[Path] = []
    twice = other = 0
    for path, found in zip(paths, results, strict=True):
        if not isinstance(found, Annotation):
            other += 1
            continue
        names = [name.lower() for name in (*found.names, *found.ids)]
        key = next((places[name] for name in names if name in places), None)
        if key is None:
            if found.levels:
                loose.append(path)
        elif entries[key].annotation is None:
            entries[key].annotation, entries[key].tags = found, list(found.tags)
        else:
            twice += 1
    if twice:
        notes.append(f"{twice} annotation files repeat one of the same radiograph; the first by path is taken")
    if other:
        notes.append(f"{other} JSON files are no Darwin annotations and are passed over")
    return loose


def join_manifest(path: Path, entries: Mapping[str, Entry]) -> dict[str, str]:
    """Give entries without tags those that a table says.

    Args:
        path: A table with the columns image and mask_id, and any of labels (divided by |), view, patient, sex, age.
        entries: Key -> entry; filled in.

    Returns:
        Name of the mask without ending -> key.

    Raises:
        DataError: A column is missing, or the table is damaged.
    """
    places = _places(entries)
    found: dict[str, str] = {}
    for record in read_table(path):
        if "image" not in record or "mask_id" not in record:
            msg = f"{path} lacks the columns image and mask_id; it has {', '.join(record)}. Name them, or remove it"
            raise DataError(msg)
        key = places.get(record["image"].lower())
        if key is None:
            continue
        found[record["mask_id"]] = key
        if not entries[key].tags:
            tags = [f"{head}{record[name]}" for name, head in _COLUMNS.items() if record.get(name)]
            entries[key].tags = [*record.get("labels", "").split("|"), *tags]
    return found


def join_pngs(paths: Iterable[Path], entries: Mapping[str, Entry], manifest: Mapping[str, str]) -> list[Path]:
    """Give entries their label map, by the number in their annotation file, the manifest, or an equal name.

    Args:
        paths: Label maps.
        entries: Key -> entry; filled in.
        manifest: Name of the mask without ending -> key.

    Returns:
        Label maps that belong to no radiograph.

    Raises:
        DataError: Radiographs have two label maps.
    """
    ids = {name: key for key, entry in entries.items() if entry.annotation for name in entry.annotation.ids}
    places = _places(entries)
    orphans: list[Path] = []
    several: list[str] = []
    for path in paths:
        key = ids.get(path.stem) or manifest.get(path.stem) or places.get(path.stem.lower())
        if key is None:
            orphans.append(path)
        elif entries[key].png is not None:
            several.append(f"{entries[key].png} and {path.name} ({key})")
        else:
            entries[key].png = path
    if several:
        msg = f"{len(several)} radiographs have two masks: {first_five(several)}; remove one of each"
        raise DataError(msg)
    return orphans


def choose_masks(entries: Mapping[str, Entry], *, polygons: bool) -> int:
    """Decide which file the mask of each entry is read from, and read which levels it holds.

    Args:
        entries: Key -> entry; filled in.
        polygons: Whether the polygons of an annotation file may serve where there is no label map.

    Returns:
        How many masks come from polygons.
    """
    drawn = 0
    for entry in entries.values():
        if entry.png is not None:
            entry.mask = entry.png
        elif polygons and entry.annotation is not None and entry.annotation.levels:
            entry.mask, entry.levels = entry.annotation.path, entry.annotation.levels
            drawn += 1
    mapped = [(entry, entry.png) for entry in entries.values() if entry.png is not None]
    with ThreadPoolExecutor(_THREADS) as pool:
        for (entry, _), levels in zip(mapped, pool.map(_levels, [png for _, png in mapped]), strict=True):
            entry.levels = levels
    return drawn


def _places(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Every name a radiograph may be called by, in lower case -> its key; names of two radiographs are left out."""
    counts: Counter[str] = Counter()
    places: dict[str, str] = {}
    for key, entry in entries.items():
        for name in {entry.image.name.lower(), entry.image.stem.lower()}:
            counts[name] += 1
            places[name] = key
    return {name: key for name, key in places.items() if counts[name] == 1}


def _summary(path: Path) -> Annotation | str | None:
    """An annotation file without its polygons, None for another kind of file, or what is wrong with it."""
    try:
        found = read_darwin(path)
    except DataError as error:
        return str(error)
    if found is None:
        return None
    levels = frozenset(polygon.level for polygon in found.polygons)
    return Annotation(path, found.names, found.ids, found.tags, levels)


def _levels(path: Path) -> frozenset[int] | None:
    """Levels of a label map; None where it cannot be used, which is said when its pixels are needed."""
    try:
        return frozenset(levels_of(read_label_map(path)))
    except DataError:
        return None
