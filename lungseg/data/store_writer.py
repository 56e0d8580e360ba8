"""Filling the store: decode in worker processes, append in this one."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungseg.data.guides import Guides
from lungseg.data.preprocess.base import Placement, Prepared, Step
from lungseg.data.preprocess.resize import resized_masks
from lungseg.data.sources.base import Source
from lungseg.data.structures import paths_for
from lungseg.data.table import SamplesTable
from lungseg.errors import DataError
from lungseg.remote.path import Handed, RemotePath, hand_over, take_over
from lungseg.types import Row

log = logging.getLogger(__name__)

CHUNK = 32
"""Samples between two commits."""


@dataclass(frozen=True)
class _Entry:
    """What a worker hands back for one sample."""

    key: bytes
    prepared: Prepared
    published: bytes
    mask_size: tuple[int, int]
    planes: int
    image_size: tuple[int, int]
    masked: bool
    bits: int
    inverted: bool
    source: str
    levels: tuple[int, int, int]


def add_missing(
    home: Path,
    index: sqlite3.Connection,
    table: SamplesTable,
    keys: NDArray[np.void],
    sources: Mapping[str, tuple[Source, Path]],
    steps: Mapping[str, Step],
    structures: Sequence[str],
    jobs: int,
    progress: Callable[[int, int], None] | None,
    guides: Guides | None = None,
) -> None:
    """Decode and append what the store does not hold yet."""
    held = {bytes(key) for (key,) in index.execute("SELECT key FROM samples")}
    wanted = {bytes(key): i for i, key in enumerate(keys) if bytes(key) not in held}
    if not wanted:
        log.info("store %s holds all %d samples", home, len(keys))
        return
    log.info("store %s: %d of %d samples to prepare", home, len(wanted), len(keys))
    from joblib import Parallel, delayed

    tasks = [(key, table.row(i)) for key, i in wanted.items()]
    work = (
        delayed(_prepare)(
            key,
            row,
            *sources[row["source"]],
            dict(steps),
            tuple(structures),
            guides.alone(row) if guides else None,
            _handed(row, sources[row["source"]][1], guides),
        )
        for key, row in tasks
    )
    errors: list[str] = []
    levels = {name: [0, 0, 0] for name in sources}
    turned = dict.fromkeys(sources, 0)
    done = 0
    pool = Parallel(
        n_jobs=min(jobs, len(tasks)), return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs"
    )
    with _Writer(home, index, len(structures)) as writer:
        for result in pool(work):
            if isinstance(result, str):
                errors.append(result)
            else:
                writer.add(result)
                seen = levels[result.source]
                seen[0] += result.levels[0]
                seen[1] += result.levels[1]
                seen[2] = max(seen[2], result.levels[2])
                turned[result.source] += result.inverted
            done += 1
            if progress is not None:
                progress(done, len(tasks))
    for name, (source, _) in sources.items():
        note = source.levels_note(*levels[name])
        if note:
            log.info("%s", note)
        if turned[name]:
            log.info("%s: %d radiographs were published inverted and turned at reading", name, turned[name])
    if errors:
        msg = f"{len(errors)} of {len(tasks)} radiographs cannot be used: " + "; ".join(sorted(errors)[:5])
        msg += f" and {len(errors) - 5} more" if len(errors) > 5 else ""
        raise DataError(msg)


def _prepare(
    key: bytes,
    row: Row,
    source: Source,
    root: Path,
    steps: dict[str, Step],
    structures: tuple[str, ...],
    guides: Guides | None,
    handed: Handed | None = None,
) -> _Entry | str:
    """Decode one sample and run the steps; in a worker. An unusable sample comes back as the text of its error."""
    import cv2

    cv2.setNumThreads(0)
    take_over(handed)
    try:
        radiograph = source.read_image(root, row)
        size = (int(radiograph.pixels.shape[0]), int(radiograph.pixels.shape[1]))
        wanted = [structure for structure in structures if paths_for(row["masks"], structure)]
        masked = bool(structures) and len(wanted) == len(structures)
        reference = source.read_reference(root, row, structures) if masked else None
        planes = reference.masks if reference is not None else np.zeros((len(structures), *size), bool)
        if reference is not None and reference.valid is not None and not reference.valid.all():
            planes = np.concatenate([planes, ~reference.valid[None]])
        published = planes if masked else planes[:, :0, :0]
        on_grid = planes.astype(np.uint8)
        if planes.shape[1:] != size:
            on_grid = resized_masks(on_grid, *size)
        placement = Placement(0.0, 0.0, float(size[0]), float(size[1]))
        guide = _guide(guides, source, root, row, size)
        prepared = Prepared(radiograph.pixels, on_grid, placement, len(structures), guide)
        for name, step in steps.items():
            try:
                prepared = step(prepared)
            except DataError as error:
                return f"{row['sample_id']}: step {name}: {error}"
            if prepared.image.shape[:2] != prepared.masks.shape[1:]:
                return f"{row['sample_id']}: step {name} left image and mask of different sizes"
    except DataError as error:
        return str(error)
    if prepared.image.ndim != 2:
        channels = prepared.image.shape[2]
        return f"{row['sample_id']}: the image still has {channels} channels; add a grey step to preprocess.steps"
    return _Entry(
        key,
        prepared,
        np.packbits(published).tobytes(),
        (published.shape[1], published.shape[2]),
        len(published),
        size,
        masked,
        radiograph.bits,
        radiograph.inverted,
        row["source"],
        (reference.files, reference.between, reference.levels) if reference is not None else (0, 0, 0),
    )


def _handed(row: Row, root: Path, guides: Guides | None) -> Handed | None:
    """Return what a worker must know to read the versions of remote files that the row's key is made of."""
    if not isinstance(root, RemotePath):
        return None
    names = [row["image"], *row["masks"].values(), *(guides.files(row) if guides is not None else [])]
    return hand_over(root / name for name in names)


