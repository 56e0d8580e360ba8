"""MC + SH: Montgomery and Shenzhen as one Kaggle set of 800 radiographs, 704 of them with a lung mask."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from lungseg.data.sources.base import Convention, Missing, Source, SourceIndex
from lungseg.data.sources.clinical import read_readings
from lungseg.data.sources.layout import child, relative
from lungseg.data.sources.montgomery import PREFIX as MONTGOMERY
from lungseg.data.sources.nlm import images_in, masks_in, tuberculosis_label
from lungseg.data.sources.nlm_labels import read_labels
from lungseg.data.sources.shenzhen import PREFIX as SHENZHEN
from lungseg.errors import DataError
from lungseg.types import Row

_PREFIXES = (MONTGOMERY, SHENZHEN)
_EXPECTED_ASIDE = 96


class McShSource(Source):
    """The Kaggle set nikhilpandey360/chest-xray-masks-and-labels: `Lung Segmentation/{CXR_png,masks}`.

    Masks are not binary (about 160 grey levels, made by resizing). In official_split stands the set a radiograph
    comes from, `montgomery` or `shenzhen`; the set itself has no split.

    Args:
        root: Folder of the set; None searches for it below `search`.
        search: Folder that holds all sets (`paths.data`).
        missing: What to do with a radiograph without a mask: 96 are expected, so they are kept aside.
        inverted: The files show dense parts dark.
    """

    name = "mc_sh"
    title: ClassVar[str] = "the Kaggle set of Montgomery and Shenzhen (704 pairs)"
    folder_names: ClassVar[tuple[str, ...]] = ("chest-xray-masks-and-labels", "Lung Segmentation", "mc_sh")
    home: ClassVar[str] = (
        "https://www.kaggle.com/datasets/nikhilpandey360/chest-xray-masks-and-labels "
        "(radiographs: National Library of Medicine; masks of Shenzhen: CC BY-NC-SA 4.0)"
    )
    shares_patients_with: ClassVar[tuple[str, ...]] = ("montgomery", "shenzhen")
    convention: Convention | None = "without_heart"
    published: ClassVar[str] = "800 radiographs: 704 with a mask (138 Montgomery, 566 Shenzhen), 96 without"

    def __init__(
        self,
        *,
        root: str | None = None,
        search: str | None = None,
        missing: Missing = "aside",
        inverted: bool = False,
    ) -> None:
        super().__init__(root=root, search=search, missing=missing, inverted=inverted)

    def expected_tree(self) -> str:
        """The layout as published, as text for people."""
        return (
            "chest-xray-masks-and-labels/\n"
            "  Lung Segmentation/\n"
            "    CXR_png/{MCUCXR_0001_0.png,CHNCXR_0001_0.png} ...         (last digit: 0 normal, 1 tuberculosis)\n"
            "    masks/{MCUCXR_0001_0.png,CHNCXR_0001_0_mask.png} ...\n"
            "    ClinicalReadings/*.txt                                    (optional)\n"
            "  labels.csv                                                  (optional: file, sex, age)"
        )

    def is_complete(self, folder: Path) -> bool:
        """Whether `folder` holds radiographs of either set and masks."""
        images, masks = child(folder, "CXR_png"), child(folder, "masks")
        if images is None or masks is None:
            return False
        return bool(images_in(images, _PREFIXES)) and bool(masks_in(masks, _PREFIXES))

    def build_index(self, root: Path) -> SourceIndex:
        """Index the copy of the set at `root`.

        Raises:
            DataError: A mask has no radiograph, or radiographs have no mask and `missing` is `error`.
        """
        folder, mask_folder = child(root, "CXR_png"), child(root, "masks")
        if folder is None or mask_folder is None:
            raise DataError(self._not_found(str(root)))
        images, masks = images_in(folder, _PREFIXES), masks_in(mask_folder, _PREFIXES)
        facts = {**read_labels(root), **read_readings(child(root, "ClinicalReadings"), images)}
        rows = [
            Row(
                sample_id=f"{self.name}/{stem}",
                subject_id=f"{self.name}/{stem}",
                source=self.name,
                image=relative(image, root),
                masks={"lungs": relative(masks[stem], root)},
                label=tuberculosis_label(stem),
                view="PA",
                sex=facts.get(stem, (None, None))[0],
                age=facts.get(stem, (None, None))[1],
                spacing_mm=None,
                official_split="montgomery" if stem.startswith(MONTGOMERY) else "shenzhen",
            )
            for stem, image in sorted(images.items())
            if stem in masks
        ]
        lacking = [(relative(path, root), "") for stem, path in images.items() if stem not in masks]
        orphans = [relative(path, root) for stem, path in masks.items() if stem not in images]
        aside, dropped = self.settle_missing(root=root, total=len(images), images=lacking, masks=orphans)
        notes = []
        if lacking and len(lacking) != _EXPECTED_ASIDE:
            notes.append(
                f"{len(lacking)} radiographs have no mask; in the set as published {_EXPECTED_ASIDE} have none"
            )
        if len(rows) != 704:
            notes.append(f"{len(rows)} pairs are there; published are {self.published}")
        if not facts:
            notes.append("neither labels.csv nor ClinicalReadings were found: sex and age are unknown")
        return SourceIndex(root, rows, aside, dropped, notes)
