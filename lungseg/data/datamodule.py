"""The LightningDataModule: parts of one table, served from one store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from lungseg.data.augment.base import Augmentation
from lungseg.data.dataset import StoreDataset
from lungseg.data.labels import NOTHING, count_names
from lungseg.data.normalize import Normalize
from lungseg.data.sampler import EpochSampler
from lungseg.data.sources.base import Source
from lungseg.data.store import Store
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError, first_five
from lungseg.types import Batch, Part

log = logging.getLogger(__name__)

_PARTS = np.array(["test", "train", "unused", "val"])


class LungDataModule(LightningDataModule):
    """Serves training batches in random order with augmentation, and every other part in table order.

    Batches leave the loader as integers; they become float32 in [0, 1] and are normalised after the transfer to the
    device.

    Args:
        table: the samples.
        parts: (N,) the part of each sample: `train`, `val`, `test` or `unused`.
        store: their pixels, in table order.
        normalize: applied last.
        sources: name -> (source, root), to read radiographs at their published size.
        augment: for training batches.
        batch_size: samples per batch on one device.
        num_workers: loader processes; 0 loads in the training process. Weights do not depend on it.
        seed: of order and augmentation.
        test_parts: the parts that the test loader serves, one after the other.
        classes: names of the classes, in the order of the labels; empty for segmentation.
        labels: (N,) int64 class of each sample, -1 = unknown, or (N, L) float32 of 0, 1 and NaN = unknown. None for
            segmentation.
        weights: (N,) float64 chances by which training samples are drawn with replacement; None draws each once.
    """

    def __init__(
        self,
        *,
        table: SamplesTable,
        parts: NDArray[np.str_],
        store: Store,
        normalize: Normalize,
        sources: Mapping[str, tuple[Source, Path]],
        augment: Augmentation | None = None,
        batch_size: int = 4,
        num_workers: int = 0,
        seed: int = 0,
        test_parts: Sequence[Part] = ("test",),
        classes: Sequence[str] = (),
        labels: NDArray[Any] | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            msg = f"data.batch_size={batch_size} must be at least 1 and data.num_workers={num_workers} at least 0"
            raise ConfigError(msg)
        self.table = table
        self._codes = np.searchsorted(_PARTS, parts).astype(np.uint8)  # one byte a sample
        self.store = store
        self.normalize = normalize
        self.sources = sources
        self.augment = augment
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.test_parts = tuple(test_parts)
        self.classes = tuple(classes)
        self.labels = labels
        self.weights = weights
        if not normalize.is_fitted:
            training = self.positions("train")
            if not len(training):
                msg = "preprocess.normalize asks for the training part's constants, but the split has no training part"
                raise ConfigError(msg)
            normalize.fit(*store.mean_and_std(training))

    def positions(self, *parts: Part) -> NDArray[np.int64]:
        """Return the table positions of some parts, in table order."""
        wanted = np.isin(_PARTS, parts)
        return np.flatnonzero(wanted[self._codes]).astype(np.int64)

    def part_of(self, position: int) -> str:
        """Return the part of one sample."""
        return str(_PARTS[self._codes[position]])

    def train_dataloader(self) -> DataLoader[Any]:
        """Serve the training part in an order drawn from (seed, epoch)."""
        dataset = self.dataset(self.augment)
        trainer: Any = self.trainer
        sampler = self._sampler(
            self.positions("train"),
            shuffle=True,
            batches_done=self._batches_done,
            limit=(trainer.limit_train_batches if trainer is not None else None) or 1.0,
            # lightning would turn off a shuffling sampler of torch; of ours it knows nothing
            repeat=trainer is not None and trainer.overfit_batches > 0,
        )
        return self._loader(dataset, sampler)

    def val_dataloader(self) -> DataLoader[Any]:
        """Serve the validation part in table order."""
        return self._plain_loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """Serve the parts named `test_parts`, each in table order."""
        return self._plain_loader(*self.test_parts)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> Batch:
        """Turn the integers into normalised float32, on the device."""
        batch["image"] = self.normalize(batch["image"])
        return cast("Batch", batch)

    def original(self, position: int) -> NDArray[Any]:
        """Read one radiograph as published: (H, W) or (H, W, 3) uint8 or uint16, bright = dense."""
        row = self.table.row(position)
        source, root = self.sources[row["source"]]
        return source.read_image(root, row).pixels

    def require(self, *parts: Part) -> None:
        """Raise when a part is empty or holds samples without the masks that training or testing needs.

        Raises:
            ConfigError: the split leaves the part empty.
            DataError: samples of the part have no mask.
        """
        for part in parts:
            at = self.positions(part)
            if not len(at):
                msg = f"the split leaves no sample in the {part} part; see the split group, or data.sources"
                raise ConfigError(msg)
            if self.store.structures and not self.store.masked[at].all():
                without = at[~self.store.masked[at]]
                names = self.table.column("sample_id").take(without[:5]).to_pylist()
                msg = (
                    f"{len(without)} of {len(at)} samples in the {part} part have no mask of "
                    f"{', '.join(self.store.structures)}: {', '.join(names)}. Leave them out with "
                    "data.sources.<name>.missing=drop"
                )
                raise DataError(msg)

    def truth(self, *parts: Part) -> NDArray[np.float64]:
        """Return the labels of some parts with one column for each class.

        Returns:
            (N, C) float64 of 0 and 1; NaN where a label is not known.

        Raises:
            ValueError: the samples have no labels.
        """
        return self.truth_at(self.positions(*parts))

    def truth_at(self, positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the labels at some table positions, as `truth` does."""
        if self.labels is None:
            msg = "these samples have no labels: the datamodule was built for segmentation"
            raise ValueError(msg)
        labels = self.labels[positions]
        if labels.ndim == 2:
            return np.asarray(labels, np.float64)
        known = (labels >= 0)[:, None]
        return np.where(known, labels[:, None] == np.arange(len(self.classes)), np.nan)

    def class_counts(self) -> list[list[int]]:
        """Return the training images that are of each class and that are not, (C, 2); unknown labels are left out."""
        return [[int((column == 1).sum()), int((column == 0).sum())] for column in self.truth("train").T]

    def require_classes(self) -> None:
        """Raise when a class has nothing to be learnt from; warn of classes that a later part cannot judge.

        Raises:
            DataError: a class has no image at all, or none in the training part; a label is never absent there.
        """
        train, rest = self.truth("train"), self.truth("val", "test")
        everywhere = (train == 1).sum(axis=0) + (rest == 1).sum(axis=0)
        nowhere = [name for name, n in zip(self.classes, everywhere, strict=True) if not n]
        if nowhere:
            msg = (
                f"no image is of {', '.join(nowhere)}, out of data.classes={_listed(self.classes)}. Check the spelling "
                f"against the labels of the set (python -m lungseg check), or give {self._without(nowhere)}"
            )
            raise DataError(msg)
        learnt = (train == 1).sum(axis=0)
        unseen = [name for name, n in zip(self.classes, learnt, strict=True) if not n]
        if unseen:
            out = f"leave it out: {self._without(unseen)}"
            if self.labels is not None and self.labels.ndim == 1:  # its images would be of no class then
                out = f"take its images out of the set and give {self._without(unseen)}"
            msg = (
                f"no image of {', '.join(unseen)} is in the training part, only in others, so it cannot be learnt. "
                f"Another seed or split may put some there; or {out}"
            )
            raise DataError(msg)
        always = [name for name, n in zip(self.classes, (train == 0).sum(axis=0), strict=True) if not n]
        if always:
            msg = (
                f"every training image whose label is known is of {', '.join(always)}, so nothing is to be told apart. "
                "Choose data with images that are not, or other data.classes"
            )
            raise DataError(msg)
        self._warn_of_absent_classes("val", "test")

    def require_tested_classes(self, *parts: Part) -> None:
        """Raise when the labels of some parts name other things than the classes; warn of classes that are absent.

        In a multilabel set names that are no classes count for nothing, so that every image would be of none of them.

        Raises:
            DataError: no image is of any class, and their labels hold other names.
        """
        at = self.positions(*parts)
        if len(at) and not (self.truth_at(at) == 1).any():
            held = count_names(self.table.column("label").take(at).to_pylist())
            others = [name for name, _ in held.most_common() if name != NOTHING]
            if others:
                msg = (
                    f"none of the {len(at)} samples of the {' and '.join(parts)} part is of any class out of "
                    f"{_listed(self.classes)}: their labels name {first_five(others)}. Take a set with these classes, "
                    f"or correct its labels, where {NOTHING!r} says that an image shows none of them"
                )
                raise DataError(msg)
        self._warn_of_absent_classes(*parts)

    def _warn_of_absent_classes(self, *parts: Part) -> None:
        for part in parts:
            found = self.truth(part)
            empty = [name for name, n in zip(self.classes, (found == 1).sum(axis=0), strict=True) if not n]
            if len(found) and empty:
                log.warning(
                    "no image of the %s part is of %s: measures that need one are left out there, and counted",
                    part,
                    ", ".join(empty),
                )

    def _without(self, names: Sequence[str]) -> str:
        return f"data.classes={_listed([name for name in self.classes if name not in names])}"

    def require_disjoint(self, *parts: Part) -> None:
        """Raise when structures overlap, which a softmax cannot draw: it gives every pixel to one class.

        Raises:
            DataError: names the first five samples.
        """
        at = self.positions(*parts)
        shared = at[self.store.overlaps[at]]
        if len(shared):
            names = ", ".join(self.table.column("sample_id").take(shared[:5]).to_pylist())
            msg = (
                f"the structures {', '.join(self.store.structures)} overlap in {len(shared)} of {len(at)} samples "
                f"({names}), but task.activation=softmax gives each pixel to one structure only. Use "
                "task.activation=sigmoid with a loss for it (loss=bce_dice), or fewer data.structures"
            )
            raise DataError(msg)

    def _plain_loader(self, *parts: Part) -> DataLoader[Any]:
        return self._loader(self.dataset(None), self._sampler(self.positions(*parts), shuffle=False))

    def dataset(self, augment: Augmentation | None) -> StoreDataset:
        """Return the samples of the whole table, in table order, as batches are gathered from them."""
        return StoreDataset(table=self.table, store=self.store, augment=augment, seed=self.seed, labels=self.labels)

    def _sampler(
        self,
        positions: NDArray[np.int64],
        *,
        shuffle: bool,
        batches_done: Callable[[], int] = lambda: 0,
        limit: int | float = 1.0,
        repeat: bool = False,
    ) -> EpochSampler:
        trainer = self.trainer
        return EpochSampler(
            positions,
            batch_size=self.batch_size,
            seed=self.seed,
            shuffle=shuffle,
            batches_done=batches_done,
            limit=limit,
            repeat=repeat,
            rank=trainer.global_rank if trainer is not None else 0,
            world_size=trainer.world_size if trainer is not None else 1,
            weights=self.weights[positions] if self.weights is not None and shuffle else None,
        )

    def _batches_done(self) -> int:
        """Count the batches trained on so far; restored from a checkpoint before the loader starts."""
        if self.trainer is None:
            return 0
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress
        return int(progress.total.processed)

    def _loader(self, dataset: StoreDataset, sampler: EpochSampler) -> DataLoader[Any]:
        return DataLoader(
            dataset,
            batch_sampler=cast("Any", sampler),  # yields EpochBatch, which `__getitems__` takes
            collate_fn=cast("Any", _as_is),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_one_thread if self.num_workers else None,
        )


def _listed(names: Sequence[str]) -> str:
    return f"[{','.join(names)}]"


def _as_is(batch: dict[str, Any]) -> dict[str, Any]:
    """Hand the batch on: it was gathered as one."""
    return batch


def _one_thread(worker: int) -> None:
    """Keep OpenCV from starting a thread pool in every worker."""
    import cv2

    cv2.setNumThreads(0)
