"""Any albumentations pipeline, reseeded for every sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungseg.data.augment.base import generator
from lungseg.errors import ConfigError


class Albumentations:
    """Run albumentations transforms on the sample as float32 in [0, 1], image and masks together.

    albumentations 2.0.8 keeps one random state per pipeline, which repeats draws over workers and epochs
    (AlbumentationsX issue 266: 8 distinct draws of 48). Here the state is set from (seed, epoch, sample) before each
    call, so the draws do not depend on workers, order or history.

    Args:
        transforms: name -> transform, in order; a null entry is left out.
    """

    def __init__(self, *, transforms: Mapping[str, Any]) -> None:
        import albumentations

        listed = [transform for transform in transforms.values() if transform is not None]
        if not listed:
            msg = "augment.transforms is empty; use augment=none for no augmentation"
            raise ConfigError(msg)
        self._pipeline = albumentations.Compose(listed)

    def __call__(
        self, image: NDArray[Any], masks: NDArray[np.uint8], *, seed: int, epoch: int, key: int
    ) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Change one sample: (H, W) integers and (K, H, W) uint8 masks."""
        full = 255.0 if image.dtype == np.uint8 else 65535.0
        draw = int(generator(seed, epoch, key).integers(2**31))
        self._pipeline.set_random_seed(draw)
        floats = (image.astype(np.float32) / full)[..., None]
        out = self._pipeline(image=floats, masks=list(masks))
        if out["image"].shape[:2] != image.shape:
            msg = (
                f"augment changes the size from {image.shape} to {out['image'].shape[:2]}; "
                "sizes belong to preprocess.steps.resize.size"
            )
            raise ConfigError(msg)
        changed = np.round(np.clip(out["image"][..., 0], 0.0, 1.0) * full).astype(image.dtype)
        moved = np.stack([np.asarray(mask, np.uint8) for mask in out["masks"]]) if len(masks) else masks
        return changed, moved
