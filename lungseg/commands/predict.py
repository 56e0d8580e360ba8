"""Segment radiographs: masks at their own size, overlays and a table of areas; or classify them: a table of labels."""

from __future__ import annotations

import csv
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from lungseg import build
from lungseg.classifier import Classification, Classifier
from lungseg.errors import ConfigError, DataError, ResourceError, first_five
from lungseg.overlay import draw_overlay
from lungseg.predictor import Prediction, Predictor
from lungseg.remote import settings
from lungseg.remote.delivery import delivering
from lungseg.remote.path import place
from lungseg.run_folder import recording

log = logging.getLogger(__name__)
Found = TypeVar("Found")

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
        settings.use(cfg["paths"])
        target = place(cfg["output"]).expanduser() if cfg.get("output") else folder
        files = radiographs(place(cfg["input"]).expanduser(), target)
        with delivering(target, folder / "output") as output:
            predictor = build.predictor(cfg["checkpoint"], device=cfg["device"], threshold=cfg["threshold"])
            if isinstance(predictor, Classifier):
                classify(predictor, files, output, batch_size=cfg["batch_size"])
            else:
                predict(predictor, files, output, overlay=cfg["overlay"], batch_size=cfg["batch_size"])
    return 0


def radiographs(where: Path, output: Path) -> list[tuple[Path, str]]:
    """Return (file, its name relative to the folder asked for), sorted; what was written to `output` is left out.

    Raises:
        ConfigError: there is no such file or folder, or no image in it.
    """
    if where.is_file():
        return [(where, where.name)]
    if not where.is_dir():
        msg = f"input={where} is neither a file nor a folder"
        raise ConfigError(msg)
    ours = [output.absolute() / name for name in ("masks", "overlays")]
    found = sorted(
        path
        for path in where.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(path.absolute().is_relative_to(folder) for folder in ours)
    )
    if not found:
        msg = f"input={where} holds no image file ({', '.join(SUFFIXES)})"
        raise ConfigError(msg)
    return [(path, path.relative_to(where).as_posix()) for path in found]


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
    stem = stems([name for _, name in files])

    def rows(name: str, found: Prediction) -> list[dict[str, Any]]:
        return _write(output, name, stem[name], found, overlay=overlay)

    _table(files, output / "areas.csv", COLUMNS, predictor.many, rows, batch_size=batch_size, done="segmented")


def classify(classifier: Classifier, files: list[tuple[Path, str]], output: Path, *, batch_size: int) -> None:
    """Write labels.csv: a row for each radiograph, on the disk before the next one is read.

    Columns: file, `p_<class>` (probability), predicted (the most probable class; labels joined by `|`), flag (why the
    picture may be no frontal chest radiograph, empty where nothing speaks against it), error.

    Raises:
        DataError: files that could not be read, after all others were done.
        ResourceError: the output folder cannot be written.
    """
    flagged: list[str] = []

    def rows(name: str, found: Classification) -> list[dict[str, Any]]:
        if found.doubts:
            flagged.append(name)
        chances = {f"p_{of}": f"{chance:.6f}" for of, chance in found.probabilities.items()}
        return [{"file": name, **chances, "predicted": found.predicted, "flag": "; ".join(found.doubts), "error": ""}]

    columns = ("file", *(f"p_{name}" for name in classifier.classes), "predicted", "flag", "error")
    _table(files, output / "labels.csv", columns, classifier.many, rows, batch_size=batch_size, done="classified")
    if flagged:
        log.warning(
            "%d of %d pictures may be no frontal chest radiographs: %s. The column flag of %s says why; what is "
            "predicted for them means nothing if so",
            len(flagged),
            len(files),
            first_five(flagged),
            output / "labels.csv",
        )


def _table(
    files: list[tuple[Path, str]],
    path: Path,
    columns: Sequence[str],
    many: Callable[[list[Path]], list[Found]],
    rows: Callable[[str, Found], list[dict[str, Any]]],
    *,
    batch_size: int,
    done: str,
) -> None:
    """Run `many` over the files in chunks and write its results, by `rows`, into a CSV file."""
    began = time.monotonic()
    broken: list[str] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            for chunk in _chunks(files, batch_size):
                each: list[Found | DataError] = _each(many, chunk)
                for (_, name), found in zip(chunk, each, strict=True):
                    if isinstance(found, DataError):
                        broken.append(name)
                        log.error("%s", found)
                        writer.writerow({"file": name, "error": str(found)})
                    else:
                        writer.writerows(rows(name, found))
                file.flush()
    except OSError as error:
        msg = f"{path.parent} cannot be written ({error}). Give another folder with output="
        raise ResourceError(msg) from error
    log.info("%d radiographs %s in %.1f s: %s", len(files) - len(broken), done, time.monotonic() - began, path.parent)
    if broken:
        msg = (
            f"{len(broken)} of {len(files)} files could not be read: {first_five(broken)}. The reasons are in "
            f"{path}; the others are done"
        )
        raise DataError(msg)


def _chunks(files: list[tuple[Path, str]], size: int) -> Iterator[list[tuple[Path, str]]]:
    for start in range(0, len(files), max(1, size)):
        yield files[start : start + max(1, size)]


def _each(many: Callable[[list[Path]], list[Found]], chunk: list[tuple[Path, str]]) -> list[Found | DataError]:
    """Do a chunk; when one file is broken, the others are done one by one."""
    try:
        return list(many([path for path, _ in chunk]))
    except DataError as error:
        if len(chunk) == 1:
            return [error]
        return [result for item in chunk for result in _each(many, [item])]


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
