"""The layouts of the COVID-19 sets: V7 with label maps and Darwin JSON, Qatar's database, COVID-QU-Ex."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.phantom.layout_writer import Item, Mask, Writer, mask_png, write_png

_LUNG, _IGNORE, _UNKNOWN = 255, 127, 64
_FIRST_ID = 1676192
_SMALLEST = 9  # pixels: a speck below this has no outline to speak of
_QATAR = ("COVID", "Normal", "Viral Pneumonia", "Lung_Opacity")
_QATAR_MASK, _QATAR_IMAGE = 256, 299
_QU_EX = {"COVID-19": "covid_{}", "Non-COVID": "non_COVID ({})", "Normal": "Normal ({})"}
_QU_EX_PARTS = ("Train", "Train", "Val", "Test")


def write_v7(writer: Writer, items: list[Item]) -> Path:
    """Write the V7 set with PNG label maps and Darwin JSON of version 1."""
    return _v7(writer, items, version=1, maps=True)


def write_v7_json(writer: Writer, items: list[Item]) -> Path:
    """Write the V7 set with Darwin JSON of version 1 only."""
    return _v7(writer, items, version=1, maps=False)


def write_v7_v2(writer: Writer, items: list[Item]) -> Path:
    """Write the V7 set with Darwin JSON of version 2 only, named as the images."""
    return _v7(writer, items, version=2, maps=False)


def _v7(writer: Writer, items: list[Item], *, version: Literal[1, 2], maps: bool) -> Path:
    """Odd numbers are adults with tags, even ones children whose file name says all.

    Of eight, the second has Ignore in it, the third is a lateral view, the fourth has a lung with a hole, the fifth is
    an RGBA file, and the sixth is a CT slice.
    """
    top = writer.root
    for item in items:
        turn = item.number % 8
        kind = {3: "lateral", 6: "ct"}.get(turn)
        adult = bool(item.number % 2) or kind is not None
        cause = "bacteria" if item.facts.label == "lobar" else "virus"
        stem = f"{16000 + item.number}_1_1" if adult else f"person{item.facts.subject_id[1:]}_{cause}_{item.number}"
        writer.image(top / "images" / f"{stem}.png", item, transparent=turn == 5)
        areas: list[tuple[str, Mask]] = []
        if kind is not None:
            writer.bare.append(stem)
        elif writer.wants_mask(stem, item):
            areas = _areas(item, hole=turn == 4, ignore=turn == 2)
            if "all_ignore" in writer.nasty and item.number == 1:
                areas = [("Ignore", np.ones_like(item.lungs))]
            if "unknown_class" in writer.nasty and item.number == 1:
                areas.append(("Heart", item.masks["heart"]))
        number = _FIRST_ID + item.number
        if maps and (areas or kind is not None):
            write_png(top / "annotations" / "all-images-semantic-masks" / f"{number}.png", _label_map(item, areas))
        tags = _tags(item, kind) if adult else [{"bacteria": "Bacterial", "virus": "Viral"}[cause] + " Pneumonia"]
        shape = item.lungs.shape
        content = _first(stem, number, shape, tags, areas) if version == 1 else _second(stem, shape, tags, areas)
        name = f"all-images/{number}.json" if version == 1 else f"{stem}.json"
        writer.text(top / "annotations" / name, json.dumps(content))
    return top


def _areas(item: Item, *, hole: bool, ignore: bool) -> list[tuple[str, Mask]]:
    """Lungs with the part behind the heart, one after the other; then Ignore, which lies over them."""
    right, left, heart = (item.masks[name] for name in ("right_lung", "left_lung", "heart"))
    columns = np.arange(right.shape[1])
    spine = (np.nonzero(right)[1].mean() + np.nonzero(left)[1].mean()) / 2
    right, left = right | (heart & (columns < spine - 1)), left | (heart & (columns > spine + 1))
    if hole:
        left = left & ~_box(left, 12)
    areas = [("Lung", _without_specks(right)), ("Lung", _without_specks(left))]
    if ignore:
        areas.append(("Ignore", _box(right, 8)))
    return areas


def _box(mask: Mask, share: int) -> Mask:
    """A box around the middle of a mask, its half sides this share of the picture's height."""
    (row, column), reach = (int(axis.mean()) for axis in np.nonzero(mask)), max(2, mask.shape[0] // share)
    box = np.zeros_like(mask)
    box[max(row - reach, 0) : row + reach, max(column - reach, 0) : column + reach] = True
    return box


def _without_specks(mask: Mask) -> Mask:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    kept = stats[:, cv2.CC_STAT_AREA] >= _SMALLEST
    kept[0] = False
    return np.asarray(kept[labels])


def _label_map(item: Item, areas: list[tuple[str, Mask]]) -> NDArray[np.uint8]:
    levels = np.zeros(item.lungs.shape, np.uint8)
    for name, mask in areas:
        levels[mask] = {"Lung": _LUNG, "Ignore": _IGNORE, "Heart": _UNKNOWN}[name]
    return levels


def _tags(item: Item, kind: str | None) -> list[str]:
    view = {"lateral": "Lateral", "ct": "Axial"}.get(kind or "", "AP_Supine" if item.facts.view == "AP" else "PA")
    return [
        "CT" if kind == "ct" else "X-ray",
        f"View/{view}",
        "Viral Pneumonia",
        "COVID-19",
        f"Age:{item.facts.age}",
        f"Sex/{item.facts.sex}",
        f"PatientID:{int(item.facts.subject_id[1:])}",
    ]


def _paths(mask: Mask) -> list[list[dict[str, float]]]:
    """Outlines of a mask and of its holes, through the centres of pixels that belong to it."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [[{"x": float(x), "y": float(y)} for x, y in path[:, 0]] for path in found]


def _first(
    stem: str, number: int, shape: tuple[int, ...], tags: list[str], areas: list[tuple[str, Mask]]
) -> dict[str, Any]:
    """A Darwin file of version 1."""
    annotations: list[dict[str, Any]] = []
    for name, mask in areas:
        paths = _paths(mask)
        body = {"polygon": {"path": paths[0]}} if len(paths) == 1 else {"complex_polygon": {"path": paths}}
        annotations.append({"name": name, **body})
    return {
        "dataset": "COVID-19 Chest X-Ray Dataset",
        "image": {
            "width": shape[1],
            "height": shape[0],
            "original_filename": f"{stem}.png",
            "filename": f"{number - _FIRST_ID:08d}.png",
            "url": f"https://darwin.v7labs.com/api/images/{number}/original",
        },
        "annotations": annotations + [{"name": tag, "tag": {}} for tag in tags],
    }


def _second(stem: str, shape: tuple[int, ...], tags: list[str], areas: list[tuple[str, Mask]]) -> dict[str, Any]:
    """A Darwin file of version 2."""
    slot = {
        "slot_name": "0",
        "type": "image",
        "width": shape[1],
        "height": shape[0],
        "source_files": [{"file_name": f"{stem}.png", "url": f"https://darwin.v7labs.com/api/v2/uploads/{stem}"}],
    }
    polygons = [{"name": name, "slot_names": ["0"], "polygon": {"paths": _paths(mask)}} for name, mask in areas]
    return {
        "version": "2.0",
        "item": {"name": f"{stem}.png", "path": "/", "slots": [slot]},
        "annotations": polygons + [{"name": tag, "slot_names": ["0"], "tag": {}} for tag in tags],
    }


def write_qatar(writer: Writer, items: list[Item]) -> Path:
    """Write Qatar's database: four classes in turn, masks on a smaller grid in three channels, a table per class."""
    top = writer.root / "COVID-19_Radiography_Dataset"
    listed: dict[str, list[str]] = {}
    for item in items:
        name = _QATAR[(item.number - 1) % len(_QATAR)]
        stem = f"{name}-{item.number}"
        writer.image(top / name / "images" / f"{stem}.png", item)
        if writer.wants_mask(stem, item):
            height, width = (round(side * _QATAR_MASK / _QATAR_IMAGE) for side in item.lungs.shape)
            grid = cv2.resize(item.lungs.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_NEAREST)
            write_png(top / name / "masks" / f"{stem}.png", np.dstack([grid.astype(np.uint8)] * 3))
        listed.setdefault(name, []).append(stem.upper() if name == "Normal" else stem)
    for name, stems in listed.items():
        rows = [[stem, "PNG", "256*256", f"https://example.org/{name.split()[0]}"] for stem in stems]
        _xlsx(top / f"{name}.metadata.xlsx", [["FILE NAME", "FORMAT", "SIZE", "URL"], *rows])
    return top


def write_qatar_flat(writer: Writer, items: list[Item]) -> Path:
    """Write an older version of Qatar's database: radiographs beside one another, and no masks."""
    top = writer.root / "COVID-19 Radiography Database"
    for item in items:
        name = _QATAR[(item.number - 1) % 3]
        stem = f"{name} ({item.number})"
        writer.image(top / name / f"{stem}.png", item)
        writer.bare.append(stem)
    return top


def _xlsx(path: Path, rows: list[list[str]]) -> None:
    """Write the least of a spreadsheet: one sheet, texts in the shared table as Excel writes them."""
    texts = list(dict.fromkeys(text for row in rows for text in row))
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    cells = [
        f'<row r="{r}">'
        + "".join(f'<c r="{"ABCDEFGH"[c]}{r}" t="s"><v>{texts.index(t)}</v></c>' for c, t in enumerate(row))
        + "</row>"
        for r, row in enumerate(rows, start=1)
    ]
    parts = {
        "xl/sharedStrings.xml": f"<sst {space}>{''.join(f'<si><t>{text}</t></si>' for text in texts)}</sst>",
        "xl/worksheets/sheet1.xml": f"<worksheet {space}><sheetData>{''.join(cells)}</sheetData></worksheet>",
    }
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{text}')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.getvalue())


def write_covid_qu_ex(writer: Writer, items: list[Item]) -> Path:
    """Write COVID-QU-Ex: all radiographs with lung masks, and four of five also with infection masks."""
    lung, infection = ("Lung Segmentation Data", "Infection Segmentation Data")
    classes = list(_QU_EX)
    for item in items:
        label = classes[(item.number - 1) % len(classes)]
        stem = _QU_EX[label].format(item.number)
        part = _QU_EX_PARTS[(item.number - 1) % len(_QU_EX_PARTS)]
        wanted = writer.wants_mask(stem, item)
        for collection in (lung, infection) if item.number % 5 else (lung,):
            folder = writer.root / collection / collection / part / label
            writer.image(folder / "images" / f"{stem}.png", item)
            if not wanted:
                continue
            mask_png(folder / "lung masks" / f"{stem}.png", item.lungs)
            if collection == infection:
                ill = _lower_half(item.masks["right_lung"]) if label == "COVID-19" else np.zeros_like(item.lungs)
                mask_png(folder / "infection masks" / f"{stem}.png", ill)
    return writer.root


def _lower_half(mask: Mask) -> Mask:
    rows = np.nonzero(mask)[0]
    below = np.arange(mask.shape[0]) > (rows.min() + rows.max()) / 2
    return np.asarray(mask & below[:, None])
