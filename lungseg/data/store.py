"""The store: every radiograph decoded and preprocessed once, then served as memory-mapped integers.

A store belongs to one recipe (the preprocessing steps and the structures asked for) and may hold samples of any number
of sources. Samples are found by their content: the key of a sample is a hash of the bytes of its files, so a changed
file is a new sample, an unchanged one is never decoded twice, and two data sets that share a file share its row.

Layout of a store's folder:

    recipe.json    what was done to the images, for people
    index.sqlite   sample key -> row, placement, published mask; file -> size, times, hash
    grey8.bin      rows of (H, W) uint8            grey16.bin    rows of (H, W) uint16 (sources deeper than 8 bits)
    mask8.bin, mask16.bin   rows of (K, H, W) uint8 in {0, 1}, beside the images of that depth
    published.bin  the masks at the size they were published, one bit a pixel

Rows are appended and become visible when sqlite commits, so a killed build loses at most the samples of its last few
seconds and the next build goes on from there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungseg.data.preprocess.base import Placement, Prepared, Step
from lungseg.data.sources.base import Source
from lungseg.data.structures import paths_for
from lungseg.data.table import SamplesTable
from lungseg.errors import DataError, ResourceError, first_five
from lungseg.types import Row

log = logging.getLogger(__name__)

FORMAT = 1
"""Raised whenever the same recipe would give other pixels, so that no stale store is ever read."""

CHUNK = 32
"""Samples between two commits."""

_OF_THE_DISK = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
}  # fmt: skip
"""Codes by which sqlite blames the disk and not the file's content."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER);
CREATE TABLE IF NOT EXISTS samples (
    key BLOB PRIMARY KEY, depth INTEGER, row INTEGER, masked INTEGER, bits INTEGER, inverted INTEGER,
    top REAL, left REAL, height REAL, width REAL, image_height INTEGER, image_width INTEGER,
    mask_height INTEGER, mask_width INTEGER, offset INTEGER, length INTEGER, total INTEGER, square INTEGER
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS places ON samples (depth, row);
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER, mtime INTEGER, ctime INTEGER, inode INTEGER, hash BLOB
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class _Entry:
    """What a worker hands back for one sample."""

    key: bytes
    prepared: Prepared
    published: bytes
    mask_size: tuple[int, int]
    image_size: tuple[int, int]
    masked: bool
    bits: int
    inverted: bool
    source: str
    levels: tuple[int, int, int]


def describe(steps: Mapping[str, Step], structures: Sequence[str]) -> str:
    """Return the recipe as canonical JSON: step classes with every attribute, structures, format."""
    listed = [
        {"name": name, "step": f"{type(step).__module__}.{type(step).__qualname__}", **vars(step)}
        for name, step in steps.items()
    ]
    return json.dumps({"format": FORMAT, "structures": list(structures), "steps": listed}, sort_keys=True, default=str)


class Store:
    """The preprocessed samples of one table, in table order.

    Made by `Store.build`. Reading is by table position; the arrays behind it are read-only and shared by all
    processes that open them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        structures: Sequence[str],
        rows: NDArray[np.int64],
        depths: NDArray[np.uint8],
        masked: NDArray[np.bool_],
    ) -> None:
        self.folder = folder
        self.structures = tuple(structures)
        self.rows = rows
        self.depths = depths
        self.masked = masked
        with _index(folder) as index:
            meta = dict(index.execute("SELECT name, value FROM meta"))
        self.size = (int(meta["height"]), int(meta["width"]))
        self.dtype = np.dtype(np.uint16 if bool((depths == 16).any()) else np.uint8)
        self._arrays: dict[tuple[str, int], NDArray[Any]] = {}

    def __len__(self) -> int:
        """Return the number of samples of the table."""
        return len(self.rows)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory maps behind: each worker process opens its own view of the same pages."""
        return {**self.__dict__, "_arrays": {}}

    @classmethod
    def build(
        cls,
        table: SamplesTable,
        sources: Mapping[str, tuple[Source, Path]],
        *,
        steps: Mapping[str, Step],
        structures: Sequence[str],
        folder: Path,
        jobs: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> Store:
        """Make sure every sample of the table is in the store, and open it.

        Args:
            table: the samples.
            sources: name -> (source, its root), for every source in the table.
            steps: preprocessing, in order.
            structures: structures whose masks are wanted, in channel order; may be empty.
            folder: where stores live; this one gets a folder named after its recipe.
            jobs: worker processes for decoding.
            progress: called with (samples done, samples to do) while decoding.

        Raises:
            DataError: files that cannot be read (all of them are tried; the good ones stay in the store), steps that
                leave images of different sizes, or a table without samples.
            ResourceError: the folder cannot be written or is full.
        """
        if not len(table):
            msg = "the samples table is empty, so there is nothing to prepare; see data.sources"
            raise DataError(msg)
        recipe = describe(steps, structures)
        home = Path(folder) / hashlib.sha256(recipe.encode()).hexdigest()[:16]
        try:
            home.mkdir(parents=True, exist_ok=True)
            (home / "recipe.json").write_text(json.dumps(json.loads(recipe), indent=2) + "\n")
            with _locked(home), _index(home) as index:
                index.executescript(_SCHEMA)
                _drop_unwritten(home, index, len(structures))
                keys = _keys_of(table, sources, structures, index)
                _add_missing(home, index, table, keys, sources, steps, structures, jobs, progress)
                return cls._open(home, structures, keys, index)
        except OSError as error:
            msg = f"the store {home} cannot be written: {error}. Free some space or set paths.store to another folder"
            raise ResourceError(msg) from error

    @classmethod
    def _open(cls, home: Path, structures: Sequence[str], keys: NDArray[np.void], index: sqlite3.Connection) -> Store:
        rows = np.zeros(len(keys), np.int64)
        depths = np.zeros(len(keys), np.uint8)
        masked = np.zeros(len(keys), bool)
        for start in range(0, len(keys), 500):
            wanted = [bytes(key) for key in keys[start : start + 500]]
            marks = ",".join("?" * len(wanted))
            found = {
                key: (row, depth, has)
                for key, row, depth, has in index.execute(
                    f"SELECT key, row, depth, masked FROM samples WHERE key IN ({marks})", wanted
                )
            }
            for i, key in enumerate(wanted, start):
                rows[i], depths[i], masked[i] = found[key]
        return cls(home, structures=structures, rows=rows, depths=depths, masked=masked)

    def images(self, positions: NDArray[np.int64] | Sequence[int]) -> NDArray[Any]:
        """Gather images: (B, H, W) of the store's dtype (a uint8 sample among uint16 ones is scaled by 257)."""
        at = np.asarray(positions)
        if self.dtype == np.uint8:
            gathered: NDArray[Any] = self._array("grey", 8)[self.rows[at]]
            return gathered
        if bool((self.depths[at] == 16).all()):
            deep: NDArray[Any] = self._array("grey", 16)[self.rows[at]]
            return deep
        out = np.empty((len(at), *self.size), np.uint16)
        for i, position in enumerate(at):
            pixels = self._array("grey", int(self.depths[position]))[self.rows[position]]
            out[i] = pixels if pixels.dtype == np.uint16 else pixels.astype(np.uint16) * 257
        return out

    def masks(self, positions: NDArray[np.int64] | Sequence[int]) -> NDArray[np.uint8]:
        """Gather masks on the network's grid: (B, K, H, W) uint8 in {0, 1}."""
        at = np.asarray(positions)
        if self.dtype == np.uint8:
            gathered: NDArray[np.uint8] = self._array("mask", 8)[self.rows[at]]
            return gathered
        out = np.empty((len(at), len(self.structures), *self.size), np.uint8)
        for i, position in enumerate(at):
            out[i] = self._array("mask", int(self.depths[position]))[self.rows[position]]
        return out

    def published(self, position: int) -> tuple[NDArray[np.bool_], Placement, tuple[int, int]]:
        """Return one sample's masks (K, h, w) as published, its placement and the (height, width) of its image."""
        with _index(self.folder) as index:
            found = index.execute(
                "SELECT mask_height, mask_width, offset, length, top, left, height, width, image_height, image_width"
                " FROM samples WHERE depth = ? AND row = ?",
                (int(self.depths[position]), int(self.rows[position])),
            ).fetchone()
        height, width, offset, length, *rest = found
        with (self.folder / "published.bin").open("rb") as file:
            file.seek(offset)
            packed = np.frombuffer(file.read(length), np.uint8)
        count = len(self.structures) * height * width
        masks = np.unpackbits(packed, count=count).view(bool).reshape(len(self.structures), height, width)
        return masks, Placement(*rest[:4]), (int(rest[4]), int(rest[5]))

    def mean_and_std(self, positions: NDArray[np.int64]) -> tuple[float, float]:
        """Return mean and standard deviation over all pixels of some samples, on the [0, 1] scale.

        Per-image sums are kept from the build, so this reads no image.
        """
        pixels = self.size[0] * self.size[1]
        mean = square = 0.0
        with _index(self.folder) as index:
            for position in positions:
                depth, total, squares = index.execute(
                    "SELECT depth, total, square FROM samples WHERE depth = ? AND row = ?",
                    (int(self.depths[position]), int(self.rows[position])),
                ).fetchone()
                full = 255.0 if depth == 8 else 65535.0
                mean += total / full / pixels
                square += squares / full**2 / pixels
        mean, square = mean / len(positions), square / len(positions)
        return mean, float(np.sqrt(max(square - mean**2, 0.0)))

    def _array(self, kind: str, depth: int) -> NDArray[Any]:
        """Open a memory map, once per process, as a plain read-only array (np.memmap slows each index by 5 us)."""
        array = self._arrays.get((kind, depth))
        if array is None:
            shape = self.size if kind == "grey" else (len(self.structures), *self.size)
            dtype = np.dtype(np.uint16 if (kind, depth) == ("grey", 16) else np.uint8)
            path = self.folder / f"{kind}{depth}.bin"
            count = path.stat().st_size // max(1, int(np.prod(shape)) * dtype.itemsize)
            if int(np.prod(shape)) == 0:
                array = np.zeros((int(self.rows.max(initial=0)) + 1, *shape), dtype)
            else:
                array = np.asarray(np.memmap(path, dtype, "r", shape=(count, *shape)))
            self._arrays[kind, depth] = array
        return array


@contextmanager
def _index(home: Path) -> Iterator[sqlite3.Connection]:
    """Open the index; a sqlite file that is none is a damaged store."""
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(home / "index.sqlite", timeout=60)
        yield connection
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_DISK:
            msg = f"the store {home} cannot be used: {error}. Free some space or set paths.store to another folder"
            raise ResourceError(msg) from error
        msg = f"the store's index {home / 'index.sqlite'} is damaged ({error}). Delete the folder {home}; it is rebuilt"
        raise DataError(msg) from error
    finally:
        if connection is not None:
            connection.close()


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the folder's lock, so that two runs never write one store at once; the second waits."""
    with (home / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another run is filling the store %s; waiting for it", home)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _drop_unwritten(home: Path, index: sqlite3.Connection, structures: int) -> None:
    """Forget samples whose bytes are not all there, so that they are made again."""
    meta = dict(index.execute("SELECT name, value FROM meta"))
    if not meta:
        return
    pixels = meta["height"] * meta["width"]
    for depth in (8, 16):
        limits = []
        for kind, bytes_per_row in (("grey", pixels * depth // 8), ("mask", pixels * structures)):
            path = home / f"{kind}{depth}.bin"
            if bytes_per_row:
                limits.append((path.stat().st_size if path.exists() else 0) // bytes_per_row)
        cursor = index.execute("DELETE FROM samples WHERE depth = ? AND row >= ?", (depth, min(limits)))
        if cursor.rowcount:
            log.warning("%d samples of the store %s were cut off; they are made again", cursor.rowcount, home)
    path = home / "published.bin"
    index.execute("DELETE FROM samples WHERE offset + length > ?", (path.stat().st_size if path.exists() else 0,))
    index.commit()


def _keys_of(
    table: SamplesTable,
    sources: Mapping[str, tuple[Source, Path]],
    structures: Sequence[str],
    index: sqlite3.Connection,
) -> NDArray[np.void]:
    """Return the content key of every sample: 16 bytes each."""
    known = {
        path: tuple(rest) for path, *rest in index.execute("SELECT path, size, mtime, ctime, inode, hash FROM files")
    }
    seen: list[tuple[Any, ...]] = []
    missing: list[str] = []
    out = np.zeros(len(table), "V16")
    for i, row in enumerate(table.rows()):
        source, root = sources[row["source"]]
        digest = hashlib.blake2b(digest_size=16)
        fingerprint = source.fingerprint(row)
        if fingerprint is not None:
            digest.update(fingerprint.encode())
        else:
            for name in [row["image"], *(p for s in structures for p in paths_for(row["masks"], s))]:
                digest.update(_file_hash(root / name, known, seen, missing))
        digest.update(source.reading().encode())
        out[i] = np.void(digest.digest())
    if missing:
        msg = (
            f"{len(missing)} files of the samples table cannot be read: {first_five(missing)}. Were they moved or "
            "renamed since the run began? Otherwise check their permissions"
        )
        raise DataError(msg)
    index.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", seen)
    index.commit()
    return out


def _file_hash(
    path: Path, known: Mapping[str, tuple[Any, ...]], seen: list[tuple[Any, ...]], missing: list[str]
) -> bytes:
    """Hash a file's bytes, or take the hash from last time when nothing about the file changed.

    The change time is part of the comparison since the modification time can be set back and it cannot.
    """
    try:
        stat = path.stat()
        now = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        before = known.get(str(path))
        if before is not None and before[:4] == now:
            return bytes(before[4])
        digest = hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    except OSError as error:
        missing.append(f"{path} ({error.strerror or error})")
        return b""
    seen.append((str(path), *now, digest))
    return digest


def _add_missing(
    home: Path,
    index: sqlite3.Connection,
    table: SamplesTable,
    keys: NDArray[np.void],
    sources: Mapping[str, tuple[Source, Path]],
    steps: Mapping[str, Step],
    structures: Sequence[str],
    jobs: int,
    progress: Callable[[int, int], None] | None,
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
    work = (delayed(_prepare)(key, row, *sources[row["source"]], dict(steps), tuple(structures)) for key, row in tasks)
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
    key: bytes, row: Row, source: Source, root: Path, steps: dict[str, Step], structures: tuple[str, ...]
) -> _Entry | str:
    """Decode one sample and run the steps; in a worker. An unusable sample comes back as the text of its error."""
    import cv2

    cv2.setNumThreads(0)
    try:
        radiograph = source.read_image(root, row)
        size = (int(radiograph.pixels.shape[0]), int(radiograph.pixels.shape[1]))
        wanted = [structure for structure in structures if paths_for(row["masks"], structure)]
        masked = bool(structures) and len(wanted) == len(structures)
        reference = source.read_reference(root, row, structures) if masked else None
        masks = reference.masks if reference is not None else np.zeros((len(structures), *size), bool)
        published = masks if masked else masks[:, :0, :0]
        on_grid = masks.astype(np.uint8)
        if masks.shape[1:] != size:
            from lungseg.data.preprocess.resize import resized_masks

            on_grid = resized_masks(on_grid, *size)
        prepared = Prepared(radiograph.pixels, on_grid, Placement(0.0, 0.0, float(size[0]), float(size[1])))
        for name, step in steps.items():
            prepared = step(prepared)
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
        size,
        masked,
        radiograph.bits,
        radiograph.inverted,
        row["source"],
        (reference.files, reference.between, reference.levels) if reference is not None else (0, 0, 0),
    )


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
            image, masks, place = entry.prepared.image, entry.prepared.masks, entry.prepared.placement
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
                    *entry.mask_size, offset, len(entry.published), int(wide.sum()), int((wide * wide).sum()),
                )
            )  # fmt: skip
            offset += len(entry.published)
        marks = ",".join("?" * len(records[0]))
        self.index.executemany(f"INSERT OR REPLACE INTO samples VALUES ({marks})", records)
        self.index.commit()
        self.waiting.clear()


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
