"""Lung masks drawn by a segmentation network, kept in a folder so that each is drawn once."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.guides import FORMAT, MANIFEST, STRUCTURE, FolderGuides, read_manifest
from lungseg.data.io import content_hash
from lungseg.data.sources.base import Source
from lungseg.data.store_index import locked
from lungseg.data.structures import UNIONS
from lungseg.data.table import SamplesTable
from lungseg.errors import CheckpointError, DataError, ResourceError, first_five
from lungseg.remote.path import RemotePath
from lungseg.run_folder import write_json
from lungseg.types import Row

log = logging.getLogger(__name__)

CHUNK = 64
"""Radiographs between two writings of the manifest."""


class Segmented(Protocol):
    """What a segmenter returns for a radiograph."""

    @property
    def masks(self) -> dict[str, NDArray[np.bool_]]:
        """Structure -> (h, w) bool."""
        ...


class Segmenter(Protocol):
    """The part of `lungseg.predictor.Predictor` that is needed here."""

    structures: tuple[str, ...]
    record: dict[str, Any]

    def many(self, images: Sequence[Any], *, inverted: bool = False) -> Sequence[Segmented]:
        """Segment several radiographs."""
        ...


class Drawn(NamedTuple):
    """A radiograph whose mask was drawn, or has to be."""

    row: Row
    content: str
    file: str


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_segmenter(segmenter: Segmenter, name: str) -> None:
    """Refuse a checkpoint that draws no lungs.

    Args:
        segmenter: loaded from it.
        name: of the checkpoint, for the message.

    Raises:
        CheckpointError: it draws neither the lungs nor both of them.
    """
    if STRUCTURE not in segmenter.structures and not set(UNIONS[STRUCTURE]) <= set(segmenter.structures):
        msg = (
            f"{name} draws {', '.join(segmenter.structures) or 'nothing'} and no lungs; give a checkpoint of a "
            "segmentation run with data.structures=[lungs]"
        )
        raise CheckpointError(msg)


def lungs_in(found: Segmented) -> NDArray[np.bool_]:
    """Return the lungs of a segmented radiograph, (h, w) bool; both sides joined where they are apart."""
    if STRUCTURE in found.masks:
        return found.masks[STRUCTURE]
    first, *others = (found.masks[side] for side in UNIONS[STRUCTURE])
    for side in others:
        first = first | side
    return first


def refuse_seen(segmenter: Segmenter, homes: Mapping[str, tuple[Source, Path]], name: str) -> None:
    """Refuse masks from a network that was trained on the radiographs themselves.

    It draws those it was trained on better than others, and a classifier could tell them by that.

    Args:
        segmenter: loaded from the checkpoint.
        homes: name -> (source, root) of the sets whose masks are wanted.
        name: of the checkpoint, for the message.

    Raises:
        CheckpointError: names the sets.
    """
    trained = set(segmenter.record.get("trained_on", []))
    shared = sorted(
        set_name for set_name, (source, _) in homes.items() if trained & {set_name, *source.shares_patients_with}
    )
    if shared:
        msg = (
            f"{name} was trained on {', '.join(sorted(trained))}, which holds patients of {', '.join(shared)}: the "
            "radiographs it has seen would get better masks than the others. Take a segmentation net that was trained "
            "on other sets"
        )
        raise CheckpointError(msg)


def predict_masks(
    segmenter: Segmenter,
    table: SamplesTable,
    homes: Mapping[str, tuple[Source, Path]],
    folder: Path,
    *,
    checkpoint: Path,
    allow_seen: bool = False,
    batch_size: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> FolderGuides:
    """Draw the lungs in every radiograph of a table, once.

    The folder gets one PNG a sample (0 and 255, at the radiograph's own size), named after the sample's id, and a
    manifest: for each id the file, the SHA-256 of the checkpoint file and what the radiograph was. A sample whose
    radiograph or checkpoint has changed is drawn again; a stopped run goes on where it was. Of several processes one
    draws, and the others wait for it.

    Args:
        segmenter: the loaded checkpoint.
        table: the samples.
        homes: name -> (source, its root).
        folder: to write into; made if it is not there.
        checkpoint: the file that `segmenter` was loaded from.
        allow_seen: also draw sets that the network was trained on.
        batch_size: radiographs in one pass through the network.
        progress: called with (radiographs done, radiographs to do).

    Raises:
        CheckpointError: the network draws no lungs, or was trained on these sets.
        DataError: radiographs that cannot be read, after all others were drawn.
        ResourceError: the folder cannot be written.
    """
    check_segmenter(segmenter, str(checkpoint))
    if not allow_seen:
        refuse_seen(segmenter, homes, str(checkpoint))
    digest = sha256_of(checkpoint)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            entries: dict[str, Any] = read_manifest(folder)["masks"] if (folder / MANIFEST).exists() else {}
            todo = [item for item in _wanted(table, homes) if not _is_there(folder, entries, item, digest)]
            broken: list[str] = []
            stale = [item for item in todo if entries.pop(item.row["sample_id"], None) is not None]
            if stale:  # before their files are written over
                write_json(folder / MANIFEST, {"format": FORMAT, "masks": entries})
            if todo:
                log.info("lung masks of %d of %d radiographs to draw into %s", len(todo), len(table), folder)
            for start in range(0, len(todo), CHUNK):
                chunk = todo[start : start + CHUNK]
                _draw(segmenter, chunk, homes, folder, digest, entries, batch_size, broken)
                write_json(folder / MANIFEST, {"format": FORMAT, "masks": entries})
                if progress is not None:
                    progress(start + len(chunk), len(todo))
    except OSError as error:
        msg = f"{folder} cannot be written ({error}). Free some space or set paths.store to another folder"
        raise ResourceError(msg) from error
    if broken:
        msg = f"{len(broken)} of {len(table)} radiographs cannot be read, so they got no mask: {first_five(broken)}"
        raise DataError(msg)
    wanted = set(table.column("sample_id").to_pylist())
    masks = {name: (str(e["file"]), str(e["checkpoint"])) for name, e in entries.items() if name in wanted}
    return FolderGuides(folder.absolute(), masks)


def _wanted(table: SamplesTable, homes: Mapping[str, tuple[Source, Path]]) -> list[Drawn]:
    return [
        Drawn(row, _content(row, *homes[row["source"]]), f"{quote(row['sample_id'], safe='')}.png")
        for row in table.rows()
    ]


def _content(row: Row, source: Source, root: Path) -> str:
    """Say what a radiograph is: its source's own text, or place, size and time of its file."""
    said = source.fingerprint(row)
    if said is None:
        path = root / row["image"]
        try:
            if isinstance(path, RemotePath):
                said = path.version() or content_hash(path)
            else:
                stat = path.stat()
                said = f"{path} {stat.st_size} {stat.st_mtime_ns}"
        except OSError:
            return f"{path} is not there"
    return hashlib.blake2b(f"{said} {source.reading()}".encode(), digest_size=12).hexdigest()


def _is_there(folder: Path, entries: Mapping[str, Any], item: Drawn, digest: str) -> bool:
    entry = entries.get(item.row["sample_id"])
    return (
        entry is not None
        and entry["checkpoint"] == digest
        and entry.get("radiograph") == item.content
        and (folder / entry["file"]).is_file()
    )


def _draw(
    segmenter: Segmenter,
    chunk: Sequence[Drawn],
    homes: Mapping[str, tuple[Source, Path]],
    folder: Path,
    digest: str,
    entries: dict[str, Any],
    batch_size: int,
    broken: list[str],
) -> None:
    for start in range(0, len(chunk), max(1, batch_size)):
        read: list[Drawn] = []
        pixels: list[NDArray[Any]] = []
        for item in chunk[start : start + max(1, batch_size)]:
            source, root = homes[item.row["source"]]
            try:
                pixels.append(source.read_image(root, item.row).pixels)
            except DataError as error:
                broken.append(f"{item.row['sample_id']} ({error})")
            else:
                read.append(item)
        for item, found in zip(read, segmenter.many(pixels), strict=True):
            png = cv2.imencode(".png", lungs_in(found).astype(np.uint8) * np.uint8(255))[1]
            # one whose writing was cut off is not in the manifest, and drawn again
            (folder / item.file).write_bytes(png.tobytes())
            entries[item.row["sample_id"]] = {"file": item.file, "checkpoint": digest, "radiograph": item.content}
