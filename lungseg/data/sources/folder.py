"""A user's own radiographs and masks in plain folders, with an optional table of patients and labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from lungseg.data.sources.base import Convention, Missing, Source, SourceIndex, check_convention
from lungseg.data.sources.clinical import parse_age, parse_sex, read_records
from lungseg.data.sources.label_cells import check_label, label_of_flags
from lungseg.data.sources.layout import IMAGE_SUFFIXES, child, list_files, relative
from lungseg.errors import ConfigError, DataError, first_five, near_name
from lungseg.remote.path import place
from lungseg.types import Row

_COLUMNS = ("image", "patient", "sex", "age", "view", "label", "split")


class FolderSource(Source):
    """Radiographs in one folder, masks in others, matched by name.

    The mask of `p1/a.png` is the file with the same path below its own folder, of any image format, with `mask_suffix`
    at the end of its name or without; where the sub-folders differ, the name alone decides if it is unique.

    Labels come from the folder that a radiograph lies in (`label_folders`), from one column of the table
    (`columns.label`; several names joined by `|`), or from a column for each name (`label_columns`: 1, 0, and empty or
    -1 where it is not known).

    Args:
        root: Folder that holds the others. It must be given.
        images: Folder of the radiographs below `root`; "." is `root` itself.
        masks: Structure -> folder of its masks below `root`; empty for radiographs without masks.
        mask_suffix: What a mask's name may have after the radiograph's, such as `_mask`.
        table: Table of patients below `root` (CSV with comma, semicolon or tab), or None.
        columns: Name of the table's column for each of image, patient, sex, age, view, label, split, where it differs
            from these words. Only `image` must exist.
        recursive: Look into sub-folders.
        label_folders: The folder directly below `images` that a radiograph lies in is its label.
        label_columns: Columns of the table with 1, 0 or nothing for a label of the same name; None = the one column.
        classes: Names that labels may hold; another one is an error. None takes any.
        patient_pattern: Regular expression found in a radiograph's path below `images`, whose first group is the
            patient; used where the table names none. None = every radiograph is a patient of its own.
        spacing_mm: (row, column) pixel spacing of all radiographs, where it is known.
        convention: `without_heart` or `with_heart`: whether the lung masks hold the part of the lungs behind the heart;
            None = not known. Training warns where sets of both kinds are mixed.
        name: Key in `data.sources` and first part of every sample_id; name it to read two folders at once.
        search: Not used; every source has it.
        missing: What to do with a radiograph without a mask or a row in the table, and with a mask without a
            radiograph: error, drop or aside.
        inverted: The radiographs show dense parts dark.
    """

    name = "folder"
    title: ClassVar[str] = "a folder of your own"
    folder_names: ClassVar[tuple[str, ...]] = ()
    home: ClassVar[str] = "your own radiographs"

    def __init__(
        self,
        *,
        root: str | None = None,
        images: str = "images",
        masks: Mapping[str, str] | None = None,
        mask_suffix: str = "_mask",
        table: str | None = None,
        columns: Mapping[str, str] | None = None,
        recursive: bool = True,
        label_folders: bool = False,
        label_columns: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        patient_pattern: str | None = None,
        spacing_mm: tuple[float, float] | None = None,
        convention: Convention | None = None,
        name: str = "folder",
        search: str | None = None,
        missing: Missing = "error",
        inverted: bool = False,
    ) -> None:
        self.name = name
        super().__init__(root=root, search=search, missing=missing, inverted=inverted)
        self.images = images
        self.masks = {"lungs": "masks"} if masks is None else dict(masks)
        self.mask_suffix = mask_suffix
        self.table = table
        self.columns = {word: word for word in _COLUMNS} | dict(columns or {})
        self.given_columns = frozenset(columns or {})
        self.recursive = recursive
        self.spacing_mm = None if spacing_mm is None else (float(spacing_mm[0]), float(spacing_mm[1]))
        self.convention = check_convention(f"data.sources.{name}.convention", convention)
        unknown = sorted(set(self.columns) - set(_COLUMNS))
        if unknown:
            near = near_name(unknown[0], _COLUMNS)
            hint = f" Did you mean {near}?" if near else ""
            msg = f"data.sources.{name}.columns names {', '.join(unknown)}; known: {', '.join(_COLUMNS)}.{hint}"
            raise ConfigError(msg)
        self.label_folders = label_folders
        self.label_columns = _names(f"data.sources.{name}.label_columns", label_columns)
        self.classes = _names(f"data.sources.{name}.classes", classes)
        if self.label_columns is not None and (table is None or label_folders):
            why = "without data.sources.{0}.table" if table is None else "beside data.sources.{0}.label_folders=true"
            msg = f"data.sources.{name}.label_columns has no meaning {why.format(name)}; give the one or the other"
            raise ConfigError(msg)
        self.patient_pattern = _pattern(f"data.sources.{name}.patient_pattern", patient_pattern)

    @property
    def docs(self) -> str:
        """Where the documentation speaks of this source."""
        return "docs/datasets.md#folder"

    def expected_tree(self) -> str:
        """The layout as configured, as text for people."""
        top = "" if self.images == "." else f"{self.images}/"
        inner = "<class>/" if self.label_folders else ""
        lines = ["<root>/", f"  {top}{inner}a.png ...   (png, jpg, tif, bmp, gif or img; sub-folders too)"]
        for structure, folder in self.masks.items():
            lines.append(f"  {folder}/a.png or a{self.mask_suffix}.png ...   ({structure})")
        if self.table is not None:
            names = [*self.columns.values(), *(self.label_columns or ())]
            lines.append(f"  {self.table}   (columns: {', '.join(names)})")
        return "\n".join(lines)

    def find(self) -> Path:
        """The folder given as `root`.

        Raises:
            DataError: It is not given or not there, or has no folder of radiographs.
        """
        if self.root is None:
            msg = (
                f"no folder was given for {self.title}; set data.sources.{self.name}.root=<folder>. Expected:\n"
                f"{self.expected_tree()}\nSee {self.docs}"
            )
            raise DataError(msg)
        root = place(self.root).expanduser()
        if not root.is_dir():
            msg = f"data.sources.{self.name}.root={self.root} is not a folder; give the folder that holds {self.images}"
            raise DataError(msg)
        if not self.is_complete(root):
            msg = (
                f"data.sources.{self.name}.root={self.root} lacks a folder of those configured. Expected:\n"
                f"{self.expected_tree()}\nTo name them: data.sources.{self.name}.images=<folder> "
                f"data.sources.{self.name}.masks.lungs=<folder>. See {self.docs}"
            )
            raise DataError(msg)
        return root.absolute()

    def is_complete(self, folder: Path) -> bool:
        """Whether all folders that were configured are in `folder`."""
        return all(child(folder, name) is not None for name in (self.images, *self.masks.values()))

    def build_index(self, root: Path) -> SourceIndex:
        """Index the folder.

        Raises:
            DataError: There is no radiograph, names are not unique, pairs or the table are incomplete.
        """
        images = self._images(root)
        masks = {structure: self._masks(root, folder, images) for structure, folder in self.masks.items()}
        facts = self._table(root, images)
        rows: list[Row] = []
        lacking: list[tuple[str, str]] = []
        for key, image in sorted(images.items()):
            absent = [structure for structure, found in masks.items() if key not in found]
            if absent:
                lacking.append((relative(image, root), ", ".join(absent)))
                continue
            if facts is not None and key not in facts:
                lacking.append((relative(image, root), f"no row in {self.table}"))
                continue
            rows.append(self._row(root, key, image, masks, (facts or {}).get(key, {})))
        orphans = [relative(path, root) for found in masks.values() for key, path in found.items() if key not in images]
        aside, dropped = self.settle_missing(root=root, total=len(images), images=lacking, masks=orphans)
        notes = []
        if rows and all(row["subject_id"] == row["sample_id"] for row in rows):
            if self.table is None:
                notes.append("no table of patients was given: every radiograph counts as a patient of its own")
            else:
                notes.append(
                    f"{self.table} has no column {self.columns['patient']!r}: every radiograph counts as a patient"
                )
        return SourceIndex(root, rows, aside, dropped, notes)

    def _row(
        self, root: Path, key: str, image: Path, masks: Mapping[str, Mapping[str, Path]], facts: Mapping[str, str]
    ) -> Row:
        return Row(
            sample_id=f"{self.name}/{key}",
            subject_id=f"{self.name}/{facts.get('patient') or self._patient(key) or key}",
            source=self.name,
            image=relative(image, root),
            masks={structure: relative(found[key], root) for structure, found in sorted(masks.items())},
            label=self._folder_label(root, key) if self.label_folders else facts.get("label") or None,
            view=(facts.get("view") or "").upper() or None,
            sex=parse_sex(facts.get("sex", "")),
            age=parse_age(facts.get("age", "")),
            spacing_mm=self.spacing_mm,
            official_split=facts.get("split") or None,
        )

    def _patient(self, key: str) -> str | None:
        """The patient by the name of a radiograph.

        Raises:
            DataError: The name does not fit the pattern.
        """
        if self.patient_pattern is None:
            return None
        match = self.patient_pattern.search(key)
        if match is None or not match.group(1):
            msg = (
                f"data.sources.{self.name}.patient_pattern={self.patient_pattern.pattern!r} finds no patient in "
                f"{key!r}; correct it, or name the patients in a table"
            )
            raise DataError(msg)
        return str(match.group(1))

    def _folder_label(self, root: Path, key: str) -> str:
        """The label by the folder.

        Raises:
            DataError: The radiograph lies in no folder, or in one that is no class.
        """
        label, slash, _ = key.partition("/")
        if not slash:
            msg = (
                f"{key} lies beside the folders of the classes in {self._folder(root, self.images)}, so that it has no "
                f"label (data.sources.{self.name}.label_folders=true); put it into one of them, or take it out"
            )
            raise DataError(msg)
        try:
            return check_label(label, self.classes)
        except ValueError as error:
            msg = (
                f"the folder {self._folder(root, self.images) / label}: {error}. Rename it, take it out, or name it in "
                f"data.sources.{self.name}.classes"
            )
            raise DataError(msg) from error

    def _folder(self, root: Path, name: str) -> Path:
        folder = child(root, name)
        if folder is None:
            msg = f"{root} has no folder {name}. Expected:\n{self.expected_tree()}"
            raise DataError(msg)
        return folder

    def _images(self, root: Path) -> dict[str, Path]:
        folder = self._folder(root, self.images)
        others = [path for name in self.masks.values() if (path := child(root, name)) is not None and path != folder]
        files = [
            path
            for path in list_files(folder, IMAGE_SUFFIXES, recursive=self.recursive)
            if not any(path.is_relative_to(other) for other in others)
        ]
        if self.mask_suffix and folder in [child(root, name) for name in self.masks.values()]:
            # radiographs and masks share a folder: the suffix tells them apart
            files = [path for path in files if not path.stem.endswith(self.mask_suffix)]
        if not files:
            msg = f"{folder} holds no radiograph ({', '.join(IMAGE_SUFFIXES)}); check data.sources.{self.name}.images"
            raise DataError(msg)
        return self._keyed(files, folder, "radiographs")

    def _keyed(self, files: list[Path], folder: Path, what: str) -> dict[str, Path]:
        """Path below the folder without ending -> file."""
        found: dict[str, Path] = {}
        twice: list[str] = []
        for path in files:
            key = path.relative_to(folder).with_suffix("").as_posix()
            if key in found:
                twice.append(f"{relative(found[key], folder)} and {path.name}")
            found[key] = path
        if twice:
            msg = f"{len(twice)} {what} in {folder} share their name: {first_five(twice)}; remove or rename one of each"
            raise DataError(msg)
        return found

    def _masks(self, root: Path, name: str, images: Mapping[str, Path]) -> dict[str, Path]:
        """Key of the radiograph -> mask; masks without a radiograph keep their own key."""
        folder = self._folder(root, name)
        files = list_files(folder, IMAGE_SUFFIXES, recursive=self.recursive)
        if folder == child(root, self.images):
            files = [path for path in files if path.stem.endswith(self.mask_suffix)]
        stems = Counter(key.rsplit("/", 1)[-1] for key in images)
        by_name = {key.rsplit("/", 1)[-1]: key for key in images}
        found: dict[str, Path] = {}
        for own, path in self._keyed(files, folder, "masks").items():
            bare = own.removesuffix(self.mask_suffix)
            stem = bare.rsplit("/", 1)[-1]
            key = own if own in images else bare
            if key not in images and stems[stem] == 1:
                key = by_name[stem]
            if key in found:
                msg = f"{found[key]} and {path} are both masks of {key}; remove one"
                raise DataError(msg)
            found[key] = path
        return found

    def _table(self, root: Path, images: Mapping[str, Path]) -> dict[str, dict[str, str]] | None:
        """Key of the radiograph -> facts, from the table; what is wrong with it is told by its line."""
        if self.table is None:
            return None
        path = root / self.table
        records = read_records(path)
        self._check_columns(path, list(records[0][1]) if records else [])
        names = Counter(key.rsplit("/", 1)[-1] for key in images)
        by_name = {name: key for key in images if names[name := key.rsplit("/", 1)[-1]] == 1}
        facts: dict[str, dict[str, str]] = {}
        lines: dict[str, int] = {}
        twice: list[str] = []
        wrong: list[str] = []
        for line, record in records:
            named = record[self.columns["image"]].replace("\\", "/")
            bare = named.rsplit(".", 1)[0] if named.lower().endswith(IMAGE_SUFFIXES) else named
            key = bare if bare in images else by_name.get(bare.rsplit("/", 1)[-1], bare)
            if key in facts:
                twice.append(f"{named} (lines {lines[key]} and {line})")
                continue
            lines[key] = line
            facts[key] = {word: record.get(column, "") for word, column in self.columns.items()}
            try:
                parse_sex(facts[key]["sex"])
                parse_age(facts[key]["age"])
                facts[key]["label"] = self._label(record)
            except ValueError as error:
                wrong.append(f"line {line}, {bare}: {error}")
        if twice:
            msg = f"{path} names {len(twice)} radiographs twice: {first_five(twice)}; keep one row for each"
            raise DataError(msg)
        if wrong:
            more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            msg = f"{path}: {len(wrong)} rows are wrong: {'; '.join(wrong[:5])}{more}. Correct them"
            raise DataError(msg)
        return facts

    def _label(self, record: Mapping[str, str]) -> str:
        """The label of a row of the table, or nothing where it is not known.

        Raises:
            ValueError: It cannot be read, or holds a name that is no class.
        """
        if self.label_folders:
            return ""
        if self.label_columns is not None:
            return label_of_flags({column: record[column] for column in self.label_columns}) or ""
        label = record.get(self.columns["label"], "")
        return check_label(label, self.classes) if label else ""

    def _check_columns(self, path: Path, present: list[str]) -> None:
        """Refuse a table that lacks a column that was named."""
        wanted = [
            (word, column) for word, column in self.columns.items() if word == "image" or word in self.given_columns
        ]
        for word, column in [*wanted, *(("", column) for column in self.label_columns or ())]:
            if column not in present:
                near = near_name(column, present)
                hint = f"; did you mean {near!r}?" if near else "."
                key = f"columns.{word}=<column>" if word else "label_columns=[<column>, ...]"
                msg = (
                    f"{path} has no column {column!r}{hint} Its columns: {', '.join(present) or 'none'}. Name it with "
                    f"data.sources.{self.name}.{key}"
                )
                raise DataError(msg)


def _names(key: str, given: Sequence[str] | None) -> tuple[str, ...] | None:
    """Names as given, or None.

    Raises:
        ConfigError: It is no list of different names.
    """
    if given is None:
        return None
    if isinstance(given, str) or not given or len(set(given)) != len(given):
        msg = f"{key} is {given!r}; it must be a list of at least one name, each once, or null"
        raise ConfigError(msg)
    return tuple(given)


def _pattern(key: str, text: str | None) -> re.Pattern[str] | None:
    """A regular expression with a group, or None.

    Raises:
        ConfigError: It is none, or has no group.
    """
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        msg = f"{key}={text!r} is no regular expression ({error}); for names such as P12_3.png: '^(P[0-9]+)_'"
        raise ConfigError(msg) from error
    if not pattern.groups:
        msg = f"{key}={text!r} has no group; put what names the patient in brackets: '^(P[0-9]+)_'"
        raise ConfigError(msg)
    return pattern
