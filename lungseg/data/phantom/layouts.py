"""The phantom written to disk as each public set is published, with the mishaps that real copies have."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
from PIL import Image

from lungseg.data.phantom.generator import Phantom
from lungseg.data.phantom.layout_writer import Item, Mask, Writer, mask_png, write_png
from lungseg.data.phantom.layouts_classes import (
    write_class_folders,
    write_kermany,
    write_kermany_mendeley,
    write_label_table,
    write_nih,
    write_nih_v2020,
)
from lungseg.data.phantom.layouts_covid import (
    write_covid_qu_ex,
    write_qatar,
    write_qatar_flat,
    write_v7,
    write_v7_json,
    write_v7_v2,
)
from lungseg.errors import ConfigError, near_name

NASTY = (
    "missing_mask",
    "twelve_bit",
    "inverted",
    "odd_sizes",
    "wrong_mask_size",
    "duplicate",
    "all_ignore",
    "unknown_class",
)
"""missing_mask: the last radiograph has none. twelve_bit: PNG files hold 12 bits in 16. inverted: dense is dark.
odd_sizes: each radiograph has another, odd size. wrong_mask_size: the first radiograph's mask is of another size and
shape. duplicate: one more radiograph, a copy of the first under another name and patient. In the V7 set's layouts only:
all_ignore: the first radiograph's mask is Ignore everywhere. unknown_class: it holds a class that the set has not."""
_V7_ONLY = ("all_ignore", "unknown_class")

_SCR = MappingProxyType(
    {
        "right lung": "right_lung",
        "left lung": "left_lung",
        "heart": "heart",
        "right clavicle": "right_clavicle",
        "left clavicle": "left_clavicle",
    }
)


@dataclass(frozen=True, kw_only=True)
class WrittenLayout:
    """What was written.

    Attributes:
        root: The folder that a source takes as its root.
        samples: File stem of each radiograph -> index of the phantom's sample.
        without_mask: Stems that were left without a mask.
    """

    root: Path
    samples: Mapping[str, int]
    without_mask: tuple[str, ...]


