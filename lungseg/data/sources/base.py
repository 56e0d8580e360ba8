"""What all sources of radiographs share: finding the folder, reading images and masks, saying what is missing."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from lungseg.data.io import Radiograph, read_mask, read_radiograph, read_size
from lungseg.data.sources.layout import candidates
from lungseg.data.structures import STRUCTURES, available, paths_for, refuse_missing
from lungseg.errors import ConfigError, DataError, first_five
from lungseg.remote.path import place
from lungseg.types import Row

log = logging.getLogger(__name__)

Missing = Literal["error", "drop", "aside"]
Convention = Literal["without_heart", "with_heart"]
"""Lungs as they are seen beside heart and mediastinum, or with the part that lies behind the heart."""
_CONVENTIONS = ("without_heart", "with_heart")
_POLICIES = ("error", "drop", "aside")
_ASPECT_TOLERANCE = 0.01


@dataclass(frozen=True)
class SourceIndex:
    """What a source found.

    Attributes:
        root: Folder that all paths of the rows are relative to.
        rows: One row per usable radiograph, sorted by sample_id.
        aside: Images without a mask, kept aside on purpose (relative paths).
        dropped: Files left out because the user asked for it (relative paths).
        notes: Things worth telling, one sentence each.
    """

    root: Path
    rows: list[Row]
    aside: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Reference:
    """Masks of one radiograph, with what the files looked like.

    Attributes:
        masks: (K, h, w) bool, one plane per structure asked for.
        files: Number of mask files read.
        between: How many of them had pixels between their lowest and highest level.
        levels: The largest number of grey levels in one of them.
        valid: (h, w) bool, False = pixel left out of loss and metrics, or None where every pixel counts.
    """

    masks: np.ndarray
    files: int
    between: int
    levels: int
    valid: np.ndarray | None = None


def check_convention(key: str, value: Convention | None) -> Convention | None:
    """Refuse a label convention that is neither known nor None.

    Raises:
        ConfigError: It is neither.
    """
    if value is not None and value not in _CONVENTIONS:
        msg = f"{key} is {value!r}; it must be one of {', '.join(_CONVENTIONS)}, or null where it is not known"
        raise ConfigError(msg)
    return value


class Source(ABC):
    """A public set of radiographs in the layout it is published in.

    Objects are cheap, picklable and hold only what they were given; the disk is first looked at in `find`.

    Args:
        root: Folder of the set, or its URL (`abfs://container/folder`); None searches for it below `search`.
        search: Folder or URL that holds all sets (`paths.data`).
        missing: What to do with a radiograph without a mask, or a mask without a radiograph: `error` names the first
            five, `drop` leaves both kinds out, `aside` keeps radiographs without a mask aside and counts them.
        inverted: The PNG, JPEG or TIFF files show dense parts dark (MONOCHROME1); they are turned at reading.
    """

    name: str
    """Short name: the key in `data.sources` and the first part of every sample_id."""
    title: ClassVar[str]
    """Name for people."""
    folder_names: ClassVar[tuple[str, ...]]
    """Names of the folders it is published in."""
    home: ClassVar[str]
    """Where to get it, its licence and the citation asked for."""
    published: ClassVar[str] = ""
    """How many radiographs the complete set has, in words."""
    shares_patients_with: ClassVar[tuple[str, ...]] = ()
    """Names of other sources that hold the same patients under other ids; a test on one of them is refused."""
    convention: Convention | None = None
    """Whether its lung masks hold the part of the lungs behind the heart; None = not known, or no lung masks."""
    masks_same_size: ClassVar[bool] = True
    """False where masks are published on another grid than the images; then only the aspect ratio must agree."""

    def __init__(
        self,
        *,
        root: str | None = None,
        search: str | None = None,
        missing: Missing = "error",
        inverted: bool = False,
    ) -> None:
        if missing not in _POLICIES:
            msg = f"data.sources.{self.name}.missing is {missing!r}; it must be one of {', '.join(_POLICIES)}"
            raise ConfigError(msg)
        self.root = root
        self.search = search
        self.missing: Missing = missing
        self.inverted = inverted

    @abstractmethod
    def expected_tree(self) -> str:
        """The layout as published, as text for people."""

    @abstractmethod
    def is_complete(self, folder: Path) -> bool:
        """Whether `folder` itself is the top of a complete copy of the set."""

    @abstractmethod
    def build_index(self, root: Path) -> SourceIndex:
        """Index the copy of the set at `root`."""

    @property
    def docs(self) -> str:
        """Where the documentation speaks of this set."""
        return f"docs/datasets.md#{self.name}"

    def fingerprint(self, row: Row) -> str | None:
        """A text that changes whenever the content of a row does, or None = hash its files.

        Args:
            row: A row of this source.
        """
        del row
        return None

    def reading(self) -> str:
        """The options that change what `read_image` and `read_masks` return, as part of the store's key."""
        return f"{self.name} inverted={self.inverted}"

    def structure_hint(self, structure: str) -> str:
        """A sentence on how to get the masks of a structure that this copy lacks, or nothing.

        Args:
            structure: The structure that was asked for.
        """
        del structure
        return ""

    def check_structures(self, rows: Sequence[Row], structures: Sequence[str]) -> None:
        """Refuse structures of which no row has a mask; rows without any masks are taken as they are.

        Args:
            rows: Rows of this source.
            structures: Structures asked for.

        Raises:
            DataError: It names the structures, those there are, and what to set.
        """
        kinds = {tuple(row["masks"]) for row in rows}
        found = {name for kind in kinds for name in available(dict.fromkeys(kind, ""))}
        have = [name for name in STRUCTURES if name in found] + sorted(found.difference(STRUCTURES))
        absent = [name for name in structures if name not in have]
        if not have or not absent:
            return
        kept = [name for name in structures if name in have] or have
        hints = dict.fromkeys(hint for name in absent if (hint := self.structure_hint(name)))
        msg = (
            f"data.structures asks for {', '.join(absent)}, of which this copy of {self.title} has no masks; it has "
            f"{', '.join(have)}. Set data.structures=[{','.join(kept)}]{'. '.join(['', *hints])} (see {self.docs})"
        )
        raise DataError(msg)

    def find(self) -> Path:
        """Find the folder of the set.

        With `root` that folder is taken, or the one complete copy inside it; else every folder below `search` (to a
        depth of three) that bears one of `folder_names` is looked into.

        Raises:
            DataError: There is no data folder, no complete copy, or more than one.
        """
        if self.root is not None:
            folder = place(self.root).expanduser()
            if not folder.is_dir():
                msg = f"data.sources.{self.name}.root={self.root} is not a folder; give the folder of {self.title}"
                raise DataError(msg)
            found = self._complete(folder, named=True)
            where = f"data.sources.{self.name}.root={self.root}"
        else:
            folder = self._data_folder()
            found = self._complete(folder, named=False)
            where = f"{folder} (below folders named {' or '.join(self.folder_names)}, to a depth of three)"
        if len(found) > 1:
            roots = "\n".join(f"  data.sources.{self.name}.root={path}" for path in found)
            msg = f"{len(found)} complete copies of {self.title} were found in {folder}; choose one of\n{roots}"
            raise DataError(msg)
        if not found:
            raise DataError(self._not_found(where))
        return found[0].absolute()

    def index(self) -> SourceIndex:
        """Find the set and list its radiographs; logs what was found, kept aside and dropped.

        Raises:
            DataError: The set is not found, or radiographs and masks do not pair up while `missing` is `error`.
        """
        index = self.build_index(self.find())
        subjects = len({row["subject_id"] for row in index.rows})
        log.info(
            "%s: %d radiographs of %d patients in %s; %d kept aside, %d dropped",
            self.name,
            len(index.rows),
            subjects,
            index.root,
            len(index.aside),
            len(index.dropped),
        )
        for note in index.notes:
            log.info("%s: %s", self.name, note)
        return index

    def read_image(self, root: Path, row: Row) -> Radiograph:
        """Read the radiograph of a row; bright = dense.

        Raises:
            DataError: The file is missing, damaged or no image.
        """
        return read_radiograph(root / row["image"], inverted=self.inverted)

    def read_masks(self, root: Path, row: Row, structures: Sequence[str]) -> np.ndarray:
        """Read the masks of a row on their published grid.

        Returns:
            (K, h, w) bool, one plane per structure.

        Raises:
            DataError: A file is missing, damaged or of the wrong size, or a structure is not published.
        """
        return self.read_reference(root, row, structures).masks

    def read_reference(self, root: Path, row: Row, structures: Sequence[str]) -> Reference:
        """Like `read_masks`, with the number of files and grey levels, from which `levels_note` makes one log line."""
        planes: list[np.ndarray] = []
        files = between = levels = 0
        size: tuple[int, int] | None = None
        for structure in structures:
            plane: np.ndarray | None = None
            relatives = paths_for(row["masks"], structure)
            if not relatives:
                hint = self.structure_hint(structure)
                msg = f"{row['sample_id']}: {refuse_missing(row['masks'], structure)}{f'. {hint}' if hint else ''}"
                raise DataError(msg)
            for relative in relatives:
                mask = read_mask(root / relative)
                files += 1
                between += mask.between > 0
                levels = max(levels, mask.levels)
                if size is None:
                    size = (mask.mask.shape[0], mask.mask.shape[1])
                    self._check_size(root, row, relative, size)
                elif mask.mask.shape != size:
                    msg = (
                        f"{root / relative} is {mask.mask.shape[0]} x {mask.mask.shape[1]}, the other masks of "
                        f"{row['sample_id']} are {size[0]} x {size[1]}; all masks of a radiograph must have one size"
                    )
                    raise DataError(msg)
                plane = mask.mask if plane is None else plane | mask.mask
            if plane is not None:
                planes.append(plane)
        return Reference(np.stack(planes), files, between, levels)

    def levels_note(self, files: int, between: int, levels: int) -> str | None:
        """The one log line on masks that are not binary, or None where all are.

        Args:
            files: Mask files read.
            between: How many of them had pixels between their lowest and highest level.
            levels: The largest number of levels in one of them.
        """
        if not between:
            return None
        return (
            f"{self.name}: {between} of {files} masks are not binary (up to {levels} grey levels); "
            "a pixel above half of the file's range (> 127 at 8 bits) is foreground"
        )

    def _check_size(self, root: Path, row: Row, relative: str, size: tuple[int, int]) -> None:
        height, width = read_size(root / row["image"])
        if size == (height, width):
            return
        if self.masks_same_size:
            msg = (
                f"the mask {root / relative} is {size[0]} x {size[1]}, its radiograph {root / row['image']} is "
                f"{height} x {width} (height x width); {self.title} publishes both at one size: use the pair as "
                "published, or resize the mask (nearest) to its radiograph"
            )
            raise DataError(msg)
        ratio = (size[1] / size[0]) / (width / height)
        if abs(ratio - 1) > _ASPECT_TOLERANCE:
            msg = (
                f"the mask {root / relative} is {size[0]} x {size[1]}, its radiograph {root / row['image']} is "
                f"{height} x {width} (height x width): the aspect ratios differ by {abs(ratio - 1):.1%}, more than "
                "1 %; the mask belongs to another picture or was cropped"
            )
            raise DataError(msg)

    def _data_folder(self) -> Path:
        if not self.search:
            msg = f"no folder was given to look for {self.title} in; set LUNGSEG_DATA or paths.data=<folder>"
            raise DataError(msg)
        folder = place(self.search).expanduser()
        if not folder.is_dir():
            msg = (
                f"the data folder {folder} is not there, so {self.title} cannot be read; set the environment variable "
                f"LUNGSEG_DATA or paths.data=<folder that holds the sets>. {self._where_to_get()}"
            )
            raise DataError(msg)
        return folder

    def _complete(self, folder: Path, *, named: bool) -> list[Path]:
        """Complete copies; a folder inside a complete one belongs to it."""
        found: list[Path] = []
        for path in candidates(folder, self.folder_names, named=named):
            if not any(path.is_relative_to(top) for top in found) and self.is_complete(path):
                found.append(path)
        return found

    def _not_found(self, where: str) -> str:
        tree = "\n".join(f"  {line}" for line in self.expected_tree().splitlines())
        return (
            f"no complete copy of {self.title} in {where}. Expected:\n{tree}\n{self._where_to_get()} "
            f"If it lies elsewhere: data.sources.{self.name}.root=<folder>"
        )

    def _where_to_get(self) -> str:
        return f"Where to get it: {self.home} ({self.docs})."

    def settle_missing(
        self,
        *,
        root: Path,
        total: int,
        images: Iterable[tuple[str, str]],
        masks: Iterable[str] = (),
        masks_are: str = "",
        orphans_are: str = "",
    ) -> tuple[list[str], list[str]]:
        """Apply `missing` to radiographs without all their masks and to masks without a radiograph.

        Args:
            root: Folder the paths are relative to.
            total: Number of radiographs found.
            images: (relative path, what is missing) of radiographs that lack a mask.
            masks: Relative paths of masks that lack a radiograph.
            masks_are: A sentence on radiographs without a mask, such as where the masks come from.
            orphans_are: A sentence on masks without a radiograph.

        Returns:
            Paths kept aside and paths dropped.

        Raises:
            DataError: Something is missing and may not be.
        """
        lacking = sorted(images)
        orphans = sorted(masks)
        fix = f"See {self.docs}; to leave them out: data.sources.{self.name}.missing=drop"
        said = f"{masks_are} " if masks_are else ""
        if lacking and self.missing == "error":
            names = first_five(f"{Path(path).stem} ({what})" if what else Path(path).stem for path, what in lacking)
            msg = f"{len(lacking)} of {total} radiographs in {root} have no mask: {names}. {said}{fix}"
            raise DataError(msg)
        if orphans and self.missing != "drop":
            said = f"{orphans_are} " if orphans_are else ""
            msg = f"{len(orphans)} masks in {root} have no radiograph: {first_five(orphans)}. {said}{fix}"
            raise DataError(msg)
        paths = [path for path, _ in lacking]
        if self.missing == "aside":
            return paths, []
        return [], paths + orphans
