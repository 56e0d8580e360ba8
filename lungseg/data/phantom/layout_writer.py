"""Writing the phantom's files: one radiograph to be written, and the account of what was."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.phantom.generator import PhantomFacts

Mask = NDArray[np.bool_]
Grey = NDArray[np.uint8] | NDArray[np.uint16]
_RAW_SIDE = 2048


@dataclass(frozen=True, kw_only=True)
class Item:
    """One radiograph to be written.

    Attributes:
        number: Place in the set, from 1.
        index: Index of the phantom's sample.
        pixels: (height, width), 12-bit, bright = dense.
        masks: Structure -> (height, width).
        facts: Patient, label, view.
        has_mask: Whether its mask is written.
    """

    number: int
    index: int
    pixels: NDArray[np.uint16]
    masks: dict[str, Mask]
    facts: PhantomFacts
    has_mask: bool

    @property
    def digit(self) -> int:
        """Last digit of a name in the tuberculosis sets: 0 normal, 1 ill."""
        return int(self.facts.label != "normal")

    @property
    def lungs(self) -> Mask:
        """Both lungs."""
        return np.asarray(self.masks["right_lung"] | self.masks["left_lung"])


class Writer:
    """Writes files and keeps the account of them.

    Args:
        root: Folder of the layout.
        nasty: Mishaps to add.

    Attributes:
        samples: Stem of each radiograph written -> index of the phantom's sample.
        bare: Stems of radiographs that get no mask.
    """

    def __init__(self, root: Path, nasty: Collection[str]) -> None:
        self.root = root
        self.nasty = frozenset(nasty)
        self.samples: dict[str, int] = {}
        self.bare: list[str] = []

    def image(self, path: Path, item: Item, *, transparent: bool = False) -> None:
        """Write a radiograph as PNG, or JPEG by its name: grey, or RGBA as screenshots are (8 bits only)."""
        self.samples[path.stem] = item.index
        v = (4095 - item.pixels) if "inverted" in self.nasty else item.pixels
        if path.suffix == ".jpeg":
            write_jpeg(path, np.round(v / 4095 * 255).astype(np.uint8))
            return
        if "twelve_bit" in self.nasty:
            write_png(path, v.astype(np.uint16))
            return
        grey = np.round(v / 4095 * 255).astype(np.uint8)
        opaque = np.full_like(grey, 255)
        write_png(path, np.dstack([grey, grey, grey, opaque]) if transparent else grey)

    def raw(self, path: Path, item: Item) -> None:
        """Write a radiograph as JSRT's raw file."""
        self.samples[path.stem] = item.index
        large = cv2.resize(item.pixels, (_RAW_SIDE, _RAW_SIDE), interpolation=cv2.INTER_LINEAR)
        path.parent.mkdir(parents=True, exist_ok=True)
        # JSRT's own files are inverted: dense is dark
        path.write_bytes((4095 - np.minimum(large, 4095)).astype(">u2").tobytes())

    def text(self, path: Path, text: str) -> None:
        """Write a text file; makes the folder."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())

    def wants_mask(self, stem: str, item: Item) -> bool:
        """Whether a radiograph gets a mask; if not, it is put down as bare."""
        if not item.has_mask:
            self.bare.append(stem)
        return item.has_mask


def write_png(path: Path, pixels: Grey) -> None:
    """Write an 8- or 16-bit PNG; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".png", pixels)
    path.write_bytes(data.tobytes())


def write_jpeg(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write an 8-bit JPEG; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".jpeg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
    path.write_bytes(data.tobytes())


def mask_png(path: Path, mask: Mask) -> None:
    """Write a mask as 8-bit PNG of 0 and 255."""
    write_png(path, mask.astype(np.uint8) * np.uint8(255))