def write_layout(
    name: str, root: Path, *, n: int, seed: int = 0, size: tuple[int, int] = (64, 64), nasty: Collection[str] = ()
) -> WrittenLayout:
    """Write `n` radiographs and their masks in the layout of a public set.

    Args:
        name: jsrt (raw .IMG of 2048 x 2048 and SCR masks), jsrt_png (PNG copies), montgomery, shenzhen (both as NLM
            publishes them), mc_sh (as on Kaggle: masks with many grey levels, one radiograph in eight without a mask),
            v7_darwin (PNG label maps and Darwin JSON 1; of eight pictures one is a CT slice and one a lateral view, one
            has Ignore in it and one a lung with a hole), v7_darwin_json (without the label maps), v7_darwin_v2 (Darwin
            JSON 2 only), qatar_covid (four classes in turn), qatar_covid_flat (as before it had masks), covid_qu_ex
            (both collections), folder (images, masks, patients.csv); and without masks kermany (JPEG, as on Kaggle),
            kermany_mendeley (the later names), nih_chestxray (folders of images, the first table),
            nih_chestxray_v2020 (one folder, the table of 2020), class_folders, label_table (a column for each label).
        root: An empty or new folder; the set's own top folder is made inside where the published archive has one.
        n: Number of radiographs, at least 1.
        seed: The phantom's seed.
        size: (height, width) that is drawn; layouts of sets that are square (JSRT, Qatar, COVID-QU-Ex, NIH) take the
            shorter side for both. Raw .IMG files are drawn at this size and then enlarged.
        nasty: Mishaps to add, out of `NASTY`.

    Returns:
        Where it is and what it holds.

    Raises:
        ConfigError: A layout or a mishap is unknown, or `n` is below 1.
    """
    if name not in _WRITERS:
        raise ConfigError(_unknown("layout", name, _WRITERS))
    for case in nasty:
        if case not in NASTY:
            raise ConfigError(_unknown("nasty case", case, NASTY))
        if case in _V7_ONLY and not name.startswith("v7_darwin"):
            msg = f"the nasty case {case!r} is one of the V7 set's label maps; layout {name!r} has none"
            raise ConfigError(msg)
    if n < 1:
        msg = f"a layout of {n} radiographs was asked for; write at least 1"
        raise ConfigError(msg)
    square = name.startswith(("jsrt", "qatar_covid", "covid_qu_ex", "nih"))
    items = []
    for i in range(n):
        h, w = (min(size), min(size)) if square else size
        if "odd_sizes" in nasty:
            h, w = h + 2 * i + 1 - h % 2, w + (2 if square else 6) * i + 1 - w % 2
        sample = Phantom(seed, (h, w), bits=12).sample(i)
        pixels, masks = sample.pixels.astype(np.uint16), sample.masks
        if "wrong_mask_size" in nasty and i == 0:
            masks = {key: mask[: h - h // 4] for key, mask in masks.items()}
        has_mask = not ("missing_mask" in nasty and i == n - 1)
        items.append(Item(number=i + 1, index=i, pixels=pixels, masks=masks, facts=sample.facts, has_mask=has_mask))
    if "duplicate" in nasty:
        other = replace(items[0].facts, subject_id="P99999")
        items.append(replace(items[0], number=n + 1, facts=other))
    writer = Writer(root, nasty)
    top = _WRITERS[name](writer, items)
    return WrittenLayout(root=top, samples=MappingProxyType(writer.samples), without_mask=tuple(writer.bare))


def _mask_bit(path: Path, mask: Mask) -> None:
    """A PNG of 1 bit a pixel, as the masks of the Montgomery set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


def _mask_gif(path: Path, mask: Mask) -> None:
    """A GIF with the palette black, white and the indices 0, 1, as the SCR masks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(mask.astype(np.uint8))
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(path)


def _mask_resized(path: Path, mask: Mask) -> None:
    """A mask whose edge has some 160 grey levels, as resizing with interpolation leaves them."""
    edge = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.1)
    write_png(path, np.round(edge * 255).astype(np.uint8))


def _jsrt(writer: Writer, items: list[Item], *, raw: bool) -> Path:
    top, nodules, others = writer.root, [], []
    half = (len(items) + 1) // 2  # the first half has a nodule (JPCLN), the second has none (JPCNN)
    for item in items:
        ill = item.number <= half
        number = item.number if ill else item.number - half
        stem = f"JPC{'L' if ill else 'N'}N{number:03d}"
        if raw:
            writer.raw(top / "All247images" / f"{stem}.IMG", item)
        else:
            writer.image(top / "images" / f"{stem}.png", item)
        fold = "fold1" if number % 2 else "fold2"
        if writer.wants_mask(stem, item):
            for folder, structure in _SCR.items():
                _mask_gif(top / fold / "masks" / folder / f"{stem}.gif", item.masks[structure])
        sex = "female" if item.facts.sex == "F" else "male"
        if ill:
            nodules.append(
                f"{stem}.IMG\t5\t15\t{item.facts.age}\t{sex}\t1634\t692\tmalignant\tl.upper lobe\tlung cancer\t"
            )
        else:
            others.append(f"{stem}.IMG {item.facts.age:<4d}{sex:<9}non-nodule")
    clinical = top / "Clinical_Information"
    writer.text(clinical / "CLNDAT_EN.txt", "\r".join(nodules))
    if others:
        writer.text(clinical / "CNNDAT_EN.TXT", "\r".join(others))
    return top


def _jsrt_raw(writer: Writer, items: list[Item]) -> Path:
    return _jsrt(writer, items, raw=True)


def _jsrt_png(writer: Writer, items: list[Item]) -> Path:
    return _jsrt(writer, items, raw=False)


def _montgomery(writer: Writer, items: list[Item]) -> Path:
    top = writer.root / "MontgomerySet"
    for item in items:
        stem = f"MCUCXR_{item.number:04d}_{item.digit}"
        writer.image(top / "CXR_png" / f"{stem}.png", item)
        if writer.wants_mask(stem, item):
            # leftMask is the lung on the left of the image: the patient's right one
            _mask_bit(top / "ManualMask" / "leftMask" / f"{stem}.png", item.masks["right_lung"])
            _mask_bit(top / "ManualMask" / "rightMask" / f"{stem}.png", item.masks["left_lung"])
        finding = "normal" if item.digit == 0 else "right upper lobe infiltrate"
        reading = f"Patient's Sex: {item.facts.sex}\r\nPatient's Age: {item.facts.age:03d}Y\r\n{finding}\r\n"
        writer.text(top / "ClinicalReadings" / f"{stem}.txt", reading)
    return top


def _shenzhen(writer: Writer, items: list[Item]) -> Path:
    top = writer.root / "ChinaSet_AllFiles"
    for item in items:
        stem = f"CHNCXR_{item.number:04d}_{item.digit}"
        writer.image(top / "CXR_png" / f"{stem}.png", item)
        if writer.wants_mask(stem, item):
            mask_png(top / "mask" / f"{stem}_mask.png", item.lungs)
        sex, finding = (
            ("female" if item.facts.sex == "F" else "male"),
            ("normal" if item.digit == 0 else "bilateral PTB"),
        )
        writer.text(top / "ClinicalReadings" / f"{stem}.txt", f"{sex} {item.facts.age}yrs\r\n{finding}")
    return top


def _mc_sh(writer: Writer, items: list[Item]) -> Path:
    top = writer.root / "Lung Segmentation"
    for item in items:
        chinese = item.number % 4 != 0
        stem = f"{'CHNCXR' if chinese else 'MCUCXR'}_{item.number:04d}_{item.digit}"
        writer.image(top / "CXR_png" / f"{stem}.png", item)
        (top / "masks").mkdir(parents=True, exist_ok=True)
        if item.number % 8 == 3 and item.has_mask:  # 96 of the 800 published ones have none
            writer.bare.append(stem)
        elif writer.wants_mask(stem, item):
            _mask_resized(top / "masks" / f"{stem}{'_mask' if chinese else ''}.png", item.lungs)
    return top


def _folder(writer: Writer, items: list[Item]) -> Path:
    table = io.StringIO(newline="")
    rows = csv.writer(table)
    rows.writerow(["image", "patient", "sex", "age", "view", "label"])
    for item in items:
        f, stem = item.facts, f"{item.facts.subject_id}_{item.index:05d}"
        writer.image(writer.root / "images" / f"{stem}.png", item)
        if writer.wants_mask(stem, item):
            mask_png(writer.root / "masks" / f"{stem}.png", item.lungs)
        rows.writerow([f"{stem}.png", f.subject_id, f.sex, f.age, f.view, f.label])
    writer.text(writer.root / "patients.csv", table.getvalue())
    return writer.root


def _unknown(what: str, name: str, known: Collection[str]) -> str:
    near = near_name(name, known)
    hint = f" Did you mean {near!r}?" if near else ""
    return f"the phantom has no {what} {name!r}.{hint} Known: {', '.join(known)}"


_WRITERS: dict[str, Callable[[Writer, list[Item]], Path]] = {
    "jsrt": _jsrt_raw,
    "jsrt_png": _jsrt_png,
    "montgomery": _montgomery,
    "shenzhen": _shenzhen,
    "mc_sh": _mc_sh,
    "v7_darwin": write_v7,
    "v7_darwin_json": write_v7_json,
    "v7_darwin_v2": write_v7_v2,
    "qatar_covid": write_qatar,
    "qatar_covid_flat": write_qatar_flat,
    "covid_qu_ex": write_covid_qu_ex,
    "folder": _folder,
    "kermany": write_kermany,
    "kermany_mendeley": write_kermany_mendeley,
    "nih_chestxray": write_nih,
    "nih_chestxray_v2020": write_nih_v2020,
    "class_folders": write_class_folders,
    "label_table": write_label_table,
}
LAYOUTS = tuple(_WRITERS)
