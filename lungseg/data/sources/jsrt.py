"""JSRT: 247 radiographs of the Japanese Society of Radiological Technology, with the SCR masks of five structures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from lungseg.data.io import read_size
from lungseg.data.sources.base import Convention, Missing, Source, SourceIndex
from lungseg.data.sources.clinical import parse_age, parse_sex, read_lines
from lungseg.data.sources.layout import by_stem, child, common_root, list_files, relative
from lungseg.errors import DataError, first_five
from lungseg.remote.path import place
from lungseg.types import Row

_STEM = re.compile(r"JPC[LN]N\d{3}")
_FOLDS = ("fold1", "fold2")
_IMAGE_FOLDERS = (".", "All247images", "images", "png", "JSRT")
_MASK_TOPS = (".", "scratch", "SCR", "masks")
_IMAGE_SUFFIXES = (".img", ".png", ".jpg", ".jpeg", ".tif", ".tiff")
_MASK_SUFFIXES = (".gif", ".png", ".bmp", ".tif")
_SIDE_PX = 2048
_SPACING_MM = 0.175
# SCR's sides are the patient's: the mean column of "right lung" lies in the left half of every image
_STRUCTURES = {
    "right lung": "right_lung",
    "left lung": "left_lung",
    "heart": "heart",
    "right clavicle": "right_clavicle",
    "left clavicle": "left_clavicle",
}


class JsrtSource(Source):
    """JSRT radiographs (raw .IMG or PNG copies) with SCR masks at any size of the same shape.

    Masks lie in `fold1` (odd numbers) and `fold2` (even numbers), as SCR publishes them; the fold is the official
    split. Sex, age and the class (nodule or normal) come from the clinical text files where these are found.

    Args:
        root: Folder that holds radiographs and masks; None searches for it below `search`.
        masks_root: Folder of the masks, where they lie elsewhere.
        search: Folder that holds all sets (`paths.data`).
        missing: What to do with a radiograph without all masks: error, drop or aside.
        inverted: The PNG copies show dense parts dark; .IMG files are always turned.
    """

    name = "jsrt"
    title: ClassVar[str] = "JSRT with the SCR masks"
    folder_names: ClassVar[tuple[str, ...]] = ("jsrt", "All247images")
    home: ClassVar[str] = (
        "radiographs: http://db.jsrt.or.jp/eng.php (registration; research use, no redistribution); "
        "masks: the SCR database, https://www.isi.uu.nl/Research/Databases/SCR/ (research use)"
    )
    convention: Convention | None = "without_heart"
    published: ClassVar[str] = "247 radiographs: 154 with a nodule, 93 without"
    masks_same_size: ClassVar[bool] = False

    def __init__(
        self,
        *,
        root: str | None = None,
        masks_root: str | None = None,
        search: str | None = None,
        missing: Missing = "error",
        inverted: bool = False,
    ) -> None:
        super().__init__(root=root, search=search, missing=missing, inverted=inverted)
        self.masks_root = masks_root

    def expected_tree(self) -> str:
        """The layout as published, as text for people."""
        return (
            "jsrt/\n"
            "  All247images/JPCLN001.IMG ... JPCNN093.IMG      (or images/*.png)\n"
            "  fold1/masks/{left lung,right lung,heart,left clavicle,right clavicle}/JPCLN001.gif (also in scratch/)\n"
            "  fold2/masks/{left lung,right lung,heart,left clavicle,right clavicle}/JPCLN002.gif\n"
            "  Clinical_Information/{CLNDAT_EN.txt,CNNDAT_EN.TXT}   (optional; also one folder above)"
        )

    def structure_hint(self, structure: str) -> str:
        """Where the structures of the SCR set are that this copy lacks."""
        if structure not in _STRUCTURES.values():
            return ""
        return (
            "SCR publishes five structures; to take the masks from another copy: data.sources.jsrt.root=<folder of the "
            "radiographs> data.sources.jsrt.masks_root=<folder of fold1 and fold2>"
        )

    def is_complete(self, folder: Path) -> bool:
        """Whether `folder` holds radiographs and, unless `masks_root` says where else they are, SCR masks."""
        if self._images(folder) is None:
            return False
        return self.masks_root is not None or bool(self._mask_folders(folder))

    def build_index(self, root: Path) -> SourceIndex:
        """Index the copy of the set at `root`.

        Raises:
            DataError: Pairs are incomplete, or there are no masks at `masks_root`.
        """
        folder = self._images(root)
        if folder is None:
            raise DataError(self._not_found(str(root)))
        images = self._stems(folder, _IMAGE_SUFFIXES, "radiographs")
        tops = self._tops(root)
        common = common_root(root, tops)
        masks, folds = self._masks(tops)
        structures = sorted({structure for found in masks.values() for structure in found})
        lacking: list[tuple[str, str]] = []
        rows: list[Row] = []
        clinical = self._clinical(root, folder)
        for stem, image in sorted(images.items()):
            have = masks.get(stem, {})
            absent = [structure.replace("_", " ") for structure in structures if structure not in have]
            if absent:
                lacking.append((relative(image, common), "" if not have else ", ".join(absent)))
                continue
            sex, age = clinical.get(stem, (None, None))
            rows.append(
                Row(
                    sample_id=f"{self.name}/{stem}",
                    subject_id=f"{self.name}/{stem}",
                    source=self.name,
                    image=relative(image, common),
                    masks={structure: relative(path, common) for structure, path in sorted(have.items())},
                    label="nodule" if stem.startswith("JPCLN") else "normal",
                    view="PA",
                    sex=sex,
                    age=age,
                    spacing_mm=_spacing(image),
                    official_split=folds[stem],
                )
            )
        orphans = [relative(path, common) for stem in masks if stem not in images for path in masks[stem].values()]
        aside, dropped = self.settle_missing(
            root=root, total=len(images), images=lacking, masks=orphans, masks_are="The masks are the SCR set."
        )
        return SourceIndex(common, rows, aside, dropped, self._notes(images, clinical))

    def _not_found(self, where: str) -> str:
        message = super()._not_found(where)
        if self.root is not None:
            folder = place(self.root).expanduser()
            if self._images(folder) is not None:
                return (
                    f"there are radiographs but no masks; data.sources.jsrt.masks_root=<folder> may add them: {message}"
                )
            if self._mask_folders(folder):
                return f"there are masks but no radiographs: {message}"
        return message

    def _tops(self, root: Path) -> Path:
        if self.masks_root is None:
            return root
        tops = place(self.masks_root).expanduser().absolute()
        if not tops.is_dir() or not self._mask_folders(tops):
            msg = (
                f"data.sources.jsrt.masks_root={self.masks_root} holds no SCR masks; expected "
                "fold1/masks/<structure>/*.gif and fold2/masks/<structure>/*.gif in it"
            )
            raise DataError(msg)
        return tops

    def _images(self, folder: Path) -> Path | None:
        for name in _IMAGE_FOLDERS:
            inner = child(folder, name)
            if inner is not None and any(_STEM.fullmatch(path.stem) for path in list_files(inner, _IMAGE_SUFFIXES)):
                return inner
        return None

    def _mask_folders(self, folder: Path) -> dict[str, Path]:
        """Fold name -> folder that holds one folder per structure."""
        for top in _MASK_TOPS:
            inner = child(folder, top)
            if inner is None:
                continue
            found = {fold: path for fold in _FOLDS if (path := child(inner, f"{fold}/masks")) is not None}
            if found:
                return found
        return {}

    def _masks(self, top: Path) -> tuple[dict[str, dict[str, Path]], dict[str, str]]:
        """Stem -> structure -> file, and stem -> fold."""
        masks: dict[str, dict[str, Path]] = {}
        folds: dict[str, str] = {}
        for fold, folder in self._mask_folders(top).items():
            for published, structure in _STRUCTURES.items():
                inner = child(folder, published, published.replace(" ", "_"))
                if inner is None:
                    continue
                for stem, path in self._stems(inner, _MASK_SUFFIXES, f"masks in {inner}").items():
                    if folds.setdefault(stem, fold) != fold:
                        msg = f"{stem} has masks in fold1 and in fold2 of {top}; a radiograph belongs to one fold"
                        raise DataError(msg)
                    masks.setdefault(stem, {})[structure] = path
        return masks, folds

    def _stems(self, folder: Path, suffixes: tuple[str, ...], what: str) -> dict[str, Path]:
        files = [path for path in list_files(folder, suffixes) if _STEM.fullmatch(path.stem)]
        return by_stem(files, what=what)

    def _clinical(self, root: Path, images: Path) -> dict[str, tuple[str | None, float | None]]:
        """Sex and age by stem; both text files write the age before the sex, whatever stands before and after."""
        found: dict[str, tuple[str | None, float | None]] = {}
        for name in ("CLNDAT_EN.txt", "CNNDAT_EN.txt"):
            path = _first_file(name, [root, images, images.parent, root.parent])
            if path is None:
                continue
            for line in read_lines(path):
                cells = line.split()
                stem = cells[0].split(".")[0] if cells else ""
                at = next((i for i, cell in enumerate(cells) if cell.lower() in ("male", "female")), 0)
                if _STEM.fullmatch(stem) and at > 1:
                    found[stem] = (parse_sex(cells[at]), parse_age(cells[at - 1]))
        return found

    def _notes(self, images: dict[str, Path], clinical: dict[str, tuple[str | None, float | None]]) -> list[str]:
        full = [f"JPCLN{i:03d}" for i in range(1, 155)] + [f"JPCNN{i:03d}" for i in range(1, 94)]
        absent = [stem for stem in full if stem not in images]
        notes = []
        if absent:
            notes.append(f"{len(absent)} of the 247 published radiographs are not there: {first_five(absent)}")
        if not clinical:
            notes.append("no clinical text files (CLNDAT_EN.txt, CNNDAT_EN.TXT) were found: sex and age are unknown")
        return notes


def _first_file(name: str, folders: list[Path]) -> Path | None:
    for folder in folders:
        for inner in (folder, child(folder, "Clinical_Information")):
            if inner is not None:
                for path in list_files(inner, (".txt",)):
                    if path.name.lower() == name.lower():
                        return path
    return None


def _spacing(image: Path) -> tuple[float, float] | None:
    """0.175 mm at 2048 px, scaled to the file's own size; unknown where the header cannot be read."""
    try:
        height, width = read_size(image)
    except DataError:
        # `check` and the store name the damage when they read the pixels
        return None
    return _SPACING_MM * _SIDE_PX / height, _SPACING_MM * _SIDE_PX / width
