"""The overlays of a run as pictures inside the page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from lungseg.report.blocks import Block, Gallery, Picture, Text
from lungseg.report.reader import Run
from lungseg.report.wording import decimal, part_name, source_name, to_count, to_float

RANKS = {"worst": "Worst", "median": "Median", "best": "Best"}
LARGEST = 720  # pixels on the longer side: enough for a third of a projector's width
Shown = tuple[Mapping[str, Any], str, str]
"""Entry of an index, data URI and path of its picture."""


def overlay_blocks(run: Run) -> tuple[list[Block], list[str]]:
    """The best, median and worst cases of each part, worst first.

    Args:
        run: the run whose overlays/ is read.

    Returns:
        A gallery per part and rank, and a note for each picture that is missing or damaged.
    """
    galleries: dict[tuple[str, str], list[Picture]] = {}
    found, notes = read_pictures(run, run.overlays)
    for entry, uri, path in found:
        key = (str(entry.get("part", "")), str(entry.get("rank", "")))
        galleries.setdefault(key, []).append(_picture(uri, path, entry))
    order = list(RANKS)
    keys = sorted(galleries, key=lambda key: (key[0] != "test", key[0], order.index(key[1]) if key[1] in order else 9))
    blocks: list[Block] = [
        Gallery(f"{RANKS.get(rank, rank or 'Case')} ({part_name(part)})", tuple(galleries[part, rank]))
        for part, rank in keys
    ]
    if blocks:
        blocks.insert(0, Text("Green: outline of the reference mask. Magenta: outline of the prediction."))
    return blocks, notes


def read_pictures(run: Run, entries: Sequence[Mapping[str, Any]]) -> tuple[list[Shown], list[str]]:
    """Read the files that an index lists.

    Args:
        run: the run in whose folder they lie.
        entries: of the index; each names its `file`.

    Returns:
        Entry, data URI and path of each picture, and a note for each that is missing or damaged.
    """
    found: list[Shown] = []
    notes: list[str] = []
    for entry in entries:
        name = str(entry["file"])
        path = run.folder / name
        # only pictures of the run folder itself: an index is a file that anyone may have written
        if not path.resolve().is_relative_to(run.folder.resolve()):
            notes.append(f"{name} lies outside the run folder and was left out.")
            continue
        try:
            found.append((entry, picture_uri(path.read_bytes()), path.as_posix()))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            reason = "it is missing" if isinstance(error, FileNotFoundError) else "it is damaged"
            notes.append(f"{name} was left out: {reason}.")
    return found, notes


def picture_uri(content: bytes) -> str:
    """Turn a PNG into a data URI of a JPEG, no larger than the page can show.

    Args:
        content: a picture file's bytes.

    Returns:
        A `data:image/jpeg` URI; fine outlines are kept by not thinning out the colour.

    Raises:
        OSError: the file is damaged or not a picture.
    """
    with Image.open(io.BytesIO(content)) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((LARGEST, LARGEST))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=88, subsampling=0, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _picture(uri: str, path: str, entry: Mapping[str, Any]) -> Picture:
    dice = to_float(entry.get("dice"))
    place = to_count(entry.get("place"))
    sample, source = str(entry.get("sample_id", "")), str(entry.get("source", ""))
    title = f"Dice {decimal(dice)}" if math.isfinite(dice) else "Dice undefined"
    short = sample.removeprefix(f"{source}/")
    caption = ", ".join(filter(None, [short, source_name(source), f"no. {place}" if place is not None else ""]))
    alt = f"Radiograph {caption} with the outlines of reference and prediction, {title}"
    return Picture(uri=uri, path=path, title=title, caption=caption, alt=alt)
