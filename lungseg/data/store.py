"""The store: every radiograph decoded and preprocessed once, then served as memory-mapped integers.

A store belongs to one recipe (the preprocessing steps and the structures asked for) and may hold samples of any number
of sources. Samples are found by their content: the key of a sample is a hash of the bytes of its files, so a changed
file is a new sample, an unchanged one is never decoded twice, and two data sets that share a file share its row.

Layout of a store's folder:

    recipe.json    what was done to the images, for people
    index.sqlite   sample key -> row, placement, published mask; file -> size, times, hash
    grey8.bin      rows of (H, W) uint8            grey16.bin    rows of (H, W) uint16 (sources deeper than 8 bits)
    mask8.bin, mask16.bin   rows of (K, H, W) uint8, beside the images of that depth: bit 0 = structure; bit 1, in the
                   first plane only, = left out of loss and metrics
    published.bin  the masks at the size they were published, one bit a pixel; a last plane where pixels are left out

Rows are appended and become visible when sqlite commits, so a killed build loses at most the samples of its last few
seconds and the next build goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lungseg.data.guides import Guides, check_guides
from lungseg.data.preprocess.base import Placement, Step
from lungseg.data.sources.base import Source
from lungseg.data.store_index import SCHEMA, content_keys, drop_unwritten, locked, open_index
from lungseg.data.store_writer import add_missing
from lungseg.data.table import SamplesTable
from lungseg.errors import DataError, ResourceError

FORMAT = 2
"""Raised whenever the same recipe would give other pixels, so that no stale store is ever read."""


class Published(NamedTuple):
    """The reference of one sample on the grid it was published on.

    Attributes:
        masks: (K, h, w) bool.
        valid: (h, w) bool, False = left out of metrics, or None where every pixel counts.
        placement: of the published image on the network's grid.
        image_size: (height, width) of the radiograph's file, pixels.
    """

    masks: NDArray[np.bool_]
    valid: NDArray[np.bool_] | None
    placement: Placement
    image_size: tuple[int, int]


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
        left_out: NDArray[np.bool_],
        overlaps: NDArray[np.bool_],
    ) -> None:
        self.folder = folder
        self.structures = tuple(structures)
        self.rows = rows
        self.depths = depths
        self.masked = masked
        self.overlaps = overlaps
        self.leaves_out = bool(left_out.any())
        with open_index(folder) as index:
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
        guides: Guides | None = None,
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
            guides: where the lung masks of steps that want one come from; None = no step wants any.

        Raises:
            DataError: files that cannot be read (all of them are tried; the good ones stay in the store), steps that
                leave images of different sizes, a table without samples, or radiographs without the lung mask that a
                step wants.
            ResourceError: the folder cannot be written or is full.
        """
        if not len(table):
            msg = "the samples table is empty, so there is nothing to prepare; see data.sources"
            raise DataError(msg)
        if guides is not None:
            check_guides(table, guides)
        recipe = describe(steps, structures)
        home = Path(folder) / hashlib.sha256(recipe.encode()).hexdigest()[:16]
        try:
            home.mkdir(parents=True, exist_ok=True)
            (home / "recipe.json").write_text(json.dumps(json.loads(recipe), indent=2) + "\n")
            with locked(home), open_index(home) as index:
                index.executescript(SCHEMA)
                drop_unwritten(home, index, len(structures))
                keys = content_keys(table, sources, structures, index, guides)
                add_missing(home, index, table, keys, sources, steps, structures, jobs, progress, guides)
                return cls._open(home, structures, keys, index)
        except OSError as error:
            msg = f"the store {home} cannot be written: {error}. Free some space or set paths.store to another folder"
            raise ResourceError(msg) from error

    @classmethod
    def _open(cls, home: Path, structures: Sequence[str], keys: NDArray[np.void], index: sqlite3.Connection) -> Store:
        rows = np.zeros(len(keys), np.int64)
        depths = np.zeros(len(keys), np.uint8)
        masked, left_out, overlaps = (np.zeros(len(keys), bool) for _ in range(3))
        for start in range(0, len(keys), 500):
            wanted = [bytes(key) for key in keys[start : start + 500]]
            marks = ",".join("?" * len(wanted))
            found = {
                key: rest
                for key, *rest in index.execute(
                    f"SELECT key, row, depth, masked, left_out > 0, overlap > 0 FROM samples WHERE key IN ({marks})",
                    wanted,
                )
            }
            for i, key in enumerate(wanted, start):
                rows[i], depths[i], masked[i], left_out[i], overlaps[i] = found[key]
        return cls(
            home, structures=structures, rows=rows, depths=depths, masked=masked, left_out=left_out, overlaps=overlaps
        )

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
        """Gather what moves with the images, on the network's grid: (B, P, H, W) uint8 in {0, 1}.

        P = K, the structures; or K + 1 where a sample of the table leaves pixels out: the last plane is 1 at these.
        """
        stored = self._stored_masks(np.asarray(positions))
        if not self.leaves_out:
            return stored
        return np.concatenate([stored & 1, stored[:, :1] >> 1], axis=1)

    def _stored_masks(self, at: NDArray[np.int64]) -> NDArray[np.uint8]:
        if self.dtype == np.uint8:
            gathered: NDArray[np.uint8] = self._array("mask", 8)[self.rows[at]]
            return gathered
        out = np.empty((len(at), len(self.structures), *self.size), np.uint8)
        for i, position in enumerate(at):
            out[i] = self._array("mask", int(self.depths[position]))[self.rows[position]]
        return out

    def published(self, position: int) -> Published:
        """Return one sample's reference as published."""
        with open_index(self.folder) as index:
            found = index.execute(
                "SELECT mask_height, mask_width, planes, offset, length, top, left, height, width, image_height,"
                " image_width FROM samples WHERE depth = ? AND row = ?",
                (int(self.depths[position]), int(self.rows[position])),
            ).fetchone()
        height, width, planes, offset, length, *rest = found
        with (self.folder / "published.bin").open("rb") as file:
            file.seek(offset)
            packed = np.frombuffer(file.read(length), np.uint8)
        bits = np.unpackbits(packed, count=planes * height * width).view(bool).reshape(planes, height, width)
        k = len(self.structures)
        valid = ~bits[k] if planes > k else None
        return Published(bits[:k], valid, Placement(*rest[:4]), (int(rest[4]), int(rest[5])))

    def mean_and_std(self, positions: NDArray[np.int64]) -> tuple[float, float]:
        """Return mean and standard deviation over all pixels of some samples, on the [0, 1] scale.

        Per-image sums are kept from the build, so this reads no image.
        """
        pixels = self.size[0] * self.size[1]
        mean = square = 0.0
        with open_index(self.folder) as index:
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

    def kept(self, positions: NDArray[np.int64] | Sequence[int]) -> NDArray[np.float32]:
        """Return the share of each image's pixels that a step which takes pixels away left as they were.

        Returns:
            (B,) float32 in [0, 1]; NaN where no step of the store takes any away.
        """
        out = np.full(len(positions), np.nan, np.float32)
        with open_index(self.folder) as index:
            for i, position in enumerate(positions):
                found = index.execute(
                    "SELECT share FROM kept JOIN samples USING (key) WHERE depth = ? AND row = ?",
                    (int(self.depths[position]), int(self.rows[position])),
                ).fetchone()
                if found is not None:
                    out[i] = found[0]
        return out

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
