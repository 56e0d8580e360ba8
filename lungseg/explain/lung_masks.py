"""Lung masks of radiographs that are explained: from a folder, or drawn by a segmentation network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lungseg.data.io import read_mask
from lungseg.data.preprocess.resize import resized_masks
from lungseg.data.structures import UNIONS
from lungseg.errors import ConfigError, DataError
from lungseg.guide_masks import Segmenter, check_segmenter, lungs_in

SUFFIXES = (".png", ".gif", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg")
_TOLERANCE = 0.01


class LungMasks(Protocol):
    """Finds the lungs of a radiograph."""

    def __call__(self, name: str, pixels: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Return the lungs, (h, w) bool of the radiograph's size, or None where there is no mask.

        Args:
            name: of the radiograph's file, relative to the folder of radiographs.
            pixels: (h, w) or (h, w, 3).
        """
        ...


class MaskFolder:
    """Masks in files named after the radiographs.

    For `more/a.jpg` it takes, below the folder or its folder `masks`, `more/a.png` or `more/a_lungs.png` (as `predict`
    writes), or the union of `more/a_right_lung.png` and `more/a_left_lung.png`; of any usual format.

    Args:
        folder: that holds them.

    Raises:
        ConfigError: there is no image in it.
    """

    def __init__(self, *, folder: Path) -> None:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not files:
            msg = f"lung_masks={folder} holds no mask and is no run folder; give a folder of masks or a checkpoint"
            raise ConfigError(msg)
        self.folder = folder
        self._files: dict[str, Path] = {}
        for path in files:
            self._files.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)

    def __call__(self, name: str, pixels: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Return the mask of a radiograph, see `LungMasks`.

        Raises:
            DataError: the mask is damaged, or of a picture with other sides.
        """
        stem = PurePosixPath(name).with_suffix("").as_posix()
        # `predict` keeps the suffix where two radiographs have one stem
        for start in (stem, name, f"masks/{stem}", f"masks/{name}"):
            for ends in (("",), ("_lungs",), tuple(f"_{side}" for side in UNIONS["lungs"])):
                paths = [self._files.get(f"{start}{end}") for end in ends]
                there = [path for path in paths if path is not None]
                if len(there) == len(ends):
                    return _read(there, (pixels.shape[0], pixels.shape[1]))
        return None


class MaskFile:
    """The mask of the one radiograph that is explained.

    Args:
        file: of the mask.
    """

    def __init__(self, *, file: Path) -> None:
        self.file = file

    def __call__(self, name: str, pixels: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Return the mask, see `LungMasks`.

        Raises:
            DataError: it is damaged, or of a picture with other sides.
        """
        del name
        return _read([self.file], (pixels.shape[0], pixels.shape[1]))


class SegmentedLungs:
    """Masks drawn by a network, when they are asked for.

    Args:
        segmenter: a loaded segmentation checkpoint.
        name: of the checkpoint, for messages.

    Raises:
        CheckpointError: it draws no lungs.
    """

    def __init__(self, *, segmenter: Segmenter, name: str) -> None:
        check_segmenter(segmenter, name)
        self.segmenter = segmenter

    def __call__(self, name: str, pixels: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Return what the network draws, see `LungMasks`."""
        del name
        return lungs_in(self.segmenter.many([pixels])[0])


def _read(paths: Sequence[Path], size: tuple[int, int]) -> NDArray[np.bool_]:
    planes = [np.asarray(read_mask(path).mask, bool) for path in paths]
    for path, plane in zip(paths, planes, strict=True):
        height, width = plane.shape
        if abs((width / height) / (size[1] / size[0]) - 1) > _TOLERANCE:
            msg = (
                f"the mask {path} is {height} x {width}, its radiograph {size[0]} x {size[1]} (height x width): the "
                "ratios of the sides differ by more than 1 %, so it belongs to another picture"
            )
            raise DataError(msg)
    scaled = [resized_masks(plane.astype(np.uint8)[None], *size)[0] > 0 for plane in planes]
    return np.asarray(np.any(scaled, axis=0), bool)
