"""Lung masks that guide preprocessing: of the sets themselves, or of a folder that a network drew them into."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lungseg.data.io import read_mask
from lungseg.data.preprocess.base import Step
from lungseg.data.preprocess.lungs import DISK
from lungseg.data.sources.base import Source
from lungseg.data.structures import paths_for
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError, first_five
from lungseg.types import Row

MANIFEST = "manifest.json"
FORMAT = 1
STRUCTURE = "lungs"


class Guides(Protocol):
    """Where the lung mask of a row comes from; picklable, as `alone` of it travels to the workers."""

    def origin(self, row: Row) -> str:
        """Return what drew a row's mask: `disk`, or `predicted by` and the start of the checkpoint's hash."""
        ...

    def files(self, row: Row) -> list[str]:
        """Return the files behind a row's mask, relative to the source's root or absolute; empty = there is none."""
        ...

    def read(self, source: Source, root: Path, row: Row) -> NDArray[np.bool_]:
        """Return a row's mask, (h, w) bool, on its own grid, which covers the radiograph."""
        ...

    def alone(self, row: Row) -> Guides:
        """Return what knows of one row only, and so is small."""
        ...


@dataclass(frozen=True)
class DiskGuides:
    """The lung masks that the sets publish."""

    def origin(self, row: Row) -> str:
        """Return `disk`."""
        del row
        return DISK

    def files(self, row: Row) -> list[str]:
        """Return one file, or those of the two lungs."""
        return paths_for(row["masks"], STRUCTURE)

    def read(self, source: Source, root: Path, row: Row) -> NDArray[np.bool_]:
        """Read what the set publishes for the row.

        Raises:
            DataError: a file is missing, damaged, or of another picture.
        """
        return np.asarray(source.read_masks(root, row, [STRUCTURE])[0], bool)

    def alone(self, row: Row) -> DiskGuides:
        """Return itself: it holds nothing."""
        del row
        return self


@dataclass(frozen=True)
class FolderGuides:
    """Lung masks in a folder with a manifest, as `predict_masks` writes them.

    Attributes:
        folder: of the manifest.
        masks: sample_id -> file name, and SHA-256 of the checkpoint file that drew it.
    """

    folder: Path
    masks: Mapping[str, tuple[str, str]]

    @classmethod
    def open(cls, folder: Path) -> FolderGuides:
        """Read a manifest.

        Raises:
            DataError: there is none, or it is damaged.
        """
        content = read_manifest(folder)
        masks = {name: (str(entry["file"]), str(entry["checkpoint"])) for name, entry in content["masks"].items()}
        return cls(folder.absolute(), masks)

    def origin(self, row: Row) -> str:
        """Return whose prediction the row's mask is."""
        return f"predicted by {self.masks[row['sample_id']][1][:12]}"

    def files(self, row: Row) -> list[str]:
        """Return the file of the row's sample."""
        entry = self.masks.get(row["sample_id"])
        return [] if entry is None else [str(self.folder / entry[0])]

    def read(self, source: Source, root: Path, row: Row) -> NDArray[np.bool_]:
        """Read the predicted mask.

        Raises:
            DataError: the file is missing or damaged.
        """
        del source, root
        return np.asarray(read_mask(self.folder / self.masks[row["sample_id"]][0]).mask, bool)

    def alone(self, row: Row) -> FolderGuides:
        """Return the folder with the row's entry only."""
        name = row["sample_id"]
        return FolderGuides(self.folder, {name: self.masks[name]})


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder of predicted masks.

    Raises:
        DataError: there is none, it is damaged, or of another format.
    """
    path = folder / MANIFEST
    redo = f"Delete {folder} and run again with lung_masks=<segmentation checkpoint>"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        msg = (
            f"{folder} holds no {MANIFEST}, so it is not known which masks in it are whose. Give a folder that lungseg "
            "predicted lung masks into, or the checkpoint itself: lung_masks=<run folder or .ckpt>"
        )
        raise DataError(msg) from error
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read ({error}). {redo}"
        raise DataError(msg) from error
    masks = content.get("masks") if isinstance(content, dict) and content.get("format") == FORMAT else None
    if not isinstance(masks, dict) or not all({"file", "checkpoint"} <= set(entry) for entry in masks.values()):
        msg = f"{path} is no manifest of predicted masks in format {FORMAT}. {redo}"
        raise DataError(msg)
    return dict(content)


def masks_wanted(steps: Mapping[str, Step]) -> str | None:
    """Return where the steps want lung masks from, or None where no step wants any.

    Args:
        steps: preprocessing; those that need a mask say so in their attribute `masks`.

    Raises:
        ConfigError: two steps name different places.
    """
    wanted = {name: str(masks) for name, step in steps.items() if (masks := getattr(step, "masks", None)) is not None}
    if len(set(wanted.values())) > 1:
        named = " and ".join(f"preprocess.steps.{name}.masks={masks}" for name, masks in wanted.items())
        msg = f"{named} take lung masks from different places; all masks of a run come from one: name the same"
        raise ConfigError(msg)
    return next(iter(wanted.values()), None)


def check_guides(table: SamplesTable, guides: Guides) -> None:
    """Refuse a table with radiographs that have no lung mask, or masks that come from several sources.

    Raises:
        DataError: names the first five without one, and how many have one, by set and label.
    """
    lacking: list[str] = []
    origins: list[str] = []
    have: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for row in table.rows():
        group = f"{row['source']} {row['label']}" if row["label"] else row["source"]
        total[group] += 1
        if guides.files(row):
            have[group] += 1
            origins.append(guides.origin(row))
        else:
            lacking.append(row["sample_id"])
    if not lacking:
        refuse_mixed_masks(table, origins)
        return
    by = first_five(f"{group} {have[group]} of {n}" for group, n in sorted(total.items()))
    msg = (
        f"{len(lacking)} of {len(table)} radiographs have no lung mask: {first_five(lacking)} (masks: {by}). All masks "
        "must come from one source, or they would give the classes away: let one network draw them all with "
        "lung_masks=<run folder or .ckpt of a segmentation net>, or do without them: lungs=full"
    )
    raise DataError(msg)


def refuse_mixed_masks(table: SamplesTable, origins: Sequence[str]) -> None:
    """Refuse lung masks that some radiographs have from one source and others from another.

    Published masks were drawn or corrected by people and predicted ones were not; a classifier can tell them apart. If
    one class has the first kind and another class the second, that is all it needs.

    Args:
        table: the samples.
        origins: what drew the mask of each row, such as `disk` or `predicted by <checkpoint>`.

    Raises:
        DataError: there is more than one; it counts them by label.
    """
    if len(set(origins)) < 2:
        return
    counts: Counter[tuple[str, str]] = Counter(
        (str(label), origin) for label, origin in zip(table.column("label").to_pylist(), origins, strict=True)
    )
    told = first_five(f"{label}: {n} {origin}" for (label, origin), n in sorted(counts.items()))
    msg = (
        f"the lung masks come from {len(set(origins))} sources ({told}), which a classifier could tell apart "
        "instead of the classes. Take those of one network for all: lung_masks=<run folder or .ckpt>"
    )
    raise DataError(msg)
