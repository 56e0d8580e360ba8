"""COVID-19 Radiography Database of Qatar and Dhaka: four classes, lung masks of 256 pixels on images of 299."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from lungseg.data.sources.base import Convention, Missing, Source, SourceIndex, check_convention
from lungseg.data.sources.clinical import read_table
from lungseg.data.sources.layout import by_stem, child, list_files, relative
from lungseg.data.sources.xlsx import read_xlsx
from lungseg.errors import ConfigError, DataError, first_five, near_name
from lungseg.types import Row

_LABELS = {
    "COVID": "covid-19",
    "Lung_Opacity": "lung opacity",
    "Normal": "normal",
    "Viral Pneumonia": "viral pneumonia",
}
_FOLDERS = {
    "COVID": ("COVID", "COVID-19"),
    "Lung_Opacity": ("Lung_Opacity", "Lung Opacity"),
    "Normal": ("Normal",),
    "Viral Pneumonia": ("Viral Pneumonia", "Viral_Pneumonia"),
}
"""Names of the folders in the database's versions; child() compares without case."""
_SUFFIXES = (".png", ".jpg", ".jpeg")
_COUNTS = {"COVID": 3616, "Lung_Opacity": 6012, "Normal": 10192, "Viral Pneumonia": 1345}


@dataclass(frozen=True)
class _Class:
    """One class folder."""

    name: str
    folder: Path
    images: Path
    masks: Path | None

    @property
    def flat(self) -> bool:
        return self.images == self.folder


