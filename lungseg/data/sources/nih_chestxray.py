"""NIH ChestX-ray14: 112,120 frontal radiographs with up to 14 findings each, read from reports by a program."""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from lungseg.data.io import read_bytes
from lungseg.data.sources.base import Missing, Source, SourceIndex
from lungseg.data.sources.clinical import parse_age, parse_sex, read_cells
from lungseg.data.sources.layout import by_stem, child, list_files, relative, subfolders
from lungseg.data.splits.base import seeded_order
from lungseg.data.splits.listed import names_in
from lungseg.errors import ConfigError, DataError, first_five, near_name
from lungseg.types import Row

log = logging.getLogger(__name__)

LabelRule = Literal["subset", "any", "all"]
NO_FINDING = "No Finding"
FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia",
    "Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax", NO_FINDING,
)  # fmt: skip
"""Every name that the published table holds."""
PAPER_COUNTS: Mapping[str, int] = {
    "Effusion": 7200,
    "Atelectasis": 7000,
    NO_FINDING: 7000,
    "Nodule": 4100,
    "Mass": 3900,
    "Pneumothorax": 3500,
    "Consolidation": 2900,
}
"""Labels of the classification paper's set; it prints the counts, and its names only in a figure."""
_TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
_LISTS = {"train_val": "train_val_list.txt", "test": "test_list.txt"}
_COLUMNS = {
    "image": ("Image Index",),
    "findings": ("Finding Labels",),
    "patient": ("Patient ID",),
    "age": ("Patient Age",),
    "sex": ("Patient Gender", "Patient Sex"),
    "view": ("View Position",),
}
_FOLDER = re.compile(r"images(_\d+)?", re.IGNORECASE)
_OLDEST = 130
_TOLERANCE = 0.03


class _Entry(NamedTuple):
    """One line of the table."""

    line: int
    image: str
    findings: tuple[str, ...]
    patient: str
    age: float | None
    sex: str | None
    view: str | None


