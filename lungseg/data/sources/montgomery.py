"""Montgomery: 138 radiographs of the tuberculosis programme of Montgomery County, Maryland, with a mask per lung."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from lungseg.data.io import read_size
from lungseg.data.sources.base import Convention, Source, SourceIndex
from lungseg.data.sources.clinical import read_readings
from lungseg.data.sources.layout import by_stem, child, list_files, relative
from lungseg.data.sources.nlm import tuberculosis_label
from lungseg.errors import DataError
from lungseg.types import Row

PREFIX = "MCUCXR_"
# leftMask lies on the left of the image and shows the patient's right lung
_SIDES = {"leftMask": "right_lung", "rightMask": "left_lung"}
_SPACING_MM = 0.0875
_SIZES = ((4020, 4892), (4892, 4020))
_SIZE_TOLERANCE = 0.005


class MontgomerySource(Source):
    """The Montgomery set in NLM's layout: `CXR_png`, `ManualMask/{leftMask,rightMask}`, `ClinicalReadings`.

    Args:
        root: Folder of the set; None searches for it below `search`.
        search: Folder that holds all sets (`paths.data`).
        missing: What to do with a radiograph without both masks: error, drop or aside.
        inverted: The files show dense parts dark.
    """

    name = "montgomery"
    title: ClassVar[str] = "the Montgomery County set"
    folder_names: ClassVar[tuple[str, ...]] = (
        "montgomery",
        "montgomery-nlm",
        "MontgomerySet",
        "NLM-MontgomeryCXRSet",
        "Montgomery-County-CXR-Set",
    )
    home: ClassVar[str] = (
        "https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets/Montgomery-County-CXR-Set/ "
        "(National Library of Medicine; cite Jaeger et al. 2014, doi 10.3978/j.issn.2223-4292.2014.11.20)"
    )
    shares_patients_with: ClassVar[tuple[str, ...]] = ("mc_sh",)
    convention: Convention | None = "without_heart"
    published: ClassVar[str] = "138 radiographs: 80 normal, 58 with tuberculosis"

    def expected_tree(self) -> str:
        """The layout as published, as text for people."""
        return (
            "MontgomerySet/\n"
            "  CXR_png/MCUCXR_0001_0.png ...                (last digit: 0 normal, 1 tuberculosis)\n"
            "  ManualMask/leftMask/MCUCXR_0001_0.png ...    (left of the image = the patient's right lung)\n"
            "  ManualMask/rightMask/MCUCXR_0001_0.png ...\n"
            "  ClinicalReadings/MCUCXR_0001_0.txt ...       (optional)"
        )

    def is_complete(self, folder: Path) -> bool:
        """Whether `folder` holds radiographs and both mask folders."""
        images = child(folder, "CXR_png")
        sides = [child(folder, f"ManualMask/{side}") for side in _SIDES]
        return images is not None and None not in sides and bool(_files(images))

    def build_index(self, root: Path) -> SourceIndex:
        """Index the copy of the set at `root`.

        Raises:
            DataError: Pairs are incomplete.
        """
        images = _files(root / "CXR_png")
        masks = {structure: _files(_side(root, side)) for side, structure in _SIDES.items()}
        readings = read_readings(child(root, "ClinicalReadings", "../ClinicalReadings"), images)
        rows: list[Row] = []
        lacking: list[tuple[str, str]] = []
        for stem, image in sorted(images.items()):
            absent = [structure.replace("_", " ") for structure, found in masks.items() if stem not in found]
            if absent:
                lacking.append((relative(image, root), ", ".join(absent)))
                continue
            sex, age = readings.get(stem, (None, None))
            rows.append(
                Row(
                    sample_id=f"{self.name}/{stem}",
                    subject_id=f"{self.name}/{stem}",
                    source=self.name,
                    image=relative(image, root),
                    masks={structure: relative(found[stem], root) for structure, found in sorted(masks.items())},
                    label=tuberculosis_label(stem),
                    view="PA",
                    sex=sex,
                    age=age,
                    spacing_mm=_spacing(image),
                    official_split=None,
                )
            )
        orphans = [
            relative(path, root) for found in masks.values() for stem, path in found.items() if stem not in images
        ]
        aside, dropped = self.settle_missing(root=root, total=len(images), images=lacking, masks=orphans)
        notes = []
        if len(images) != 138:
            notes.append(f"{len(images)} radiographs are there; published are {self.published}")
        if not readings:
            notes.append("no ClinicalReadings were found: sex and age are unknown")
        if rows and all(row["spacing_mm"] is None for row in rows):
            notes.append("the radiographs were resized out of their shape: the pixel spacing is unknown")
        return SourceIndex(root, rows, aside, dropped, notes)


def _side(root: Path, side: str) -> Path:
    folder = child(root, f"ManualMask/{side}")
    if folder is None:
        msg = f"{root} has no folder ManualMask/{side}; unpack the whole set again"
        raise DataError(msg)
    return folder


def _files(folder: Path) -> dict[str, Path]:
    files = [path for path in list_files(folder, (".png",)) if path.stem.startswith(PREFIX)]
    return by_stem(files, what=f"files in {folder}")


def _spacing(image: Path) -> tuple[float, float] | None:
    """0.0875 mm at 4020 x 4892 or 4892 x 4020; a copy of another size keeps one of these shapes or has no spacing."""
    try:
        height, width = read_size(image)
    except DataError:
        # `check` and the store name the damage when they read the pixels
        return None
    for full_height, full_width in _SIZES:
        if abs((width / height) / (full_width / full_height) - 1) < _SIZE_TOLERANCE:
            return _SPACING_MM * full_height / height, _SPACING_MM * full_width / width
    return None