class QatarCovidSource(Source):
    """The COVID-19 Radiography Database, `<class>/{images,masks}`, or its older flat layout `<class>/*.png`.

    The flat layout was published without masks: with `masks: false` its radiographs can be read, for prediction.

    Args:
        root: Folder of the set; None searches for it below `search`.
        search: Folder that holds all sets (`paths.data`).
        classes: Class folders to read, any of COVID, Lung_Opacity, Normal, Viral Pneumonia; None reads all there are.
        masks: Whether radiographs need a lung mask; false reads none.
        convention: Whether the masks hold the part of the lungs behind the heart. The published ones do not: they were
            made with a network trained on the Montgomery and Shenzhen sets, then corrected.
        missing: What to do with a radiograph without a mask, and with a mask without a radiograph: error, drop, aside.
        inverted: The files show dense parts dark.
    """

    name = "qatar_covid"
    title: ClassVar[str] = "the COVID-19 Radiography Database"
    folder_names: ClassVar[tuple[str, ...]] = (
        "COVID-19_Radiography_Dataset",
        "COVID-19 Radiography Database",
        "covid19-radiography-database",
        "covid19-radiography-standin",
    )
    home: ClassVar[str] = "https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database (its own terms)"
    shares_patients_with: ClassVar[tuple[str, ...]] = ("v7_darwin", "covid_qu_ex", "kermany", "nih_chestxray")
    published: ClassVar[str] = "21,165 radiographs: 3616 COVID, 6012 Lung_Opacity, 10,192 Normal, 1345 Viral Pneumonia"
    masks_same_size: ClassVar[bool] = False

    def __init__(
        self,
        *,
        root: str | None = None,
        search: str | None = None,
        classes: Sequence[str] | None = None,
        masks: bool = True,
        convention: Convention | None = "without_heart",
        missing: Missing = "error",
        inverted: bool = False,
    ) -> None:
        super().__init__(root=root, search=search, missing=missing, inverted=inverted)
        known = list(_LABELS)
        given = known if classes is None else classes
        wrong = [str(name) for name in given if name not in _LABELS] if not isinstance(given, str) else [given]
        if wrong or not given or len(set(given)) != len(given):
            near = near_name(wrong[0], known) if wrong else None
            hint = f" Did you mean {near!r}?" if near else ""
            msg = (
                f"data.sources.qatar_covid.classes is {classes!r}; it must be a list, each once, out of "
                f"[{', '.join(known)}].{hint}"
            )
            raise ConfigError(msg)
        self.classes = None if classes is None else tuple(classes)
        self.masks = masks
        self.convention = check_convention("data.sources.qatar_covid.convention", convention) if masks else None

    def expected_tree(self) -> str:
        """The layout as published, as text for people."""
        return (
            "COVID-19_Radiography_Dataset/\n"
            "  COVID/{images,masks}/COVID-1.png ...                   (299 x 299; masks 256 x 256, three channels)\n"
            "  {Lung_Opacity,Normal,Viral Pneumonia}/{images,masks}/  (each where classes asks for it)\n"
            "  {COVID,Lung_Opacity,Normal,Viral Pneumonia}.metadata.xlsx   (optional)\n"
            "  sources.csv                                            (optional: file, source, patient)\n"
            "or, in versions before the masks, {COVID,Normal,Viral Pneumonia}/COVID (1).png ..."
        )

    def is_complete(self, folder: Path) -> bool:
        """Whether `folder` holds radiographs of every class asked for, or of any class where none is asked for."""
        found = {one.name for one in self._found(folder)}
        return bool(found) if self.classes is None else found.issuperset(self.classes)

    def build_index(self, root: Path) -> SourceIndex:
        """Index the copy of the set at `root`.

        Raises:
            DataError: Pairs are incomplete, two versions of the database lie in one folder, or a table is damaged.
        """
        found = self._found(root)
        self._refuse_mixture(root, found)
        patients = _patients(root)
        notes: list[str] = []
        rows: list[Row] = []
        lacking: list[tuple[str, str]] = []
        orphans: list[str] = []
        total = 0
        for one in found:
            images = by_stem(list_files(one.images, _SUFFIXES), what=f"radiographs in {one.images}")
            masks = self._masks(one, images)
            total += len(images)
            for stem, image in sorted(images.items()):
                path = relative(image, root)
                if self.masks and stem not in masks:
                    lacking.append((path, ""))
                else:
                    mask = {"lungs": relative(masks[stem], root)} if self.masks else {}
                    rows.append(self._row(one.name, stem, path, mask, patients))
            orphans += [relative(mask, root) for stem, mask in masks.items() if stem not in images]
            notes += self._compare(root, one, images)
        aside, dropped = self.settle_missing(
            root=root, total=total, images=lacking, masks=orphans, masks_are=self._without(found, lacking)
        )
        if self.classes is None and len(found) < len(_LABELS):
            absent = [name for name in _LABELS if name not in {one.name for one in found}]
            notes.append(f"classes that are not there: {', '.join(absent)}")
        if not patients:
            notes.append("patients are not published: every radiograph counts as a patient of its own")
        return SourceIndex(root, sorted(rows, key=lambda row: row["sample_id"]), aside, dropped, notes)

    def _row(self, name: str, stem: str, path: str, masks: dict[str, str], patients: dict[str, str]) -> Row:
        return Row(
            sample_id=f"{self.name}/{stem}",
            subject_id=f"{self.name}/{patients.get(path) or stem}",
            source=self.name,
            image=path,
            masks=masks,
            label=_LABELS[name],
            view=None,
            sex=None,
            age=None,
            spacing_mm=None,
            official_split=None,
        )

    def _found(self, folder: Path) -> list[_Class]:
        """The class folders asked for that hold radiographs."""
        found = []
        for name in self.classes or _LABELS:
            top = child(folder, *_FOLDERS[name])
            if top is None:
                continue
            inner = child(top, "images")
            if inner is not None and list_files(inner, _SUFFIXES):
                found.append(_Class(name, top, inner, child(top, "masks")))
            elif list_files(top, _SUFFIXES):
                found.append(_Class(name, top, top, child(top, "masks")))
        return found

    def _refuse_mixture(self, root: Path, found: Sequence[_Class]) -> None:
        """Refuse two versions of the database in one folder: they hold the same radiographs under other names."""
        flat = [one.name for one in found if one.flat]
        deep = [one.name for one in found if not one.flat]
        both = [one.name for one in found if not one.flat and list_files(one.folder, _SUFFIXES)]
        if both or (flat and deep):
            what = (
                f"{', '.join(both)} holds radiographs both in images/ and beside it"
                if both
                else f"{', '.join(deep)} has images/ and {', '.join(flat)} has not"
            )
            msg = (
                f"two versions of {self.title} are mixed in {root}: {what}. They hold the same radiographs under "
                "different names; keep the files of one version"
            )
            raise DataError(msg)

    def _masks(self, one: _Class, images: dict[str, Path]) -> dict[str, Path]:
        """Stem of the radiograph -> mask, compared without case where it differs."""
        if not self.masks or one.masks is None:
            return {}
        by_case = {stem.lower(): stem for stem in images}
        masks = by_stem(list_files(one.masks, _SUFFIXES), what=f"masks in {one.masks}")
        return {by_case.get(stem.lower(), stem): path for stem, path in masks.items()}

    def _without(self, found: Sequence[_Class], lacking: Sequence[tuple[str, str]]) -> str:
        """A sentence on radiographs without a mask."""
        bare = [one.name for one in found if one.masks is None]
        if not lacking or not bare:
            return ""
        with_masks = [one.name for one in found if one.masks is not None]
        if with_masks:
            classes = ",".join(f"'{name}'" if " " in name else name for name in with_masks)
            return (
                f"There are no masks at all of {', '.join(bare)}; to read the other classes: "
                f"data.sources.qatar_covid.classes=[{classes}]."
            )
        return (
            "This copy has no masks, as older versions of the database; get the present one, or read the radiographs "
            "alone, for prediction: data.sources.qatar_covid.masks=false."
        )

    def _compare(self, root: Path, one: _Class, images: dict[str, Path]) -> list[str]:
        """Notes on a class: how it compares with its spreadsheet, and where its radiographs come from."""
        wanted = {f"{name}.metadata.xlsx".lower() for name in _FOLDERS[one.name]}
        path = next((path for path in list_files(root, (".xlsx",)) if path.name.lower() in wanted), None)
        if path is None:
            count = _COUNTS[one.name]
            return [f"{one.name}: {len(images)} radiographs; the present version has {count}"] * (len(images) != count)
        records = read_xlsx(path)
        if records and "FILE NAME" not in records[0]:
            msg = f"{path} has no column 'FILE NAME'; it has {', '.join(records[0])}. Download it again, or remove it"
            raise DataError(msg)
        names = {_letters(record["FILE NAME"]): record["FILE NAME"] for record in records if record["FILE NAME"]}
        here = {_letters(stem) for stem in images}
        absent = [name for key, name in names.items() if key not in here]
        unlisted = sorted(stem for stem in images if _letters(stem) not in names)
        notes = []
        if absent:
            notes.append(
                f"{one.name}: {len(absent)} of {len(names)} listed radiographs are absent: {first_five(absent)}"
            )
        if unlisted:
            notes.append(f"{one.name}: {len(unlisted)} radiographs are not in {path.name}: {first_five(unlisted)}")
        hosts = Counter(urlsplit(record.get("URL", "")).netloc or "unknown" for record in records)
        listed = ", ".join(f"{host} {count}" for host, count in hosts.most_common(5))
        notes.append(f"{one.name} comes from {listed}" + (" and others" if len(hosts) > 5 else ""))
        return notes


def _letters(name: str) -> str:
    """Letters and digits of a name: the spreadsheets write NORMAL-1 where the file is Normal-1.png."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"\.(png|jpe?g)$", "", name.lower()))


def _patients(root: Path) -> dict[str, str]:
    """Path of a radiograph -> patient, by an optional table `sources.csv` beside the set or one folder above."""
    path = next((p for p in (root / "sources.csv", root.absolute().parent / "sources.csv") if p.is_file()), None)
    if path is None:
        return {}
    records = read_table(path)
    if records and not {"file", "patient"} <= records[0].keys():
        msg = f"{path} lacks the columns file and patient; it has {', '.join(records[0])}. Name them, or remove it"
        raise DataError(msg)
    return {record["file"].replace("\\", "/"): record["patient"] for record in records}