class NihChestXraySource(Source):
    """NIH ChestX-ray14 by its table: labels are the findings as published, joined by `|`.

    Args:
        root: Folder of the set; None searches for it below `search`.
        search: Folder that holds all sets (`paths.data`).
        classes: The findings asked for, out of the 14 and `No Finding`; `label_rule` goes by them.
        label_rule: Which radiographs are taken. `subset`: those whose findings are all among `classes`, as the
            classification paper does. `any`: those that have at least one of them. `all`: every radiograph. What else
            an image has is kept in its label and is no class of its own.
        one_normal_per_patient: Take one radiograph without a finding of each patient, drawn from `draw_seed`.
        normals: Take at most this many radiographs without a finding (after the above), drawn from `draw_seed`.
        draw_seed: Seed of both draws.
        table: Name of the table; None takes that of 2020 where it is there, else the first one.
        missing: What to do with radiographs that the table lists and the folders lack, or the reverse: error, or drop
            (aside is the same, since nothing can be said of them).
        inverted: The files show dense parts dark.

    Raises:
        ConfigError: `classes` is no list of findings, `label_rule` is unknown, or `normals` is below 1.
    """

    name = "nih_chestxray"
    title: ClassVar[str] = "NIH ChestX-ray14"
    folder_names: ClassVar[tuple[str, ...]] = (
        "nih-chestxray",
        "nih_chestxray",
        "nih-chest-xrays",
        "nih-chestxray14",
        "ChestX-ray14",
        "ChestXray-NIHCC",
        "CXR8",
    )
    home: ClassVar[str] = "https://nihcc.app.box.com/v/ChestXray-NIHCC (CC0; citation asked)"
    shares_patients_with: ClassVar[tuple[str, ...]] = ("qatar_covid", "covid_qu_ex")
    published: ClassVar[str] = "112,120 radiographs of 30,805 patients"
    complete: ClassVar[int] = 112_120
    """Radiographs of the complete set."""

    def __init__(
        self,
        *,
        root: str | None = None,
        search: str | None = None,
        classes: Sequence[str] = tuple(PAPER_COUNTS),
        label_rule: LabelRule = "subset",
        one_normal_per_patient: bool = False,
        normals: int | None = None,
        draw_seed: int = 42,
        table: str | None = None,
        missing: Missing = "error",
        inverted: bool = False,
    ) -> None:
        super().__init__(root=root, search=search, missing=missing, inverted=inverted)
        key = f"data.sources.{self.name}"
        names = [classes] if isinstance(classes, str) else list(classes)
        wrong = [name for name in names if name not in FINDINGS]
        if wrong or isinstance(classes, str) or not names or len(set(names)) != len(names):
            near = near_name(str(wrong[0]), FINDINGS) if wrong else None
            hint = f" Did you mean {near!r}?" if near else ""
            msg = f"{key}.classes is {classes!r}; it must be a list, each once, out of [{', '.join(FINDINGS)}].{hint}"
            raise ConfigError(msg)
        if label_rule not in ("subset", "any", "all"):
            msg = f"{key}.label_rule is {label_rule!r}; it must be one of subset, any, all"
            raise ConfigError(msg)
        if normals is not None and normals < 1:
            msg = f"{key}.normals is {normals}; it must be at least 1, or null for all of them"
            raise ConfigError(msg)
        self.classes = tuple(names)
        self.label_rule: LabelRule = label_rule
        self.one_normal_per_patient = one_normal_per_patient
        self.normals = normals
        self.draw_seed = draw_seed
        self.table = table

    def expected_tree(self) -> str:
        """The layout as published, as text for people."""
        return (
            "nih-chest-xrays/\n"
            "  Data_Entry_2017.csv                            (or Data_Entry_2017_v2020.csv)\n"
            "  images_001/images/00000001_000.png ... images_012/images/   (or all in images/)\n"
            "  train_val_list.txt, test_list.txt              (optional: the official split)"
        )

    def is_complete(self, folder: Path) -> bool:
        """Whether `folder` holds a table and radiographs."""
        return self._table_in(folder) is not None and any(list_files(f, (".png",)) for f in _image_folders(folder))

    def build_index(self, root: Path) -> SourceIndex:
        """Index the copy of the set at `root`.

        Raises:
            DataError: The table or a list is damaged, has a finding that is none, or names a radiograph twice; or
                table and folders do not agree while `missing` is `error`.
        """
        table = self._table_in(root)
        if table is None:
            raise DataError(self._not_found(str(root)))
        entries, old = _read_entries(table)
        folders = [path for folder in _image_folders(root) for path in list_files(folder, (".png",))]
        images = by_stem(folders, what=f"radiographs in {root}")
        dropped = self._settle(table, entries, images)
        entries = [entry for entry in entries if Path(entry.image).stem in images]
        parts, notes = _official(root, entries)
        whole = len(entries)
        chosen = [entry for entry in entries if self._wanted(entry)]
        ruled = len(chosen)
        chosen = self._draw_normals(chosen)
        rows = [self._row(root, entry, images, parts) for entry in chosen]
        notes = [
            f"{table.name}: {whole} of the published {self.complete} radiographs; label_rule={self.label_rule} takes "
            f"{ruled} of them"
            + (
                f", of which {len(chosen)} are kept ({ruled - len(chosen)} without a finding left out)"
                * (ruled > len(chosen))
            ),
            *self._compare(chosen, whole),
            *notes,
        ]
        if old:
            notes.append(f"{old} ages are above {_OLDEST} years and count as unknown")
        return SourceIndex(root, sorted(rows, key=lambda row: row["sample_id"]), dropped=dropped, notes=notes)

    def _table_in(self, folder: Path) -> Path | None:
        names = _TABLES if self.table is None else (self.table,)
        return next((folder / name for name in names if (folder / name).is_file()), None)

    def _settle(self, table: Path, entries: Sequence[_Entry], images: Mapping[str, Path]) -> list[str]:
        """Apply `missing` to radiographs that only the table or only the folders have; returns what is left out."""
        listed = {Path(entry.image).stem for entry in entries}
        absent = sorted(entry.image for entry in entries if Path(entry.image).stem not in images)
        unlisted = sorted(path.name for stem, path in images.items() if stem not in listed)
        if self.missing == "error":
            fix = f"A copy of some of the archives is read with data.sources.{self.name}.missing=drop (see {self.docs})"
            if absent:
                msg = (
                    f"{len(absent)} of {len(entries)} radiographs in {table} are not in its folders of images: "
                    f"{first_five(absent)}. {fix}"
                )
                raise DataError(msg)
            if unlisted:
                msg = (
                    f"{len(unlisted)} of {len(images)} radiographs are not in {table}: {first_five(unlisted)}. Is it "
                    f"the table of this copy? To leave them out: data.sources.{self.name}.missing=drop"
                )
                raise DataError(msg)
        return absent + unlisted

    def _wanted(self, entry: _Entry) -> bool:
        if self.label_rule == "subset":
            return set(entry.findings) <= set(self.classes)
        return self.label_rule == "all" or not set(entry.findings).isdisjoint(self.classes)

    def _draw_normals(self, entries: Sequence[_Entry]) -> list[_Entry]:
        """Leave out radiographs without a finding, as `one_normal_per_patient` and `normals` say."""
        normal = {entry.image: entry.patient for entry in entries if entry.findings == (NO_FINDING,)}
        kept = list(normal)
        if self.one_normal_per_patient or self.normals is not None:
            kept = seeded_order(kept, self.draw_seed)
        if self.one_normal_per_patient:
            first: dict[str, str] = {}
            for image in kept:
                first.setdefault(normal[image], image)
            kept = list(first.values())
        taken = set(kept[: self.normals])
        return [entry for entry in entries if entry.image not in normal or entry.image in taken]

    def _row(self, root: Path, entry: _Entry, images: Mapping[str, Path], parts: Mapping[str, str]) -> Row:
        stem = Path(entry.image).stem
        return Row(
            sample_id=f"{self.name}/{stem}",
            subject_id=f"{self.name}/{entry.patient}",
            source=self.name,
            image=relative(images[stem], root),
            masks={},
            label="|".join(entry.findings),
            view=entry.view,
            sex=entry.sex,
            age=entry.age,
            spacing_mm=None,  # published for the radiographs before they were brought to 1024 x 1024
            official_split=parts.get(entry.image),
        )

    def _compare(self, entries: Sequence[_Entry], whole: int) -> list[str]:
        """A note on the counts of the classes; a warning where they differ from those of the paper's set.

        Args:
            entries: what is taken.
            whole: radiographs of this copy.
        """
        counts = Counter(finding for entry in entries for finding in entry.findings)
        note = ", ".join(f"{name} {counts[name]}" for name in self.classes)
        if set(self.classes) != set(PAPER_COUNTS) or self.label_rule != "subset":
            return [note]
        note += f"; the classification paper has {', '.join(f'{name} {n}' for name, n in PAPER_COUNTS.items())}"
        compared = {n: c for n, c in PAPER_COUNTS.items() if n != NO_FINDING or self.normals is not None}
        off = {name: counts[name] / count - 1 for name, count in compared.items()}
        far = [f"{name} {counts[name]} ({d:+.1%})" for name, d in off.items() if abs(d) > _TOLERANCE]
        if far:
            why = "the paper prints counts and no names, so that its classes or its rule may be others"
            if whole != self.complete:
                why = f"this copy has {whole:,} of the {self.complete:,} radiographs, so that it is another set"
            log.warning(
                "%s: counts differ from the classification paper's by more than 3 %%: %s; %s",
                self.name,
                ", ".join(far),
                why,
            )
        return [note]


