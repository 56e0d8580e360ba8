"""Sources of the store's tests: images in memory and files on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lungseg.data.io import Radiograph
from lungseg.data.sources.base import Reference, Source, SourceIndex
from lungseg.data.store import Store
from lungseg.data.table import SamplesTable
from lungseg.errors import DataError
from lungseg.types import Row

ROOT = Path(__file__).resolve().parents[2]


def row_of(name: str, masks: dict[str, str], source: str = "memory") -> Row:
    return Row(
        sample_id=f"{source}/{name}", subject_id=f"{source}/{name}", source=source, image=name, masks=masks,
        label=None, view=None, sex=None, age=None, spacing_mm=None, official_split=None,
    )  # fmt: skip


class MemorySource(Source):
    """Images and masks out of dicts; counts what was read, and may stop the build at the k-th image."""

    name = "memory"
    title = "memory"
    folder_names = ("memory",)
    home = "nowhere"

    def __init__(self, images: dict[str, np.ndarray], masks: dict[str, dict[str, np.ndarray]] | None = None) -> None:
        super().__init__()
        self.images = images
        self.masks = masks or {}
        self.left_out: dict[str, np.ndarray] = {}
        self.reads: list[str] = []
        self.stop_at: int | None = None

    def expected_tree(self) -> str:
        return "nothing"

    def is_complete(self, folder: Path) -> bool:
        return True

    def find(self) -> Path:
        return Path("memory")

    def build_index(self, root: Path) -> SourceIndex:
        rows = [row_of(name, {s: s for s in self.masks.get(name, {})}, self.name) for name in self.images]
        return SourceIndex(root, rows)

    def fingerprint(self, row: Row) -> str:
        return str(row["image"])

    def read_image(self, root: Path, row: Row) -> Radiograph:
        if self.stop_at is not None and len(self.reads) == self.stop_at:
            raise KeyboardInterrupt
        self.reads.append(row["image"])
        pixels = self.images[row["image"]]
        if not pixels.size:
            msg = f"{row['image']} is broken on purpose"
            raise DataError(msg)
        return Radiograph(pixels, 8 * pixels.dtype.itemsize, False, "")

    def read_reference(self, root: Path, row: Row, structures: Sequence[str]) -> Reference:
        masks = np.stack([self.masks[row["image"]][s] for s in structures])
        left_out = self.left_out.get(row["image"])
        return Reference(masks, len(structures), 0, 2, None if left_out is None else ~left_out)


def build(folder: Path, *sources: Source, structures: Sequence[str] = (), steps=None, **options) -> Store:
    indices = [source.index() for source in sources]
    table = SamplesTable.from_rows([row for index in indices for row in index.rows])
    homes = {source.name: (source, index.root) for source, index in zip(sources, indices, strict=True)}
    return Store.build(table, homes, steps=steps or {}, structures=structures, folder=folder, **options)


def numbered(n: int, size: tuple[int, int] = (8, 8)) -> dict[str, np.ndarray]:
    return {f"{i:03d}": np.full(size, i, np.uint8) for i in range(n)}


def home_of(folder: Path) -> Path:
    (home,) = [path for path in folder.iterdir() if path.is_dir()]
    return home


class FileSource(MemorySource):
    """PNG files on the disk, hashed by their bytes."""

    name = "files"

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        super().__init__({name: np.zeros(0) for name in names})
        self.folder = root

    def find(self) -> Path:
        return self.folder

    def fingerprint(self, row: Row) -> None:
        return None

    def read_image(self, root: Path, row: Row) -> Radiograph:
        self.reads.append(row["image"])
        return Source.read_image(self, root, row)
