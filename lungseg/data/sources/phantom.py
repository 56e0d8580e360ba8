"""The phantom as a source: radiographs that are computed when they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import ClassVar, Literal, cast

import cv2
import numpy as np

from lungseg.data.io import Radiograph
from lungseg.data.phantom.anatomy import Label
from lungseg.data.phantom.generator import Phantom, PhantomSample
from lungseg.data.phantom.hints import Hints, Kind
from lungseg.data.phantom.render import STRUCTURES
from lungseg.data.sources.base import Convention, Missing, Reference, Source, SourceIndex
from lungseg.data.structures import paths_for, refuse_missing
from lungseg.errors import ConfigError, DataError
from lungseg.types import Row

_FULL_RANGE = 65535 / 4095
_OUTSIDE: dict[Kind, str] = {
    "usual": "",
    "none": ", nothing outside the lungs follows the label",
    "mark": ", nothing outside the lungs follows the label but a mark in a corner",
}


class PhantomSource(Source):
    """Procedural frontal chest radiographs with exact masks of lungs, heart and clavicles; needs no files.

    Rows bear paths such as `phantom/00012`, which are no files: the number in them is the sample's index in
    `lungseg.data.phantom.generator.Phantom`. Patients have one to four images.

    Args:
        n: Number of radiographs.
        seed: Which set: radiograph i of one seed is always the same, whatever `n`.
        size: (height, width) in pixels.
        bits: 8 or 12. 12-bit values are stretched to uint16 as those of a file.
        hints: what stands outside the lungs and follows the label: `usual` (leads and tubes are commoner on the ill,
            who more often lie), `none` (nothing, to the pixel), or `mark` (nothing but a bright square burnt into the
            lower right corner).
        mark_label: the label that the square of `hints=mark` follows.
        mark_chance: chance of the square in [0, 1] in an image of that label.
        mark_chance_others: the same in an image of another.
        root: Not used, since there is no folder.
        search: Not used.
        missing: Not used, since no mask is ever missing.

    Raises:
        ConfigError: `n`, `seed`, `size`, `bits` or a chance is out of range, or a name is unknown.
    """

    name = "phantom"
    title: ClassVar[str] = "the phantom (procedural chest radiographs)"
    folder_names: ClassVar[tuple[str, ...]] = ()
    home: ClassVar[str] = "nowhere: it is computed, and may be used as lungseg itself"
    convention: Convention | None = "without_heart"
    published: ClassVar[str] = "as many radiographs as asked for"

    def __init__(
        self,
        *,
        n: int = 240,
        seed: int = 0,
        size: Sequence[int] = (256, 256),
        bits: Literal[8, 12] = 8,
        hints: Kind = "usual",
        mark_label: Label = "bilateral",
        mark_chance: float = 0.9,
        mark_chance_others: float = 0.05,
        root: str | None = None,
        search: str | None = None,
        missing: Missing = "error",
    ) -> None:
        super().__init__(root=root, search=search, missing=missing)
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            msg = f"data.sources.phantom.n is {n!r}, but it is the number of radiographs; set it to 1 or more"
            raise ConfigError(msg)
        self.n = n
        self._last: tuple[int, PhantomSample] | None = None
        told = Hints(kind=hints, mark_label=mark_label, mark_chance=mark_chance, mark_chance_others=mark_chance_others)
        self.phantom = Phantom(seed, cast(tuple[int, int], tuple(size)), bits=bits, hints=told)

    def expected_tree(self) -> str:
        """The phantom has no files."""
        return "(nothing: the phantom is computed)"

    def is_complete(self, folder: Path) -> bool:
        """The phantom is complete everywhere."""
        del folder
        return True

    def find(self) -> Path:
        """A root for the rows' paths; it need not exist."""
        return Path(self.root) if self.root else Path("phantom")

    def build_index(self, root: Path) -> SourceIndex:
        """List `n` radiographs; nothing is drawn."""
        p = self.phantom
        note = f"seed {p.seed}, {p.size[0]} x {p.size[1]}, {p.bits} bits{_OUTSIDE[p.hints.kind]}"
        if p.hints.kind == "mark":
            marked = [facts.label == p.hints.mark_label for i in range(self.n) if (facts := p.facts(i)).marked]
            note += f" in {sum(marked)} images of {p.hints.mark_label} and {len(marked) - sum(marked)} others"
        return SourceIndex(root=root, rows=[self._row(i) for i in range(self.n)], notes=[f"computed, not read: {note}"])

    def fingerprint(self, row: Row) -> str:
        """Settings, index and the generator's own code: a change of any of them makes other pixels."""
        return f"{self.reading()} index={self._index_of(row)}"

    def reading(self) -> str:
        """Settings of the generator and a digest of its code, as part of the store's key."""
        p = self.phantom
        hints = "" if p.hints == Hints() else f" {p.hints}"
        return f"phantom seed={p.seed} size={p.size[0]}x{p.size[1]} bits={p.bits}{hints} code={_code_digest()}"

    def read_image(self, root: Path, row: Row) -> Radiograph:
        """Draw the radiograph of a row; bright = dense."""
        del root
        pixels = self._sample(row).pixels.copy()
        if self.phantom.bits == 12:
            pixels = np.round(pixels * _FULL_RANGE).astype(np.uint16)
        return Radiograph(pixels, self.phantom.bits, False, "computed")

    def read_reference(self, root: Path, row: Row, structures: Sequence[str]) -> Reference:
        """Draw the masks of a row.

        Raises:
            DataError: A structure is asked for that the phantom does not have.
        """
        del root
        masks = self._sample(row).masks
        planes = []
        for structure in structures:
            parts = [path.rsplit("/", 1)[-1] for path in paths_for(row["masks"], structure)]
            if not parts:
                msg = f"{row['sample_id']}: {refuse_missing(row['masks'], structure)}"
                raise DataError(msg)
            planes.append(np.logical_or.reduce([masks[part] for part in parts]))
        return Reference(np.stack(planes), len(planes), 0, 2)

    def _row(self, index: int) -> Row:
        facts = self.phantom.facts(index)
        image = f"phantom/{index:05d}"
        return Row(
            sample_id=image,
            subject_id=f"phantom/{facts.subject_id}",
            source=self.name,
            image=image,
            masks={structure: f"{image}/{structure}" for structure in STRUCTURES},
            label=facts.label,
            view=facts.view,
            sex=facts.sex,
            age=float(facts.age),
            spacing_mm=facts.spacing_mm,
            official_split=None,
        )

    def _sample(self, row: Row) -> PhantomSample:
        """Draw a row's sample; the last one is kept, since image and masks are mostly read one after the other."""
        index, last = self._index_of(row), self._last
        if last is None or last[0] != index:
            last = (index, self.phantom.sample(index))
            self._last = last
        return last[1]

    def _index_of(self, row: Row) -> int:
        return int(row["image"].rsplit("/", 1)[-1])


@cache
def _code_digest() -> str:
    """Digest of the generator's source files: no cached pixel outlives a change of the code that drew it."""
    digest = hashlib.sha256(f"cv2 {cv2.__version__}".encode())
    folder = files("lungseg.data.phantom")
    for path in sorted(folder.iterdir(), key=lambda p: p.name):
        if path.name.endswith(".py") and not path.name.startswith("layout"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
