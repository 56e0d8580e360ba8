"""COVID-QU-Ex: 33,920 radiographs with lung masks in a fixed split, 5826 of them also with infection masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from lungseg.data.sources.base import Convention, Missing, Source, SourceIndex
from lungseg.data.sources.layout import by_stem, child, list_files, relative
from lungseg.errors import ConfigError, DataError
from lungseg.types import Row

Collection = Literal["auto", "lung", "infection"]
_COLLECTIONS = {"lung": "Lung Segmentation Data", "infection": "Infection Segmentation Data"}
_PARTS = {"Train": "train", "Val": "val", "Test": "test"}
_LABELS = {"COVID-19": "covid-19", "Non-COVID": "non-covid", "Normal": "normal"}
_MASKS = {"lungs": "lung masks", "infection": "infection masks"}
_SUFFIXES = (".png", ".jpg", ".jpeg")


class CovidQuExSource(Source):
    """COVID-QU-Ex in its original layout, with its official split.

    The set has two collections: all radiographs with lung masks (`Lung Segmentation Data`), and a part of them with
    masks of lungs and infection (`Infection Segmentation Data`). One is read at a time, since they share radiographs.
    Infection masks of the classes Non-COVID and Normal are empty; that is what they say, not damage.

    Args:
        root: Folder of the set; None searches for it below `search`.
        search: Folder that holds all sets (`paths.data`).
        collection: `lung`, `infection`, or `auto`: `lung` where it is there, else `infection`.
        missing: What to do with a radiograph without all masks, and with a mask without a radiograph: error, drop or
            aside.
        inverted: The files show dense parts dark.
    """

    name = "covid_qu_ex"
    title: ClassVar[str] = "COVID-QU-Ex"
    folder_names: ClassVar[tuple[str, ...]] = ("covid-qu-ex", "covid_qu_ex", "COVID-QU-Ex dataset", "covidqu")
    home: ClassVar[str] = "https://www.kaggle.com/datasets/anasmohammedtahir/covidqu (its own terms, citation asked)"
    shares_patients_with: ClassVar[tuple[str, ...]] = ("v7_darwin", "qatar_covid", "kermany", "nih_chestxray")
    convention: Convention | None = "without_heart"
    published: ClassVar[str] = (
        "33,920 radiographs: 11,956 COVID-19, 11,263 Non-COVID, 10,701 Normal; 5826 also with infection masks"
    )

    def __init__(
        self,
        *,
        root: str | None = None,
        search: str | None = None,
        collection: Collection = "auto",
        missing: Missing = "error",
        inverted: bool = False,
    ) -> None:
        super().__init__(root=root, search=search, missing=missing, inverted=inverted)
        if collection not in ("auto", *_COLLECTIONS):
            msg = f"data.sources.covid_qu_ex.collection is {collection!r}; it must be one of auto, lung, infection"
            raise ConfigError(msg)
        self.collection: Collection = collection

    def expected_tree(self) -> str:
        """The layout as published, as text for people."""
        return (
            "COVID-QU-Ex dataset/\n"
            "  Lung Segmentation Data/Lung Segmentation Data/\n"
            "    {Train,Val,Test}/{COVID-19,Non-COVID,Normal}/{images,lung masks}/*.png\n"
            "  Infection Segmentation Data/Infection Segmentation Data/\n"
            "    {Train,Val,Test}/{COVID-19,Non-COVID,Normal}/{images,lung masks,infection masks}/*.png\n"
            "(either is enough; the inner folder of the same name may be absent)"
        )

    def is_complete(self, folder: Path) -> bool:
        """Whether `folder` holds a collection that may be read."""
        return self._collection(folder) is not None

    def build_index(self, root: Path) -> SourceIndex:
        """Index the copy of the set at `root`.

        Raises:
            DataError: Pairs are incomplete.
        """
        chosen = self._collection(root)
        if chosen is None:
            raise DataError(self._not_found(str(root)))
        collection, top = chosen
        wanted = ("lungs", "infection") if collection == "infection" else ("lungs",)
        rows: list[Row] = []
        lacking: list[tuple[str, str]] = []
        orphans: list[str] = []
        total = 0
        for part, label, folder in _groups(top):
            images = _stems(child(folder, "images"), "radiographs")
            masks = {structure: _stems(child(folder, _MASKS[structure]), "masks") for structure in wanted}
            total += len(images)
            for stem, image in sorted(images.items()):
                path = relative(image, root)
                absent = [_MASKS[structure][:-1] for structure in wanted if stem not in masks[structure]]
                if absent:
                    lacking.append((path, ", ".join(absent)))
                    continue
                key = f"{self.name}/{part}/{label}/{stem}"
                rows.append(
                    Row(
                        sample_id=key,
                        subject_id=key,
                        source=self.name,
                        image=path,
                        masks={structure: relative(masks[structure][stem], root) for structure in wanted},
                        label=label,
                        view=None,
                        sex=None,
                        age=None,
                        spacing_mm=None,
                        official_split=part,
                    )
                )
            orphans += [
                relative(p, root) for found in masks.values() for stem, p in found.items() if stem not in images
            ]
        aside, dropped = self.settle_missing(root=root, total=total, images=lacking, masks=orphans)
        notes = [
            f"read from {_COLLECTIONS[collection]}",
            "patients are not published: every radiograph counts as a patient of its own",
        ]
        absent_parts = sorted(set(_PARTS.values()) - {part for part, _, _ in _groups(top)})
        if absent_parts:
            notes.append(f"the published split has parts that are not there: {', '.join(absent_parts)}")
        return SourceIndex(root, sorted(rows, key=lambda row: row["sample_id"]), aside, dropped, notes)

    def structure_hint(self, structure: str) -> str:
        """What makes a structure readable that a row lacks."""
        if structure == "infection":
            return "Infection masks are in the other collection: data.sources.covid_qu_ex.collection=infection"
        return ""

    def _collection(self, folder: Path) -> tuple[str, Path] | None:
        """Name and top folder (that of Train, Val, Test) of the collection to read."""
        for collection, title in _COLLECTIONS.items():
            if self.collection not in ("auto", collection):
                continue
            for name in (f"{title}/{title}", title):
                top = child(folder, name)
                if top is not None and any(list_files(images, _SUFFIXES) for images in _image_folders(top)):
                    return collection, top
        return None


def _groups(top: Path) -> Iterator[tuple[str, str, Path]]:
    """Part, label and folder of every class of every part."""
    for part_name, part in _PARTS.items():
        for class_name, label in _LABELS.items():
            folder = child(top, f"{part_name}/{class_name}")
            if folder is not None:
                yield part, label, folder


def _image_folders(top: Path) -> Iterator[Path]:
    for _, _, folder in _groups(top):
        images = child(folder, "images")
        if images is not None:
            yield images


def _stems(folder: Path | None, what: str) -> dict[str, Path]:
    """Stem -> file; empty where there is no folder."""
    return {} if folder is None else by_stem(list_files(folder, _SUFFIXES), what=f"{what} in {folder}")
