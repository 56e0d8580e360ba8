"""A user's own radiographs and masks in plain folders, with an optional table of patients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from lungseg.data.sources.base import Convention, Missing, Source, SourceIndex, check_convention
from lungseg.data.sources.clinical import parse_age, parse_sex, read_table
from lungseg.data.sources.layout import IMAGE_SUFFIXES, child, list_files, relative
from lungseg.errors import ConfigError, DataError, first_five, near_name
from lungseg.types import Row

_COLUMNS = ("image", "patient", "sex", "age", "view", "label", "split")


class FolderSource(Source):
    """Radiographs in one folder, masks in others, matched by name.

    The mask of `p1/a.png` is the file with the same path below its own folder, of any image format, with `mask_suffix`
    at the end of its name or without; where the sub-folders differ, the name alone decides if it is unique.

    Args:
        root: Folder that holds the others. It must be given.
        images: Folder of the radiographs below `root`; "." is `root` itself.
        masks: Structure -> folder of its masks below `root`; empty for radiographs without masks.
        mask_suffix: What a mask's name may have after the radiograph's, such as `_mask`.
        table: Table of patients below `root` (CSV with comma, semicolon or tab), or None.
        columns: Name of the table's column for each of image, patient, sex, age, view, label, split, where it differs
            from these words. Only `image` must exist.
        recursive: Look into sub-folders.
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

    @property
    def docs(self) -> str:
        """Where the documentation speaks of this source."""
        return "docs/datasets.md#folder"

    def expected_tree(self) -> str:
        """The layout as configured, as text for people."""
        lines = ["<root>/", f"  {self.images}/a.png ...   (png, jpg, tif, bmp, gif or img; sub-folders too)"]
        for structure, folder in self.masks.items():
            lines.append(f"  {folder}/a.png or a{self.mask_suffix}.png ...   ({structure})")
        if self.table is not None:
            lines.append(f"  {self.table}   (columns: {', '.join(self.columns.values())})")
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
        root = Path(self.root).expanduser()
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
        if self.table is None:
            notes.append("no table of patients was given: every radiograph counts as a patient of its own")
        elif rows and all(row["subject_id"] == row["sample_id"] for row in rows):
            notes.append(
                f"{self.table} has no column {self.columns['patient']!r}: every radiograph counts as a patient"
            )
        return SourceIndex(root, rows, aside, dropped, notes)

    def _row(
        self, root: Path, key: str, image: Path, masks: Mapping[str, Mapping[str, Path]], facts: Mapping[str, str]
    ) -> Row:
        try:
            sex, age = parse_sex(facts.get("sex", "")), parse_age(facts.get("age", ""))
        except ValueError as error:
            msg = f"{root / (self.table or '')}, {key}: {error}"
            raise DataError(msg) from error
        return Row(
            sample_id=f"{self.name}/{key}",
            subject_id=f"{self.name}/{facts.get('patient') or key}",
            source=self.name,
            image=relative(image, root),
            masks={structure: relative(found[key], root) for structure, found in sorted(masks.items())},
            label=facts.get("label") or None,
            view=(facts.get("view") or "").upper() or None,
            sex=sex,
            age=age,
            spacing_mm=self.spacing_mm,
            official_split=facts.get("split") or None,
        )

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
        """Key of the radiograph -> facts, from the table."""
        if self.table is None:
            return None
        path = root / self.table
        records = read_table(path)
        present = list(records[0]) if records else []
        for word, column in self.columns.items():
            if column not in present and (word == "image" or word in self.given_columns):
                near = near_name(column, present)
                hint = f"; did you mean {near!r}?" if near else ""
                msg = (
                    f"{path} has no column {column!r}{hint} Its columns: {', '.join(present) or 'none'}. Name it with "
                    f"data.sources.{self.name}.columns.{word}=<column>"
                )
                raise DataError(msg)
        by_name = {key.rsplit("/", 1)[-1]: key for key in images}
        facts: dict[str, dict[str, str]] = {}
        twice: list[str] = []
        for record in records:
            named = record[self.columns["image"]].replace("\\", "/")
            bare = named.rsplit(".", 1)[0] if named.lower().endswith(IMAGE_SUFFIXES) else named
            key = bare if bare in images else by_name.get(bare.rsplit("/", 1)[-1], bare)
            if key in facts:
                twice.append(named)
            facts[key] = {word: record.get(column, "") for word, column in self.columns.items()}
        if twice:
            msg = f"{path} names {len(twice)} radiographs twice: {first_five(twice)}; keep one row for each"
            raise DataError(msg)
        return facts