def _image_folders(root: Path) -> list[Path]:
    """Folders that hold radiographs: images_001/images ... images_012/images, or images."""
    found = []
    for folder in subfolders(root):
        if _FOLDER.fullmatch(folder.name):
            inner = child(folder, "images")
            found += [folder] if inner is None else [folder, inner]
    return found


def _read_entries(table: Path) -> tuple[list[_Entry], int]:
    """All lines of the table, and how many ages were too high to be true.

    The last two headers hold commas, `OriginalImage[Width,Height]`; the first table does not quote them, so that its
    header has as many cells as its rows only by chance. Nothing behind View Position is needed.
    """
    (_, header), *lines = read_cells(table)
    at: dict[str, int] = {}
    for word, names in _COLUMNS.items():
        place = next((header.index(name) for name in names if name in header), None)
        if place is None:
            msg = f"{table} has no column {names[0]!r}; it has {', '.join(header)}. Download it again"
            raise DataError(msg)
        at[word] = place
    entries: list[_Entry] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    old = 0
    for number, cells in lines:
        if len(cells) <= max(at.values()):
            problems.append(f"line {number}: {len(cells)} cells, at least {max(at.values()) + 1} are needed")
            continue
        facts = {word: cells[place] for word, place in at.items()}
        findings = tuple(name.strip() for name in facts["findings"].split("|"))
        try:
            age, sex = parse_age(facts["age"]), parse_sex(facts["sex"])
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            continue
        wrong = _wrong(facts, findings, seen)
        if wrong:
            problems.append(f"line {number}: {wrong}")
            continue
        seen[facts["image"]] = number
        if age is not None and age > _OLDEST:
            age, old = None, old + 1
        patient = facts["patient"].lstrip("0") or "0"
        entries.append(_Entry(number, facts["image"], findings, patient, age, sex, facts["view"].upper() or None))
    if problems:
        msg = f"{table}: {len(problems)} lines are wrong: {'; '.join(problems[:5])}" + (
            f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        )
        raise DataError(f"{msg}. Correct the table, or download it again")
    return entries, old


