"""Looking through a whole source: what is there, what is wrong with it, nothing changed."""

from __future__ import annotations

import copy
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.data.io import content_hash
from lungseg.data.labels import tokens_of
from lungseg.data.polarity import looks_inverted
from lungseg.data.sources.base import Source, SourceIndex
from lungseg.data.structures import STRUCTURES, UNIONS
from lungseg.data.table import SamplesTable
from lungseg.errors import DataError
from lungseg.types import Row

_PLAUSIBLE_LUNGS = (0.05, 0.65)
_THREADS = 4


@dataclass
class MaskFacts:
    """The masks of one structure.

    Attributes:
        n: Masks read.
        empty: Masks without a foreground pixel.
        not_binary: Masks with pixels between their lowest and highest level.
        levels: Largest number of grey levels in one of them.
        area: Mean fraction of the picture.
    """

    n: int = 0
    empty: int = 0
    not_binary: int = 0
    levels: int = 0
    area: float = 0.0


@dataclass
class SourceFacts:
    """All that `check` says about one source.

    Attributes:
        name: Key in `data.sources`.
        title: Name for people.
        home: Where to get it.
        expected: The tree as published.
        published: How many radiographs the complete set has.
        root: Folder it was found in, or None.
        problems: What stops lungseg from using it; each names cause and fix.
        unreadable: Files that cannot be read, with the cause.
        warnings: What should be looked at.
        notes: What the source itself says.
        n: Radiographs that can be used; with masks, where the set has some.
        patients: Patients of these.
        aside: Radiographs kept aside.
        dropped: Files left out on purpose.
        sizes: "height x width" -> radiographs.
        mask_sizes: "height x width" -> radiographs whose masks have that size.
        depths: Bits found -> radiographs.
        conversions: What was converted at reading -> radiographs.
        inverted: Radiographs that were turned at reading.
        looks_inverted: Samples that look inverted as they are read.
        masks: Structure -> facts.
        sexes, views, splits: Value -> radiographs.
        labels: Name -> radiographs that have it; one may have several.
        ages: Youngest, median, oldest in years and how many are unknown.
        same_files: Groups of byte-identical files.
        same_pixels: Groups of files with identical pixels but other bytes.
    """

    name: str
    title: str
    home: str
    expected: str
    published: str
    root: str | None = None
    problems: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    n: int = 0
    patients: int = 0
    aside: int = 0
    dropped: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    mask_sizes: dict[str, int] = field(default_factory=dict)
    depths: dict[str, int] = field(default_factory=dict)
    conversions: dict[str, int] = field(default_factory=dict)
    inverted: int = 0
    looks_inverted: list[str] = field(default_factory=list)
    masks: dict[str, MaskFacts] = field(default_factory=dict)
    sexes: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    views: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    ages: dict[str, float] = field(default_factory=dict)
    same_files: list[list[str]] = field(default_factory=list)
    same_pixels: list[list[str]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain containers, for JSON."""
        return asdict(self)


@dataclass
class Digests:
    """Hashes of one radiograph, kept over all sources so that a copy in another set is found too."""

    name: str
    file: str | None
    pixels: str


@dataclass
class _Seen:
    """What reading one radiograph and its masks gave."""

    digests: Digests | None = None
    error: str | None = None
    size: str = ""
    mask_size: str = ""
    bits: str = ""
    note: str = ""
    inverted: bool = False
    suspicious: bool = False
    swapped: bool = False
    masks: dict[str, tuple[bool, int, int, float]] = field(default_factory=dict)


def examine(
    source: Source, progress: Callable[[int, int], None] | None = None, *, structures: Sequence[str] = ()
) -> tuple[SourceFacts, SourceIndex | None, list[Digests]]:
    """Read every radiograph and mask of a source.

    Args:
        source: The source.
        progress: Called with (radiographs done, radiographs to do).
        structures: What is going to be segmented; a set without masks of them is a problem.

    Returns:
        The facts, the index (None where the source was not found), and the hashes of all radiographs.
    """
    facts = SourceFacts(source.name, source.title, source.home, source.expected_tree(), source.published)
    index = _index(source, facts)
    if index is None:
        return facts, None, []
    facts.root = str(index.root)
    try:
        source.check_structures(index.rows, structures)
    except DataError as error:
        facts.problems.append(str(error))
    facts.notes = list(index.notes)
    facts.n, facts.aside, facts.dropped = len(index.rows), len(index.aside), len(index.dropped)
    _count_rows(index.rows, facts)
    rows = [*index.rows, *(_aside_row(source.name, path) for path in index.aside)]
    seen: list[_Seen] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for one in pool.map(lambda row: _look(source, index.root, row), rows):
            seen.append(one)
            if progress is not None:
                progress(len(seen), len(rows))
    _gather(rows, seen, facts)
    return facts, index, [one.digests for one in seen if one.digests is not None]


def duplicates(digests: Iterable[Digests]) -> tuple[list[list[str]], list[list[str]]]:
    """Groups of radiographs with the same bytes, and groups with the same pixels in different files."""
    files: dict[str, list[str]] = defaultdict(list)
    pixels: dict[str, list[Digests]] = defaultdict(list)
    for one in digests:
        if one.file is not None:
            files[one.file].append(one.name)
        pixels[one.pixels].append(one)
    same_files = sorted(sorted(names) for names in files.values() if len(names) > 1)
    same_pixels = sorted(
        sorted(one.name for one in group) for group in pixels.values() if len({one.file for one in group}) > 1
    )
    return same_files, same_pixels


def _index(source: Source, facts: SourceFacts) -> SourceIndex | None:
    """Index; where pairs are missing say so, and go on with the rest."""
    try:
        index = source.index()
    except DataError as error:
        facts.problems.append(str(error))
        lenient = copy.copy(source)
        lenient.missing = "drop"
        try:
            index = lenient.index()
        except DataError:
            return None
    try:
        SamplesTable.from_rows(index.rows)
    except DataError as error:
        facts.problems.append(str(error))
    if not index.rows:
        facts.problems.append(f"{source.title} in {index.root} has no radiograph with a mask; compare the tree above")
    return index


def _aside_row(name: str, path: str) -> Row:
    stem = Path(path).stem
    return Row(
        sample_id=f"{name}/{stem}",
        subject_id=f"{name}/{stem}",
        source=name,
        image=path,
        masks={},
        label=None,
        view=None,
        sex=None,
        age=None,
        spacing_mm=None,
        official_split=None,
    )


def _look(source: Source, root: Path, row: Row) -> _Seen:
    seen = _Seen()
    errors = []
    planes: dict[str, np.ndarray] = {}
    for structure in row["masks"]:
        try:
            reference = source.read_reference(root, row, [structure])
        except DataError as error:
            if str(error) not in errors:
                errors.append(str(error))
            continue
        plane = reference.masks[0]
        planes[structure] = plane
        seen.masks[structure] = (not plane.any(), reference.between, reference.levels, float(plane.mean()))
        seen.mask_size = f"{plane.shape[0]} x {plane.shape[1]}"
    for union, parts in UNIONS.items():
        found = [planes[part] for part in parts if part in planes]
        if union not in planes and len(found) == len(parts) and len({plane.shape for plane in found}) == 1:
            plane = np.logical_or.reduce(found)
            planes[union] = plane
            between = max(seen.masks[part][1] for part in parts)
            levels = max(seen.masks[part][2] for part in parts)
            seen.masks[union] = (not plane.any(), between, levels, float(plane.mean()))
    seen.swapped = _swapped(planes)
    try:
        radiograph = source.read_image(root, row)
    except DataError as error:
        seen.error = "; ".join(dict.fromkeys([str(error), *errors]))
        return seen
    seen.error = "; ".join(errors) or None
    pixels = radiograph.pixels
    seen.size = f"{pixels.shape[0]} x {pixels.shape[1]}"
    seen.bits = f"{radiograph.bits} bits" + (", colour" if pixels.ndim == 3 else "")
    seen.note = radiograph.note
    seen.inverted = radiograph.inverted
    seen.suspicious = looks_inverted(pixels, planes.get("lungs"))
    file = None
    if source.fingerprint(row) is None:
        file = content_hash(root / row["image"])
    content = hashlib.sha256(f"{pixels.shape} {pixels.dtype}".encode() + np.ascontiguousarray(pixels).tobytes())
    seen.digests = Digests(row["sample_id"], file, content.hexdigest())
    return seen


def _swapped(planes: dict[str, np.ndarray]) -> bool:
    """Whether the patient's right lung lies to the right of the left one in the image."""
    right, left = planes.get("right_lung"), planes.get("left_lung")
    if right is None or left is None or not right.any() or not left.any():
        return False
    return bool(np.nonzero(right)[1].mean() / right.shape[1] > np.nonzero(left)[1].mean() / left.shape[1])


def _count_rows(rows: list[Row], facts: SourceFacts) -> None:
    facts.patients = len({row["subject_id"] for row in rows})
    facts.sexes = _counted(row["sex"] for row in rows)
    facts.labels = _counted(name for row in rows for name in tokens_of(row["label"]) or (None,))
    facts.views = _counted(row["view"] for row in rows)
    facts.splits = _counted(row["official_split"] for row in rows)
    ages = [row["age"] for row in rows if row["age"] is not None]
    if ages:
        low, middle, high = np.percentile(ages, (0, 50, 100))
        facts.ages = {"youngest": low, "median": middle, "oldest": high, "unknown": len(rows) - len(ages)}


def _counted(values: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter("unknown" if value is None else value for value in values).most_common())


def _gather(rows: list[Row], seen: list[_Seen], facts: SourceFacts) -> None:
    facts.unreadable = [one.error for one in seen if one.error is not None]
    facts.sizes = _counted(one.size for one in seen if one.size)
    facts.mask_sizes = _counted(one.mask_size for one in seen if one.mask_size)
    facts.depths = _counted(one.bits for one in seen if one.bits)
    facts.conversions = _counted(one.note for one in seen if one.note)
    facts.inverted = sum(one.inverted for one in seen)
    facts.looks_inverted = [row["sample_id"] for row, one in zip(rows, seen, strict=True) if one.suspicious]
    sums: dict[str, MaskFacts] = defaultdict(MaskFacts)
    odd: list[str] = []
    for row, one in zip(rows, seen, strict=True):
        for structure, (empty, between, levels, area) in one.masks.items():
            total = sums[structure]
            total.n += 1
            total.empty += empty
            total.not_binary += between > 0
            total.levels = max(total.levels, levels)
            total.area += area
        lungs = one.masks.get("lungs")
        if lungs is not None and not _PLAUSIBLE_LUNGS[0] <= lungs[3] <= _PLAUSIBLE_LUNGS[1]:
            odd.append(f"{row['sample_id']} ({lungs[3]:.1%})")
    for total in sums.values():
        total.area /= total.n
    order = {structure: place for place, structure in enumerate(STRUCTURES)}
    facts.masks = dict(sorted(sums.items(), key=lambda item: order.get(item[0], len(order))))
    swapped = [row["sample_id"] for row, one in zip(rows, seen, strict=True) if one.swapped]
    if swapped:
        facts.warnings.append(
            f"right and left lung seem swapped in {_some(swapped)}; the right lung lies on image left"
        )
    if odd:
        facts.warnings.append(
            f"lungs fill less than 5 % or more than 65 % of the picture in {_some(odd)}; look at them"
        )
    if facts.looks_inverted:
        facts.warnings.append(
            f"{_some(facts.looks_inverted)} look inverted (lungs brighter than their surroundings); if the whole set "
            f"is: data.sources.{facts.name}.inverted=true"
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{len(names)} radiographs: {', '.join(names[:5])}{more}"
