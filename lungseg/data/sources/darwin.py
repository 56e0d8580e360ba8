"""What V7 Darwin exports: annotation files of versions 1 and 2 (tags and polygons), and label maps."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.decode import decode
from lungseg.data.io import read_bytes
from lungseg.errors import DataError, first_five

LUNG, IGNORE = 255, 127
"""Levels that V7's own export writes for its two polygon classes; background is 0."""
_LEVELS = {"lung": LUNG, "lungs": LUNG, "ignore": IGNORE}
_SHIFT = 4  # polygons are drawn to a sixteenth of a pixel
_FARTHEST = 1e6
_URL_ID = re.compile(r"/images/(\d+)(?:/|$)")
_AREAS = ("bounding_box", "ellipse", "mask", "raster_layer", "frames")


@dataclass(frozen=True)
class Polygon:
    """One annotated area; a pixel inside an odd number of paths belongs to it, so that paths can be holes.

    Attributes:
        level: `LUNG` or `IGNORE`.
        paths: (n, 2) float64 arrays of (x, y) in pixels, integers at pixel centres.
    """

    level: int
    paths: tuple[NDArray[np.float64], ...]


@dataclass(frozen=True)
class DarwinFile:
    """Content of an annotation file.

    Attributes:
        names: Names the image may have, the most telling first.
        ids: Names a mask exported for it may have, without ending.
        size: (height, width) of the image where the file says it.
        tags: Tags such as `View/PA` or `Age:53`.
        polygons: In the order of the file; a later one lies over an earlier one.
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]
    size: tuple[int, int] | None
    tags: tuple[str, ...]
    polygons: tuple[Polygon, ...]


def read_darwin(path: Path) -> DarwinFile | None:
    """Read an annotation file of version 1 (`image`) or 2 (`item`).

    Of an item with several slots the first is taken, with the annotations that name it or no slot.

    Returns:
        What it says, or None where it is a JSON file of another kind, such as COCO's.

    Raises:
        DataError: The file is damaged, or an area in it is neither Lung nor Ignore or no polygon.
    """
    try:
        content = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        msg = f"{path} is no JSON file ({error}); export or unpack it again"
        raise DataError(msg) from error
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        return None
    first, second = content.get("image"), content.get("item")
    if not isinstance(first, dict) and not isinstance(second, dict):
        return None
    try:
        names, place, slot = _second(second) if isinstance(second, dict) else (*_first(first), None)
        height, width = place.get("height"), place.get("width")
        size = (int(height), int(width)) if height and width else None
        tags: list[str] = []
        polygons: list[Polygon] = []
        for annotation in content["annotations"]:
            slots = annotation.get("slot_names")
            if slot is not None and slots and slot not in slots:
                continue
            if "tag" in annotation:
                tags.append(str(annotation["name"]))
            elif (polygon := _polygon(path, annotation)) is not None:
                polygons.append(polygon)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        msg = f"{path} is no annotation file as V7 Darwin writes it ({type(error).__name__}: {error}); export it again"
        raise DataError(msg) from error
    number = _URL_ID.search(str(place.get("url") or ""))
    ids = dict.fromkeys([path.stem, *([number.group(1)] if number else [])])
    return DarwinFile(tuple(dict.fromkeys(names)), tuple(ids), size, tuple(tags), tuple(polygons))


def draw(polygons: Iterable[Polygon], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw polygons one over the other: (height, width) uint8 of 0, `IGNORE` and `LUNG`.

    Edges belong to an area, holes' edges too, as in V7's own export: on the 46 published annotation files that lungseg
    was tried on, 44 maps are equal to the exported masks and two differ by 5 and 6 pixels.

    Example:
        >>> square = np.array([[1, 1], [3, 1], [3, 3], [1, 3]], dtype=float)
        >>> int((draw([Polygon(LUNG, (square,))], (8, 8)) == LUNG).sum())
        9
    """
    canvas = np.zeros(size, dtype=np.uint8)
    for polygon in polygons:
        paths = [np.round(path * (1 << _SHIFT)).astype(np.int32) for path in polygon.paths]
        cv2.fillPoly(canvas, paths, polygon.level, lineType=cv2.LINE_8, shift=_SHIFT)
    return canvas


