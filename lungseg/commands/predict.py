"""Segment radiographs: masks at their own size, overlays and a table of areas."""

from __future__ import annotations

import csv
import logging
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lungseg import build
from lungseg.errors import ConfigError, DataError, ResourceError, first_five
from lungseg.overlay import draw_overlay
from lungseg.predictor import Prediction, Predictor
from lungseg.run_folder import recording

log = logging.getLogger(__name__)

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".img")
COLUMNS = ("file", "structure", "area_pixels", "area_share", "height", "width", "mean_probability", "mask", "error")


def run(cfg: dict[str, Any]) -> int:
    """Run the verb.

    Returns:
        0.

    Raises:
        DataError: some radiographs could not be read; all others were written first.
    """
    with recording(cfg) as folder:
        output = Path(cfg["output"]).expanduser() if cfg.get("output") else folder
        files = radiographs(Path(cfg["input"]).expanduser(), output)
        predictor = build.predictor(cfg["checkpoint"], device=cfg["device"], threshold=cfg["threshold"])
        predict(predictor, files, output, overlay=cfg["overlay"], batch_size=cfg["batch_size"])
    return 0


def radiographs(place: Path, output: Path) -> list[tuple[Path, str]]:
    """Return (file, its name relative to the folder asked for), sorted; what was written to `output` is left out.

    Raises:
        ConfigError: there is no such file or folder, or no image in it.
    """
    if place.is_file():
        return [(place, place.name)]
    if not place.is_dir():
        msg = f"input={place} is neither a file nor a folder"
        raise ConfigError(msg)
    ours = [output.absolute() / name for name in ("masks", "overlays")]
    found = sorted(
        path
        for path in place.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(path.absolute().is_relative_to(folder) for folder in ours)
    )
    if not found:
        msg = f"input={place} holds no image file ({', '.join(SUFFIXES)})"
        raise ConfigError(msg)
    return [(path, path.relative_to(place).as_posix()) for path in found]


def stems(names: list[str]) -> dict[str, str]:
    """Return what the files written for each name begin with: the name without its suffix, where that is its own.

    Example:
        >>> stems(["a.png", "b.png", "b.jpg"])
        {'a.png': 'a', 'b.png': 'b.png', 'b.jpg': 'b.jpg'}
    """
    short = {name: str(Path(name).with_suffix("")) for name in names}
    taken = Counter(short.values())
    return {name: stem if taken[stem] == 1 else name for name, stem in short.items()}


def predict(
    predictor: Predictor, files: list[tuple[Path, str]], output: Path, *, overlay: bool, batch_size: int
) -> None:
    """Write masks, overlays and areas.csv; each row is on the disk before the next image is read.

    Raises:
        DataError: files that could not be read, after all others were done.
        ResourceError: the output folder cannot be written.
    """
    began = time.monotonic()
    broken: list[str] = []
    stem = stems([name for _, name in files])
    try:
        output.mkdir(parents=True, exist_ok=True)
        with (output / "areas.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            for chunk in _chunks(files, batch_size):
                for (_, name), found in zip(chunk, _segment(predictor, chunk), strict=True):
                    if isinstance(found, DataError):
                        broken.append(name)
                        log.error("%s", found)
                        writer.writerow({"file": name, "error": str(found)})
                    else:
                        writer.writerows(_write(output, name, stem[name], found, overlay=overlay))
                file.flush()
    except OSError as error:
        msg = f"{output} cannot be written ({error}). Give another folder with output="
        raise ResourceError(msg) from error
    done = len(files) - len(broken)
    log.info("%d radiographs segmented in %.1f s: %s", done, time.monotonic() - began, output)
    if broken:
        msg = (
            f"{len(broken)} of {len(files)} files could not be read: {first_five(broken)}. The reasons are in "
            f"{output / 'areas.csv'}; the others are done"
        )
        raise DataError(msg)


def _chunks(files: list[tuple[Path, str]], size: int) -> Iterator[list[tuple[Path, str]]]:
    for start in range(0, len(files), max(1, size)):
        yield files[start : start + max(1, size)]


def _segment(predictor: Predictor, chunk: list[tuple[Path, str]]) -> list[Prediction | DataError]:
    """Segment a chunk; when one file is broken, the others are done one by one."""
    try:
        return list(predictor.many([path for path, _ in chunk]))
    except DataError as error:
        if len(chunk) == 1:
            return [error]
        return [result for item in chunk for result in _segment(predictor, [item])]


def _write(output: Path, name: str, stem: str, found: Prediction, *, overlay: bool) -> list[dict[str, Any]]:
    rows = []
    for structure, mask in found.masks.items():
        path = output / "masks" / f"{stem}_{structure}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        _save(path, mask.astype(np.uint8) * 255)
        inside = found.probabilities[structure][mask]
        rows.append(
            {
                "file": name,
                "structure": structure,
                "area_pixels": found.area_pixels(structure),
                "area_share": round(float(mask.mean()), 6),
                "height": mask.shape[0],
                "width": mask.shape[1],
                "mean_probability": round(float(inside.mean()), 4) if inside.size else "",
                "mask": path.relative_to(output).as_posix(),
                "error": "",
            }
        )
    if overlay:
        path = output / "overlays" / f"{stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        _save(path, draw_overlay(found.image, np.stack(list(found.masks.values())), None))
    return rows


def _save(path: Path, picture: np.ndarray) -> None:
    """Write a PNG; cv2.imwrite says nothing but False when the disk is full."""
    if not cv2.imwrite(str(path), picture):
        msg = f"{path} could not be written"
        raise OSError(msg)
