"""V7: about 6500 radiographs of children and COVID-19 patients; the lung masks hold the part behind the heart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from lungseg.data.io import read_size
from lungseg.data.sources.base import Convention, Missing, Reference, Source, SourceIndex
from lungseg.data.sources.darwin import IGNORE, LUNG, draw, levels_of, read_darwin, read_label_map
from lungseg.data.sources.layout import IMAGE_SUFFIXES, child, common_root, list_files, relative
from lungseg.data.sources.v7_join import Entry, choose_masks, entries_of, join_annotations, join_manifest, join_pngs
from lungseg.data.sources.v7_tags import V7Facts, facts_of
from lungseg.data.structures import paths_for, refuse_missing
from lungseg.errors import ConfigError, DataError, near_name
from lungseg.remote.path import place
from lungseg.types import Row

Masks = Literal["auto", "png", "json"]
_MASKS = ("auto", "png", "json")
_KINDS = {"ct": "CT slices", "lateral": "lateral views"}
_PNG_FOLDERS = (
    "annotations/all-images-semantic-masks",
    "all-images-semantic-masks",
    "annotations/semantic-masks",
    "releases/latest/annotations/semantic-masks",
)
_JOINED = (
    "The number of a mask is joined with its radiograph by Darwin JSON files of version 1 or by manifest.csv; "
    "data.sources.v7_darwin.masks=json draws the masks from the JSON files instead."
)
_JSON_FOLDERS = ("annotations", "releases/latest/annotations", "all-images")


class V7DarwinSource(Source):
    """The COVID-19 chest X-ray set of V7, as its repository and its download tool lay it out.

    Masks are PNG label maps (0 background, 127 Ignore, 255 Lung) named by a number, or polygons in Darwin JSON files of
    version 1 or 2. Number and radiograph are joined by the JSON files, by a `manifest.csv` with the columns image and
    mask_id, or by equal names. Ignore (devices and print on the film) comes out as pixels that do not count.

    CT slices and lateral views were never annotated. They are known by their tags, and are an error as any other
    radiograph without a lung unless `drop` names them.

    Args:
        root: Folder of the set; None searches for it below `search`.
        masks_root: Folder of the annotations (the repository), where they lie elsewhere.
        search: Folder that holds all sets (`paths.data`).
        masks: Where masks come from: `png`, `json`, or `auto`, the PNG file where there is one, else the JSON file.
        drop: What to leave out whatever its mask: any of ct, lateral.
        missing: What to do with a radiograph without a lung in its mask (or with no mask), and with a mask without a
            radiograph: error, drop or aside.
        inverted: The files show dense parts dark.
    """

    name = "v7_darwin"
    title: ClassVar[str] = "the COVID-19 chest X-ray set of V7"
    folder_names: ClassVar[tuple[str, ...]] = (
        "v7-darwin",
        "v7_darwin",
        "covid-19-xray-dataset",
        "covid-19-chest-x-ray-dataset",
    )
    home: ClassVar[str] = "https://github.com/v7labs/covid-19-xray-dataset (annotations CC BY 4.0)"
    shares_patients_with: ClassVar[tuple[str, ...]] = ("qatar_covid", "covid_qu_ex", "kermany")
    convention: Convention | None = "with_heart"
    published: ClassVar[str] = "about 6500 radiographs: 5863 of children, 517 with COVID-19; 63 CT slices among them"

    def __init__(
        self,
        *,
        root: str | None = None,
        masks_root: str | None = None,
        search: str | None = None,
        masks: Masks = "auto",
        drop: Sequence[str] = (),
        missing: Missing = "error",
        inverted: bool = False,
    ) -> None:
        super().__init__(root=root, search=search, missing=missing, inverted=inverted)
        if masks not in _MASKS:
            msg = f"data.sources.v7_darwin.masks is {masks!r}; it must be one of {', '.join(_MASKS)}"
            raise ConfigError(msg)
        wrong = [str(kind) for kind in ([drop] if isinstance(drop, str) else drop) if kind not in _KINDS]
        if wrong or isinstance(drop, str):
            near = near_name(wrong[0], _KINDS) if wrong else None
            hint = f" Did you mean {near}?" if near else ""
            msg = f"data.sources.v7_darwin.drop is {drop!r}; it must be a list out of [{', '.join(_KINDS)}].{hint}"
            raise ConfigError(msg)
        self.masks_root = masks_root
        self.masks: Masks = masks
        self.drop = tuple(drop)

    def expected_tree(self) -> str:
        """The layout as published, as text for people."""
        return (
            "covid-19-xray-dataset/\n"
            "  images/*.{jpeg,jpg,png}                                  (from the download tool)\n"
            "  annotations/all-images-semantic-masks/1676192.png ...    (0 background, 127 Ignore, 255 Lung)\n"
            "  annotations/all-images/1676192.json ...                  (unpack all-images.zip; Darwin JSON 1 or 2)\n"
            "  manifest.csv                                             (optional: image, mask_id, labels, view ...)"
        )

    def is_complete(self, folder: Path) -> bool:
        """Whether `folder` holds radiographs and, unless `masks_root` says where else they are, annotations."""
        images = child(folder, "images")
        if images is None or not list_files(images, IMAGE_SUFFIXES, recursive=True):
            return False
        return self.masks_root is not None or bool(self._pngs(folder) or self._jsons(folder))

    def reading(self) -> str:
        """The options that change what is read, as part of the store's key."""
        return f"{super().reading()} label_map={LUNG},{IGNORE}"

    def build_index(self, root: Path) -> SourceIndex:
        """Index the copy of the set at `root`; every mask is read once, to know whether it shows a lung.

        Raises:
            DataError: Annotation files are damaged, pairs are incomplete, or a mask shows no lung.
        """
        folder = child(root, "images")
        if folder is None:
            raise DataError(self._not_found(str(root)))
        tops = self._tops(root)
        common = common_root(root, tops)
        entries = entries_of(list_files(folder, IMAGE_SUFFIXES, recursive=True), folder)
        pngs = self._pngs(tops)
        notes: list[str] = []
        loose = join_annotations(self._jsons(tops), entries, notes)
        table = next((file for top in (root, tops) if (file := top / "manifest.csv").is_file()), None)
        orphans = join_pngs(pngs, entries, join_manifest(table, entries) if table is not None else {})
        if not pngs and self.masks != "png":
            # beside label maps, an annotation file is no mask but says what the picture is
            orphans += loose
        drawn = choose_masks(entries, polygons=self.masks != "png")
        if drawn:
            notes.append(f"{drawn} masks are drawn from the polygons of Darwin JSON files")
        rows: list[Row] = []
        dropped: list[str] = []
        lacking: list[tuple[str, str]] = []
        kinds: Counter[str] = Counter()
        for key, entry in sorted(entries.items()):
            facts = facts_of(entry.tags, entry.image.name)
            path = relative(entry.image, common)
            if facts.kind in self.drop:
                dropped.append(path)
                kinds[str(facts.kind)] += 1
            elif entry.mask is None or (entry.levels is not None and LUNG not in entry.levels):
                lacking.append((path, _reason(entry, facts)))
            else:
                rows.append(self._row(key, path, relative(entry.mask, common), facts))
        if kinds:
            listed = " and ".join(f"{count} {_KINDS[kind]}" for kind, count in sorted(kinds.items()))
            notes.append(f"{listed} are left out (drop)")
        aside, left_out = self.settle_missing(
            root=root,
            total=len(entries),
            images=lacking,
            masks=[relative(path, common) for path in orphans],
            masks_are=_never_annotated(lacking),
            orphans_are=_JOINED if pngs else "",
        )
        return SourceIndex(common, rows, aside, sorted(dropped + left_out), notes)

    def read_reference(self, root: Path, row: Row, structures: Sequence[str]) -> Reference:
        """Read the lungs of a row; pixels marked Ignore come out as False in `valid`.

        Raises:
            DataError: The mask is damaged, of another size than the radiograph, holds another level than 0, 127 and
                255, or nothing but Ignore; or a structure is asked for that is not published.
        """
        for structure in structures:
            if not paths_for(row["masks"], structure):
                msg = f"{row['sample_id']}: {refuse_missing(row['masks'], structure)}"
                raise DataError(msg)
        place = row["masks"]["lungs"]
        levels = self._label_map(root, row, place)
        valid = levels != IGNORE
        if not valid.any():
            msg = (
                f"{root / place} is Ignore (127) in every pixel, so {row['sample_id']} says nothing of its lungs; "
                f"to leave such radiographs out: data.sources.{self.name}.missing=drop"
            )
            raise DataError(msg)
        masks = np.repeat((levels == LUNG)[None], len(structures), axis=0)
        return Reference(masks, 1, 0, len(levels_of(levels)), valid if IGNORE in levels else None)

    def _label_map(self, root: Path, row: Row, place: str) -> NDArray[np.uint8]:
        """The label map of a row, of the radiograph's size."""
        path = root / place
        if path.suffix.lower() != ".json":
            levels = read_label_map(path)
            self._check_size(root, row, place, (levels.shape[0], levels.shape[1]))
            return levels
        annotation = read_darwin(path)
        if annotation is None:
            msg = f"{path} is no annotation file of V7 Darwin any more; put the published file back"
            raise DataError(msg)
        size = annotation.size or read_size(root / row["image"])
        # before drawing: a file may claim any size
        self._check_size(root, row, place, size)
        return draw(annotation.polygons, size)

    def _row(self, key: str, image: str, mask: str, facts: V7Facts) -> Row:
        return Row(
            sample_id=f"{self.name}/{key}",
            subject_id=f"{self.name}/{facts.patient or key}",
            source=self.name,
            image=image,
            masks={"lungs": mask},
            label=facts.label,
            view=facts.view,
            sex=facts.sex,
            age=facts.age,
            spacing_mm=None,
            official_split=None,
        )

    def _tops(self, root: Path) -> Path:
        if self.masks_root is None:
            return root
        tops = place(self.masks_root).expanduser().absolute()
        if not tops.is_dir() or not (self._pngs(tops) or self._jsons(tops)):
            msg = (
                f"data.sources.v7_darwin.masks_root={self.masks_root} holds no annotations; expected "
                "annotations/all-images-semantic-masks/*.png or annotations/**/*.json in it"
            )
            raise DataError(msg)
        return tops

    def _pngs(self, top: Path) -> list[Path]:
        if self.masks == "json":
            return []
        for name in _PNG_FOLDERS:
            folder = child(top, name)
            if folder is not None and (found := list_files(folder, (".png",))):
                return found
        return []

    def _jsons(self, top: Path) -> list[Path]:
        for name in _JSON_FOLDERS:
            folder = child(top, name)
            if folder is not None and (found := list_files(folder, (".json",), recursive=True)):
                return found
        return []


def _reason(entry: Entry, facts: V7Facts) -> str:
    """Why a radiograph has no lungs, in two words."""
    if facts.kind is not None:
        return {"ct": "CT", "lateral": "lateral"}[facts.kind]
    if entry.mask is None:
        return ""
    return "only Ignore" if entry.levels and IGNORE in entry.levels else "no lung in its mask"


def _never_annotated(lacking: Sequence[tuple[str, str]]) -> str:
    if any(reason in ("CT", "lateral") for _, reason in lacking):
        return (
            "CT slices and lateral views were never annotated; to leave these out: "
            "data.sources.v7_darwin.drop=[ct,lateral]."
        )
    return ""