def _wrong(facts: Mapping[str, str], findings: Sequence[str], seen: Mapping[str, int]) -> str | None:
    """What is wrong with a line, or None."""
    image = facts["image"]
    if not image or not facts["patient"]:
        return "no image or no patient is named"
    if image in seen:
        return f"{image} stands in line {seen[image]} already"
    unknown = [name for name in findings if name not in FINDINGS]
    if unknown:
        near = near_name(unknown[0], FINDINGS)
        return f"{unknown[0]!r} is no finding of the set" + (f" (did you mean {near!r}?)" if near else "")
    if len(set(findings)) != len(findings) or (NO_FINDING in findings and len(findings) > 1):
        return f"the findings {'|'.join(findings)} contradict themselves"
    return None


def _official(root: Path, entries: Iterable[_Entry]) -> tuple[dict[str, str], list[str]]:
    """File name -> part of the official split, and notes.

    Raises:
        DataError: One list is there without the other, or a radiograph or a patient is in both.
    """
    there = {part: root / name for part, name in _LISTS.items() if (root / name).is_file()}
    if not there:
        return {}, [f"no official split: {' and '.join(_LISTS.values())} are not there"]
    if len(there) < len(_LISTS):
        absent = next(name for part, name in _LISTS.items() if part not in there)
        msg = f"{absent} is not in {root}, but the other list is; put it there, or remove the other"
        raise DataError(msg)
    parts: dict[str, str] = {}
    for part, path in there.items():
        names = names_in(read_bytes(path).decode("utf-8-sig"))
        both = [name for name in names if parts.get(name, part) != part]
        if both:
            msg = f"{len(both)} radiographs are in both lists of {root}: {first_five(both)}; download them again"
            raise DataError(msg)
        parts.update(dict.fromkeys(names, part))
    in_parts: dict[str, set[str]] = defaultdict(set)
    nowhere = 0
    for entry in entries:
        nowhere += entry.image not in parts
        in_parts[entry.patient].add(parts.get(entry.image, ""))
    torn = sum(len(found - {""}) > 1 for found in in_parts.values())
    notes = [f"{nowhere} radiographs are in neither list of the official split"] * (nowhere > 0)
    return parts, notes + [f"{torn} patients are in both lists of the official split"] * (torn > 0)
