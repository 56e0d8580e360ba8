"""The layouts of sets for classification: Kermany's children, NIH ChestX-ray14, one folder per class, a label table."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

from lungseg.data.phantom.layout_writer import Item, Writer

_KERMANY = {"normal": "normal", "lobar": "bacteria", "bilateral": "virus"}
_KERMANY_PARTS = ("train", "test", "train", "train")
_NIH = {"normal": "No Finding", "lobar": "Consolidation", "bilateral": "Infiltration"}
_NIH_MORE = ("Effusion", "Mass", "Nodule")
_NIH_FOLDER = 4  # radiographs in each of its image folders
_COLUMNS = ("effusion", "lobar", "bilateral")


def write_kermany(writer: Writer, items: list[Item]) -> Path:
    """Write Kermany's set as on Kaggle: one of four radiographs for testing, where numbers of children begin anew."""
    top, numbers = writer.root / "chest_xray", _Numbers()
    for item in items:
        part, label = _KERMANY_PARTS[(item.number - 1) % 4], _KERMANY[item.facts.label]
        if label == "normal":
            series = "NORMAL2-IM" if item.number % 2 else "IM"
            child = numbers.of("normal", item.facts.subject_id)
            stem = f"{series}-{child:04d}-{item.number:04d}"
        else:
            child = numbers.of(part, item.facts.subject_id)
            stem = f"person{child}_{label}_{item.number}"
        writer.image(top / part / ("NORMAL" if label == "normal" else "PNEUMONIA") / f"{stem}.jpeg", item)
        writer.bare.append(stem)
    return top


def write_kermany_mendeley(writer: Writer, items: list[Item]) -> Path:
    """Write Kermany's set with the names of Mendeley's later version, and a validation part."""
    top = writer.root / "chest_xray"
    for item in items:
        part, label = ("train", "test", "train", "val")[(item.number - 1) % 4], _KERMANY[item.facts.label]
        stem = f"{label.upper()}-{1000000 + int(item.facts.subject_id[1:])}-{item.number:04d}"
        writer.image(top / part / ("NORMAL" if label == "normal" else "PNEUMONIA") / f"{stem}.jpeg", item)
        writer.bare.append(stem)
    return top


class _Numbers:
    """Numbers for names, from 1 on in every numbering."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, str], int] = {}
        self._last: Counter[str] = Counter()

    def of(self, numbering: str, name: str) -> int:
        if (numbering, name) not in self._given:
            self._last[numbering] += 1
            self._given[numbering, name] = self._last[numbering]
        return self._given[numbering, name]


def write_nih(writer: Writer, items: list[Item]) -> Path:
    """Write NIH ChestX-ray14 as first published: folders of images, bare header, ages such as 060Y."""
    return _nih(writer, items, first=True)


def write_nih_v2020(writer: Writer, items: list[Item]) -> Path:
    """Write NIH ChestX-ray14 with the table of 2020 (last headers in quotes, plain ages) and one folder of images."""
    return _nih(writer, items, first=False)


def _nih(writer: Writer, items: list[Item], *, first: bool) -> Path:
    """Every second ill radiograph has one finding more; patients whose number divides by four are for testing."""
    top = writer.root
    seen: Counter[int] = Counter()
    lines: list[str] = []
    lists: dict[str, list[str]] = {"train_val": [], "test": []}
    for item in items:
        patient = int(item.facts.subject_id[1:])
        name = f"{patient:08d}_{seen[patient]:03d}.png"
        findings = [_NIH[item.facts.label]]
        if item.facts.label != "normal" and item.number % 2:
            findings.append(_NIH_MORE[item.number % len(_NIH_MORE)])
        folder = f"images_{(item.number - 1) // _NIH_FOLDER + 1:03d}/images" if first else "images"
        writer.image(top / folder / name, item)
        writer.bare.append(name.removesuffix(".png"))
        age = f"{item.facts.age:03d}Y" if first else str(item.facts.age)
        height, width = item.pixels.shape
        facts = [str(seen[patient]), str(patient), age, item.facts.sex, item.facts.view, str(width), str(height)]
        lines.append(",".join([name, "|".join(findings), *facts, "0.143", "0.143"]) + ("," if first else ""))
        lists["test" if patient % 4 == 0 else "train_val"].append(name)
        seen[patient] += 1
    size, spacing = "OriginalImage[Width,Height]", "OriginalImagePixelSpacing[x,y]"
    start = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
    header = f"{start},{size},{spacing}," if first else f'{start},"{size}","{spacing}"'
    writer.text(top / f"Data_Entry_2017{'' if first else '_v2020'}.csv", "\r\n".join([header, *lines]) + "\r\n")
    for part, names in lists.items():
        writer.text(top / f"{part}_list.txt", "".join(f"{name}\n" for name in names) or "\n")
    return top


def write_class_folders(writer: Writer, items: list[Item]) -> Path:
    """Write one folder per class, with the patient in front of every name."""
    for item in items:
        stem = f"{item.facts.subject_id}_{item.index:05d}"
        writer.image(writer.root / item.facts.label / f"{stem}.png", item)
        writer.bare.append(stem)
    return writer.root


def write_label_table(writer: Writer, items: list[Item]) -> Path:
    """Write radiographs beside a table with a column for each label: 1, 0, and empty where it is not known."""
    table = io.StringIO(newline="")
    rows = csv.writer(table)
    rows.writerow(["image", "patient", "sex", "age", "view", *_COLUMNS])
    for item in items:
        f, stem = item.facts, f"{item.facts.subject_id}_{item.index:05d}"
        writer.image(writer.root / "images" / f"{stem}.png", item)
        writer.bare.append(stem)
        told = ["" if item.number % 3 == 0 else "0", *(str(int(f.label == name)) for name in _COLUMNS[1:])]
        rows.writerow([f"{stem}.png", f.subject_id, f.sex, f.age, f.view, *told])
    writer.text(writer.root / "labels.csv", table.getvalue())
    return writer.root
