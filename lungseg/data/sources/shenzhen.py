"""Shenzhen: 662 radiographs of Shenzhen No. 3 People's Hospital; lung masks for 566 of them were published apart."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import ClassVar

from lungseg.data.sources.base import Convention, Missing, Source, SourceIndex
from lungseg.data.sources.clinical import read_readings
from lungseg.data.sources.layout import child, common_root, relative
from lungseg.data.sources.nlm import images_in, masks_in, tuberculosis_label
from lungseg.data.sources.nlm_labels import read_labels
from lungseg.errors import DataError
from lungseg.remote.path import place
from lungseg.types import Row

PREFIX = "CHNCXR_"
_MASK_FOLDERS = ("mask", "masks", "mask/mask", "shcxr-lung-mask/mask/mask", "shcxr-lung-mask/mask", "shcxr-lung-mask")


class ShenzhenSource(Source):
    """The Shenzhen set in NLM's layout (`ChinaSet_AllFiles`) or its part of the Kaggle set of 704 pairs.

    The masks were made by another group and lie in a folder of their own: inside the set's folder or beside it. For
    96 radiographs none was ever published; their names are known, and they are kept aside without an error.

    Args:
        root: Folder of the set; None searches for it below `search`.
        masks_root: Folder of the mask files, where they lie elsewhere.
        search: Folder that holds all sets (`paths.data`).
        missing: What to do with any other radiograph without a mask: error, drop or aside.
        inverted: The files show dense parts dark.
    """

    name = "shenzhen"
    title: ClassVar[str] = "the Shenzhen set with lung masks"
    folder_names: ClassVar[tuple[str, ...]] = (
        "shenzhen",
        "shenzhen-nlm",
        "ChinaSet_AllFiles",
        "Shenzhen-Hospital-CXR-Set",
        "chest-xray-masks-and-labels",
        "Lung Segmentation",
    )
    home: ClassVar[str] = (
        "radiographs: https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets/"
        "Shenzhen-Hospital-CXR-Set/ (National Library of Medicine; cite Jaeger et al. 2014); "
        "masks: https://www.kaggle.com/datasets/yoctoman/shcxr-lung-mask (CC BY-NC-SA 4.0)"
    )
    shares_patients_with: ClassVar[tuple[str, ...]] = ("mc_sh",)
    convention: Convention | None = "without_heart"
    published: ClassVar[str] = "662 radiographs: 326 normal, 336 with tuberculosis; 566 with a mask"

    def __init__(
        self,
        *,
        root: str | None = None,
        masks_root: str | None = None,
        search: str | None = None,
        missing: Missing = "error",
        inverted: bool = False,
    ) -> None:
        super().__init__(root=root, search=search, missing=missing, inverted=inverted)
        self.masks_root = masks_root

    def expected_tree(self) -> str:
        """The layout as published, as text for people."""
        return (
            "ChinaSet_AllFiles/\n"
            "  CXR_png/CHNCXR_0001_0.png ...               (last digit: 0 normal, 1 tuberculosis)\n"
            "  ClinicalReadings/CHNCXR_0001_0.txt ...      (optional)\n"
            "  mask/CHNCXR_0001_0_mask.png ...             (or shcxr-lung-mask/mask/mask/ in it or beside it)\n"
            "or chest-xray-masks-and-labels/Lung Segmentation/{CXR_png,masks}"
        )

    def is_complete(self, folder: Path) -> bool:
        """Whether `folder` holds radiographs and there are masks for them."""
        images = child(folder, "CXR_png")
        return images is not None and bool(images_in(images, (PREFIX,))) and self._mask_folder(folder) is not None

    def build_index(self, root: Path) -> SourceIndex:
        """Index the copy of the set at `root`.

        Raises:
            DataError: Pairs are incomplete beyond the 96 radiographs that never had a mask.
        """
        folder, mask_folder = child(root, "CXR_png"), self._mask_folder(root)
        if folder is None or mask_folder is None:
            raise DataError(self._not_found(str(root)))
        common = common_root(root, mask_folder)
        images, masks = images_in(folder, (PREFIX,)), masks_in(mask_folder, (PREFIX,), suffixed=True)
        facts = {**read_labels(root), **read_readings(child(root, "ClinicalReadings"), images)}
        unpublished = without_mask()
        rows: list[Row] = []
        lacking: list[tuple[str, str]] = []
        known: list[str] = []
        for stem, image in sorted(images.items()):
            if stem not in masks:
                if stem in unpublished:
                    known.append(relative(image, common))
                else:
                    lacking.append((relative(image, common), ""))
                continue
            sex, age = facts.get(stem, (None, None))
            rows.append(
                Row(
                    sample_id=f"{self.name}/{stem}",
                    subject_id=f"{self.name}/{stem}",
                    source=self.name,
                    image=relative(image, common),
                    masks={"lungs": relative(masks[stem], common)},
                    label=tuberculosis_label(stem),
                    view="PA",
                    sex=sex,
                    age=age,
                    spacing_mm=None,
                    official_split=None,
                )
            )
        orphans = [relative(path, common) for stem, path in masks.items() if stem not in images]
        aside, dropped = self.settle_missing(root=root, total=len(images), images=lacking, masks=orphans)
        notes = []
        if known:
            notes.append(f"{len(known)} radiographs for which no mask was ever published are kept aside")
        if len(images) != 662:
            notes.append(f"{len(images)} radiographs are there; published are {self.published}")
        if not any(facts.get(stem, (None, None)) != (None, None) for stem in images):
            notes.append("no ClinicalReadings were found: sex and age are unknown")
        return SourceIndex(common, rows, sorted(known + aside), dropped, notes)

    def _mask_folder(self, folder: Path) -> Path | None:
        if self.masks_root is not None:
            given = place(self.masks_root).expanduser().absolute()
            if not given.is_dir() or not masks_in(given, (PREFIX,), suffixed=True):
                msg = f"data.sources.shenzhen.masks_root={self.masks_root} holds no masks named CHNCXR_*_mask.png"
                raise DataError(msg)
            return given
        for top in (folder, folder.absolute().parent):
            for name in _MASK_FOLDERS:
                inner = child(top, name)
                if inner is not None and masks_in(inner, (PREFIX,), suffixed=True):
                    return inner
        return None


def without_mask() -> frozenset[str]:
    """Stems of the 96 radiographs of the Shenzhen set for which no lung mask was published."""
    text = resources.files("lungseg.data.published").joinpath("shenzhen_without_mask.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.split("\n") if line and not line.startswith("#"))
