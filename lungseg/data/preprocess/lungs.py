"""What the steps that take a part of the picture away by the lung mask share."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.preprocess.base import Prepared
from lungseg.errors import ConfigError, DataError, near_name

DISK = "disk"
"""Value of `masks`: the lung masks that the sets publish."""

Empty = Literal["error", "keep"]
_RING = 0.02


def check_masks(masks: str, key: str = "preprocess.steps.lungs.masks") -> str:
    """Return where lung masks come from.

    Args:
        masks: `disk`, a folder, or a checkpoint.
        key: where the value stands in the config, for the message.

    Raises:
        ConfigError: it is empty.
    """
    if not masks.strip():
        msg = f"{key} is empty; give disk, a folder that lung masks were predicted into, or a segmentation checkpoint"
        raise ConfigError(msg)
    return masks


def check_empty(empty: str, key: str) -> Empty:
    """Return what is done with a radiograph whose lung mask is empty.

    Args:
        empty: `error` or `keep`.
        key: where the value stands in the config, for the message.

    Raises:
        ConfigError: it is neither.
    """
    choices: dict[str, Empty] = {"error": "error", "keep": "keep"}
    if empty in choices:
        return choices[empty]
    near = near_name(empty, choices)
    msg = f"{key}={empty} is none of error, keep" + (f"; did you mean {near}?" if near else "")
    raise ConfigError(msg)


def lungs_of(sample: Prepared, empty: Empty) -> NDArray[np.bool_] | None:
    """Return the lung mask that travels with a sample, (H, W) bool, or None where it is empty and may be.

    Args:
        sample: on its way through the steps.
        empty: what to do where nothing is drawn in it.

    Raises:
        DataError: there is none, or it is empty and may not be.
    """
    if sample.guide is None:
        msg = (
            "it needs a mask of the lungs, and this radiograph has none. Name where the masks of all radiographs come "
            "from: lung_masks=disk, a folder of masks, or the checkpoint of a segmentation net"
        )
        raise DataError(msg)
    drawn: NDArray[np.bool_] = sample.guide > 0
    if drawn.any():
        return drawn
    if empty == "keep":
        return None
    msg = (
        "it needs a mask of the lungs, and that of this radiograph is empty. Look whether it shows a chest and leave "
        "it out if it does not; preprocess.steps.lungs.empty=keep leaves such pictures as they are"
    )
    raise DataError(msg)


def filled(sample: Prepared, region: NDArray[np.bool_]) -> Prepared:
    """Fill a region with one grey value, the mean of what surrounds it.

    The surroundings are a ring of 2 % of the shorter side around the region; a region without any, such as one that
    covers the picture, becomes black.

    Args:
        sample: (H, W) or (H, W, 3).
        region: (H, W) bool.

    Returns:
        The sample, with the share of the pixels that were kept.
    """
    width = 2 * max(1, round(_RING * min(region.shape))) + 1
    wider = cv2.dilate(region.astype(np.uint8), np.ones((width, width), np.uint8)) > 0
    ring = wider & ~region
    image: NDArray[Any] = sample.image.copy()
    image[region] = np.rint(image[ring].mean(axis=0)).astype(image.dtype) if ring.any() else 0
    return sample.with_image(image).keeping(1.0 - float(region.mean()))


def box_of(mask: NDArray[np.bool_], margin: float) -> tuple[slice, slice]:
    """Return rows and columns of the smallest box around a mask, widened by a share of its own sides.

    Args:
        mask: (H, W) bool, not empty.
        margin: added on every side; the box ends at the picture's border.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return _stretch(rows, margin, mask.shape[0]), _stretch(columns, margin, mask.shape[1])


def _stretch(occupied: NDArray[np.intp], margin: float, length: int) -> slice:
    first, last = int(occupied[0]), int(occupied[-1]) + 1
    more = round(margin * (last - first))
    return slice(max(first - more, 0), min(last + more, length))