def _guide(
    guides: Guides | None, source: Source, root: Path, row: Row, size: tuple[int, int]
) -> NDArray[np.uint8] | None:
    """Read the lung mask that guides the steps, on the radiograph's own grid; (h, w) uint8 in {0, 1}."""
    if guides is None:
        return None
    lungs = guides.read(source, root, row).astype(np.uint8)
    guide: NDArray[np.uint8] = resized_masks(lungs[None], *size)[0]
    return guide


class _Writer:
    """Appends entries; each commit makes a chunk of them visible at once."""

    def __init__(self, home: Path, index: sqlite3.Connection, structures: int) -> None:
        self.home = home
        self.index = index
        self.structures = structures
        self.waiting: list[_Entry] = []
        meta = dict(index.execute("SELECT name, value FROM meta"))
        self.size = (meta["height"], meta["width"]) if meta else None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        # also on Ctrl-C: what was decoded is kept
        self.flush()

    def add(self, entry: _Entry) -> None:
        size = entry.prepared.image.shape
        if self.size is None:
            self.size = (int(size[0]), int(size[1]))
            self.index.executemany(
                "INSERT INTO meta VALUES (?, ?)", [("height", self.size[0]), ("width", self.size[1])]
            )
        if size != tuple(self.size):
            msg = (
                f"after preprocessing, images have different sizes ({self.size[0]}x{self.size[1]} and "
                f"{size[0]}x{size[1]}). Add a resize step: preprocess=resize_256"
            )
            raise DataError(msg)
        self.waiting.append(entry)
        if len(self.waiting) >= CHUNK:
            self.flush()

    def flush(self) -> None:
        if not self.waiting:
            return
        next_row = {
            depth: int(
                self.index.execute(
                    "SELECT COALESCE(MAX(row) + 1, 0) FROM samples WHERE depth = ?", (depth,)
                ).fetchone()[0]
            )
            for depth in (8, 16)
        }
        offset = int(self.index.execute("SELECT COALESCE(MAX(offset + length), 0) FROM samples").fetchone()[0])
        records = []
        for entry in self.waiting:
            image, place = entry.prepared.image, entry.prepared.placement
            masks, left_out, overlap = _stored(entry.prepared.masks, self.structures)
            depth = 8 if image.dtype == np.uint8 else 16
            row = next_row[depth]
            next_row[depth] += 1
            _write_at(self.home / f"grey{depth}.bin", row * image.nbytes, image.tobytes())
            _write_at(self.home / f"mask{depth}.bin", row * masks.nbytes, masks.tobytes())
            _write_at(self.home / "published.bin", offset, entry.published)
            wide = image.astype(np.int64)
            # Order as in the table's columns.
            records.append(
                (
                    entry.key, depth, row, int(entry.masked), entry.bits, int(entry.inverted),
                    place.top, place.left, place.height, place.width, *entry.image_size,
                    *entry.mask_size, entry.planes, offset, len(entry.published),
                    int(wide.sum()), int((wide * wide).sum()), left_out, overlap,
                )
            )  # fmt: skip
            offset += len(entry.published)
        marks = ",".join("?" * len(records[0]))
        self.index.executemany(f"INSERT OR REPLACE INTO samples VALUES ({marks})", records)
        shares = [(entry.key, entry.prepared.kept) for entry in self.waiting if entry.prepared.kept is not None]
        self.index.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", shares)
        self.index.commit()
        self.waiting.clear()


def _stored(planes: NDArray[np.uint8], structures: int) -> tuple[NDArray[np.uint8], int, int]:
    """Return a sample's mask row, the pixels that are left out, and those that several structures share.

    Bit 0 of a byte is the structure. A pixel that is left out has bit 1 set in the first plane, so that sets without
    such pixels pay nothing for them.
    """
    masks = planes[:structures]
    overlap = int(np.count_nonzero(masks.sum(axis=0, dtype=np.uint8) > 1)) if structures > 1 else 0
    if len(planes) == structures:
        return masks, 0, overlap
    left_out = planes[structures]
    marked = masks.copy()
    marked[0] |= left_out << 1
    return marked, int(np.count_nonzero(left_out)), overlap


def _write_at(path: Path, offset: int, data: bytes) -> None:
    """Write bytes at an offset of a file that may not exist yet."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        view = memoryview(data)
        while view:
            written = os.pwrite(handle, view, offset)
            view, offset = view[written:], offset + written
    finally:
        os.close(handle)
