"""Kermany's paediatric pneumonia set: normal, bacterial and viral, told by the file names."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import ClassVar, NamedTuple

from lungseg.data.sources.base import Missing, Source, SourceIndex
from lungseg.data.sources.identical import identical_files, join_subjects, notes_on
from lungseg.data.sources.layout import by_stem, child, list_files, relative
from lungseg.errors import DataError, first_five
from lungseg.types import Row

_PARTS = ("train", "val", "test")
_FOLDERS = {"normal": ("NORMAL",), "pneumonia": ("PNEUMONIA",), "bacteria": ("BACTERIA",), "virus": ("VIRUS",)}
"""Class folders of the published copies, and of those that were sorted into three; compared without case."""
_HELD = {"normal": {"normal"}, "pneumonia": {"bacteria", "virus"}, "bacteria": {"bacteria"}, "virus": {"virus"}}
_SUFFIXES = (".jpeg", ".jpg", ".png")
_PERSON = re.compile(r"person(\d+)_(bacteria|virus)_\d+(?:_\d+)?", re.IGNORECASE)
_SERIES = re.compile(r"((?:normal2-)?im)-(\d+)-\d+(?:-\d+)?", re.IGNORECASE)
_MENDELEY = re.compile(r"(normal|bacteria|virus)-(\d+)-\d+", re.IGNORECASE)
_COUNTS = {"normal": 1583, "bacteria": 2780, "virus": 1493}


class KermanyName(NamedTuple):
    """What a file name says."""

    label: str
    patient: str


def read_name(stem: str, part: str) -> KermanyName | None:
    """Class and patient by a file name, or None where it says neither.

    - `person12_virus_47`: the number is the child's, whatever the pathogen. The numbers of the test part begin anew,
      those of the validation part go on from the training part, of which it was cut: the same number is one child in
      train and val, another in test.
    - `IM-0115-0001`, `NORMAL2-IM-1219-0001`: two series, each numbered through over all parts. Equal numbers of
      different series are different children.
    - `BACTERIA-1008087-0001` (Mendeley's later version): the number is the child's in all classes and parts.

    Example:
        >>> read_name("person12_virus_47", "val"), read_name("NORMAL2-IM-0012-0001", "test")
        (KermanyName(label='virus', patient='train-person12'), KermanyName(label='normal', patient='normal2-im-12'))
    """
    if match := _PERSON.fullmatch(stem):
        numbering = "test" if part == "test" else "train"
        return KermanyName(match.group(2).lower(), f"{numbering}-person{int(match.group(1))}")
    if match := _SERIES.fullmatch(stem):
        return KermanyName("normal", f"{match.group(1).lower()}-{int(match.group(2))}")
    if match := _MENDELEY.fullmatch(stem):
        return KermanyName(match.group(1).lower(), match.group(2))
    return None


class KermanySource(Source):
    """Chest radiographs of children, `chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}`, labels normal, bacteria, virus.

    The label and the patient are in the file name (see `read_name`). The set holds copies of the same file under other
    names; who owns them counts as one patient.

    Args:
        root: Folder of the set; None searches for it below `search`.
        search: Folder that holds all sets (`paths.data`).
        merge_identical: Whether the patients of byte-identical files count as one. It costs reading every file that
            shares its length with another, at each indexing; false leaves it out, and copies may be parted by a split.
        missing: Not used, since no radiograph has a mask.
        inverted: The files show dense parts dark.
    """

    name = "kermany"
    title: ClassVar[str] = "the paediatric pneumonia set of Kermany et al."
    folder_names: ClassVar[tuple[str, ...]] = (
        "chest_xray",
        "kermany",
        "chest-xray-pneumonia",
        "labeled-chest-x-ray-images",
        "ChestXRay2017",
        "ZhangLabData",
    )
    home: ClassVar[str] = "https://data.mendeley.com/datasets/rscbjbr9sj (CC BY 4.0)"
    shares_patients_with: ClassVar[tuple[str, ...]] = ("v7_darwin", "qatar_covid", "covid_qu_ex")
    published: ClassVar[str] = (
        "5856 radiographs: 1583 normal, 2780 bacteria, 1493 virus; 5232 train (val: 16), 624 test"
    )

    def __init__(
        self,
        *,
        root: str | None = None,
        search: str | None = None,
        merge_identical: bool = True,
        missing: Missing = "error",
        inverted: bool = False,
    ) -> None:
        super().__init__(root=root, search=search, missing=missing, inverted=inverted)
        self.merge_identical = merge_identical

    def expected_tree(self) -> str:
        """The layout as published, as text for people."""
        return (
            "chest_xray/\n"
            "  train/NORMAL/{IM-0115-0001.jpeg,NORMAL2-IM-0383-0001.jpeg} ...   (or NORMAL-1049278-0001.jpeg)\n"
            "  train/PNEUMONIA/person1_{bacteria_1,virus_6}.jpeg ...            (or BACTERIA-1008087-0001.jpeg)\n"
            "  test/{NORMAL,PNEUMONIA}/\n"
            "  val/{NORMAL,PNEUMONIA}/                                          (16 radiographs; not in all copies)"
        )

    def is_complete(self, folder: Path) -> bool:
        """Whether `folder` has radiographs in a training and in a test part."""
        return all(any(_files(folder, part).values()) for part in ("train", "test"))

    def build_index(self, root: Path) -> SourceIndex:
        """Index the copy of the set at `root`.

        Raises:
            DataError: A name tells no class, or another one than its folder; or two files of a part share a name.
        """
        rows: list[Row] = []
        nameless: list[str] = []
        contrary: list[str] = []
        for part in _PARTS:
            folders = _files(root, part)
            by_stem((path for files in folders.values() for path in files), what=f"radiographs in {root / part}")
            for folder, files in folders.items():
                for path in files:
                    said = read_name(path.stem, part)
                    if said is None:
                        nameless.append(relative(path, root))
                    elif said.label not in _HELD[folder]:
                        contrary.append(f"{relative(path, root)} ({said.label})")
                    else:
                        rows.append(self._row(path, root, part, said))
        if nameless:
            msg = (
                f"{len(nameless)} file names in {root} tell neither class nor child: {first_five(nameless)}. Names as "
                "published: person1_bacteria_1, IM-0115-0001, NORMAL-1049278-0001. Restore them, take the files out, "
                "or read the set by its folders (data=class_folders)"
            )
            raise DataError(msg)
        if contrary:
            msg = (
                f"{len(contrary)} files in {root} lie in the folder of another class than their name tells: "
                f"{first_five(contrary)}. Put them where they belong"
            )
            raise DataError(msg)
        rows.sort(key=lambda row: row["sample_id"])
        notes = _compare(rows)
        if self.merge_identical:
            groups = identical_files(root, rows)
            rows = join_subjects(rows, groups)
            notes += notes_on(groups)
        return SourceIndex(root, rows, notes=notes)

    def _row(self, path: Path, root: Path, part: str, said: KermanyName) -> Row:
        return Row(
            sample_id=f"{self.name}/{part}/{path.stem}",
            subject_id=f"{self.name}/{said.patient}",
            source=self.name,
            image=relative(path, root),
            masks={},
            label=said.label,
            view="AP",
            sex=None,
            age=None,
            spacing_mm=None,
            official_split=part,
        )


def _files(root: Path, part: str) -> dict[str, list[Path]]:
    """Class folder -> radiographs of one part."""
    found = {}
    for name, spellings in _FOLDERS.items():
        folder = child(root, *(f"{part}/{spelling}" for spelling in spellings))
        if folder is not None:
            found[name] = list_files(folder, _SUFFIXES)
    return found


def _compare(rows: list[Row]) -> list[str]:
    """Notes on the counts beside the published ones, and on the children of val."""
    counts = Counter(row["label"] for row in rows)
    notes = [", ".join(f"{name} {counts[name]}" for name in _COUNTS)]
    if counts != _COUNTS:
        notes[0] += f"; the complete set has {', '.join(f'{name} {count}' for name, count in _COUNTS.items())}"
    if not any(row["official_split"] == "val" for row in rows):
        notes.append("this copy has no val part")
    train = {row["subject_id"] for row in rows if row["official_split"] == "train"}
    shared = {row["subject_id"] for row in rows if row["official_split"] == "val"} & train
    if shared:
        notes.append(
            f"{len(shared)} children are both in the published train and val parts, so that split=official is refused; "
            "split=kermany_official joins the two and holds other children back"
        )
    return notes
