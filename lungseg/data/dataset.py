"""Batches gathered from the store."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from lungseg.data.augment.base import Augmentation, sample_key
from lungseg.data.augment.none import NoAugmentation
from lungseg.data.sampler import EpochBatch
from lungseg.data.store import Store
from lungseg.data.table import SamplesTable


class StoreDataset(Dataset[dict[str, Any]]):
    """Turns an `EpochBatch` into a batch of integers; floats are made on the device (`Normalize`).

    Args:
        table: the samples, in the store's order.
        store: their pixels.
        augment: None for evaluation.
        seed: the run's seed.
        labels: (N,) int64 or (N, L) float32 in the table's order; None for samples without classes.
    """

    def __init__(
        self,
        *,
        table: SamplesTable,
        store: Store,
        augment: Augmentation | None,
        seed: int,
        labels: NDArray[Any] | None = None,
    ) -> None:
        self.table = table
        self.store = store
        self.augment = None if isinstance(augment, NoAugmentation) else augment
        self.seed = seed
        self.labels = labels

    def __len__(self) -> int:
        """Return the number of samples of the table."""
        return len(self.table)

    def __getitems__(self, batch: EpochBatch) -> dict[str, Any]:
        """Gather a batch: image (B, 1, H, W) uint8 | uint16, mask (B, K, H, W) uint8, index, sample_id, source, share.

        Where a sample of the table leaves pixels out, every batch has valid (B, 1, H, W) uint8; with labels it has
        label (B,) int64 or (B, L) float32; without structures it has no mask.
        """
        positions = batch.positions
        images = self.store.images(positions)
        masks = self.store.masks(positions) if self.store.structures else None
        sample_ids: list[str] = self.table.column("sample_id").take(positions).to_pylist()
        if self.augment is not None:
            repeats = np.zeros(len(positions), np.int64) if batch.repeats is None else batch.repeats
            keys = [sample_key(name, repeat) for name, repeat in zip(sample_ids, repeats.tolist(), strict=True)]
            images, masks = self._augmented(batch.epoch, keys, images, masks)
        out: dict[str, Any] = {
            "image": torch.from_numpy(images[:, None]),
            "index": torch.from_numpy(positions),
            "sample_id": sample_ids,
            "source": self.table.column("source").take(positions).to_pylist(),
            "share": batch.share,
        }
        if self.labels is not None:
            out["label"] = torch.from_numpy(self.labels[positions])
        if masks is not None:
            structures = len(self.store.structures)
            out["mask"] = torch.from_numpy(np.ascontiguousarray(masks[:, :structures]))
            if masks.shape[1] > structures:
                out["valid"] = torch.from_numpy(1 - masks[:, structures:])
        return out

    def _augmented(
        self, epoch: int, keys: list[int], images: NDArray[Any], masks: NDArray[np.uint8] | None
    ) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
        augment = self.augment
        if augment is None:
            return images, masks
        given = masks if masks is not None else np.zeros((len(images), 0, *images.shape[1:]), np.uint8)
        for i, key in enumerate(keys):
            # gathered arrays are copies, so the store is never written to
            images[i], given[i] = augment(images[i], given[i], seed=self.seed, epoch=epoch, key=key)
        return images, masks