def read_label_map(path: Path) -> NDArray[np.uint8]:
    """Read a semantic mask of the V7 set: (h, w) uint8 of 0, 127 and 255.

    Raises:
        DataError: The file is damaged, has colours, or holds another level.
    """
    pixels = decode(read_bytes(path), path).pixels
    if pixels.ndim == 3 and (pixels == pixels[:, :, :1]).all():
        pixels = pixels[:, :, 0]
    unknown = [level for level in levels_of(pixels) if level not in (0, IGNORE, LUNG)] if pixels.ndim == 2 else []
    if pixels.ndim == 3 or unknown:
        what = "colours" if pixels.ndim == 3 else f"the levels {first_five(unknown)}"
        msg = (
            f"{path} holds {what}; a mask of this set has 0 (background), {IGNORE} (Ignore) and {LUNG} (Lung) only. "
            "Take the masks as published, without resizing, or use data=folder for masks of your own"
        )
        raise DataError(msg)
    return pixels.astype(np.uint8)


def levels_of(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> list[int]:
    """The levels found in a grey picture, lowest first."""
    bins = 1 << 8 * pixels.dtype.itemsize
    # a histogram takes a hundredth of the time of np.unique, which sorts
    found: list[int] = np.flatnonzero(cv2.calcHist([pixels], [0], None, [bins], [0, bins])).tolist()
    return found


def _first(image: Any) -> tuple[list[str], Mapping[str, Any]]:
    """Names and the place of size and address, version 1."""
    return [str(image[key]) for key in ("original_filename", "filename") if image.get(key)], image


def _second(item: Mapping[str, Any]) -> tuple[list[str], Mapping[str, Any], str | None]:
    """Names, the place of size and address, and the slot, version 2."""
    slots = item.get("slots") or [{}]
    slot = slots[0]
    files = slot.get("source_files") or []
    names = [str(file["file_name"]) for file in files if file.get("file_name")]
    if item.get("name"):
        names.append(str(item["name"]))
    place = {"url": files[0].get("url") if files else None, "height": slot.get("height"), "width": slot.get("width")}
    return names, place, slot.get("slot_name")


def _polygon(path: Path, annotation: Mapping[str, Any]) -> Polygon | None:
    """An annotated area, or None for what is none (text, keypoint, line)."""
    name = str(annotation["name"])
    body = annotation.get("polygon") or annotation.get("complex_polygon")
    if body is None:
        other = next((kind for kind in _AREAS if annotation.get(kind)), None)
        if other is not None and name.lower() in _LEVELS:
            msg = f"{path} marks {name!r} by a {other}, not by a polygon; export polygons, or the masks as PNG files"
            raise DataError(msg)
        return None
    if name.lower() not in _LEVELS:
        msg = (
            f"{path} holds a polygon of {name!r}; the classes of this set are Lung and Ignore. Take the annotations "
            "as published, or export your own as masks for data=folder"
        )
        raise DataError(msg)
    found = body.get("paths") or body["path"]
    paths = list(found) if isinstance(found[0], list) else [found]
    paths += body.get("additional_paths") or []
    return Polygon(_LEVELS[name.lower()], tuple(_points(path, name, points) for points in paths))


def _points(path: Path, name: str, points: list[Mapping[str, Any]]) -> NDArray[np.float64]:
    found = np.array([(float(point["x"]), float(point["y"])) for point in points], dtype=np.float64).reshape(-1, 2)
    wrong = [f"({x:g}, {y:g})" for x, y in found if not (math.isfinite(x + y) and max(abs(x), abs(y)) < _FARTHEST)]
    if wrong or len(found) < 3:
        what = f"the points {first_five(wrong)}" if wrong else f"{len(found)} points"
        msg = f"{path}: a polygon of {name!r} has {what}; it needs three or more, in pixels of the image"
        raise DataError(msg)
    return found
