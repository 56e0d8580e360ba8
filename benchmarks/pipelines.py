"""The ways to load that `data.py` compares, all with the same preprocessing and the same augmentation.

Preprocessing is that of paper `cxr_classification`: grey, histogram equalisation, Gaussian blur 5x5, resize. The
augmentation is lungseg's Affine with its default ranges. Each class makes batches of float32 images in [0, 1] and
uint8 masks; only `Ours` and MONAI's two keep anything between epochs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lungseg.data.augment.affine import Affine
from lungseg.data.augment.base import sample_key
from lungseg.data.datamodule import LungDataModule
from lungseg.data.normalize import Normalize
from lungseg.data.preprocess.base import Prepared
from lungseg.data.preprocess.grey import Grey
from lungseg.data.preprocess.resize import Resize, resized
from lungseg.data.sampler import EpochBatch
from lungseg.data.sources.base import Source, SourceIndex
from lungseg.data.store import Store
from lungseg.data.table import SamplesTable
from lungseg.types import Row

BATCH = 16
Pair = tuple[Path, Path]


class EqualizeBlur:
    """Histogram equalisation, then a Gaussian of 5x5, at the image's own size."""

    def __call__(self, sample: Prepared) -> Prepared:
        return sample.with_image(cv2.GaussianBlur(cv2.equalizeHist(sample.image), (5, 5), 0))


class PngPairs(Source):
    """The files of the benchmark."""

    name, title, folder_names, home = "bench", "benchmark files", ("bench",), "made by benchmarks/data.py"

    def expected_tree(self) -> str:
        return "*.png"

    def is_complete(self, folder: Path) -> bool:
        return True

    def build_index(self, root: Path) -> SourceIndex:
        return SourceIndex(root, [row_of(path.stem) for path in sorted(root.glob("image_*.png"))])


def row_of(stem: str) -> Row:
    return {
        "sample_id": f"bench/{stem}", "subject_id": f"bench/{stem}", "source": "bench", "image": f"{stem}.png",
        "masks": {"lungs": f"{stem.replace('image', 'mask')}.png"}, "label": None, "view": None, "sex": None,
        "age": None, "spacing_mm": None, "official_split": None,
    }  # fmt: skip


class Ours:
    """Store, sampler, augmentation, normalisation: what a training run does."""

    def __init__(self, root: Path, folder: Path, size: int, *, augment: Affine | None) -> None:
        source = PngPairs(root=str(root))
        table = SamplesTable.from_rows(source.index().rows)
        self.store = Store.build(
            table,
            {"bench": (source, root)},
            steps={"grey": Grey(), "equalize_blur": EqualizeBlur(), "resize": Resize(size=(size, size))},
            structures=("lungs",),
            folder=folder,
        )
        self.data = LungDataModule(
            table=table, parts=np.full(len(table), "train"), store=self.store, sources={"bench": (source, root)},
            normalize=Normalize(), augment=augment, batch_size=BATCH,
        )  # fmt: skip

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self.data.train_dataloader():
            done = self.data.on_after_batch_transfer(batch, 0)
            yield done["image"], done["mask"]

    def first(self, n: int, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The first n samples in table order, augmented as in the first epochs."""
        dataset = self.data.train_dataloader().dataset
        for epoch in range(epochs):
            done = self.data.on_after_batch_transfer(dataset.__getitems__(EpochBatch(epoch, np.arange(n))), 0)
            yield done["image"], done["mask"]

    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.store.folder.iterdir())


class EveryEpoch(Dataset[tuple[Tensor, Tensor]]):
    """Decodes and preprocesses each time; `how` is `cv2` (grey) or `pil` (RGB)."""

    def __init__(self, pairs: list[Pair], size: int, how: str) -> None:
        self.pairs = pairs
        self.size = size
        self.read = self._cv2 if how == "cv2" else self._pil
        self.augment = Affine()

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.read(*self.pairs[i], sample_key(f"bench/{self.pairs[i][0].stem}"))

    def _cv2(self, image_file: Path, mask_file: Path, key: int) -> tuple[Tensor, Tensor]:
        image = cv2.imread(str(image_file), cv2.IMREAD_GRAYSCALE)
        mask = cv2.imread(str(mask_file), cv2.IMREAD_GRAYSCALE)
        image = resized(cv2.GaussianBlur(cv2.equalizeHist(image), (5, 5), 0), self.size, self.size)
        mask = (resized(mask, self.size, self.size) >= 128).astype(np.uint8)
        image, masks = self.augment(image, mask[None], seed=0, epoch=0, key=key)
        return torch.from_numpy(image[None]).float().div_(255), torch.from_numpy(masks)

    def _pil(self, image_file: Path, mask_file: Path, key: int) -> tuple[Tensor, Tensor]:
        """The plain recipe: RGB throughout, Pillow's equalise, blur, resize and affine transform."""
        side = (self.size, self.size)
        image = ImageOps.equalize(Image.open(image_file).convert("RGB")).filter(ImageFilter.GaussianBlur(1.1))
        image = image.resize(side, Image.Resampling.BILINEAR)
        mask = Image.open(mask_file).convert("L").resize(side, Image.Resampling.NEAREST)
        drawn = self.augment.sample(seed=0, epoch=0, key=key, height=self.size, width=self.size)
        matrix = drawn.matrix.copy()
        matrix[:, 2] += 0.5 - matrix[:, :2] @ (0.5, 0.5)  # Pillow puts pixel centres at halves
        coefficients = tuple(matrix.ravel())
        image = image.transform(side, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
        mask = mask.transform(side, Image.Transform.AFFINE, coefficients, Image.Resampling.NEAREST)
        curve = np.clip(drawn.gain * np.linspace(0, 1, 256) ** drawn.gamma + drawn.offset, 0, 1)
        image = image.point(np.round(255 * curve).astype(int).tolist() * 3)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div_(255)
        return pixels, torch.from_numpy((np.array(mask) > 127).astype(np.uint8)[None])


def every_epoch(pairs: list[Pair], size: int, how: str) -> DataLoader[Any]:
    return DataLoader(EveryEpoch(pairs, size, how), batch_size=min(BATCH, len(pairs)))


def monai_cached(pairs: list[Pair], size: int, folder: Path | None) -> DataLoader[Any]:
    """MONAI's CacheDataset, or its PersistentDataset in a folder, with its own random transforms of the same ranges."""
    from monai import data, transforms

    def grey_equalize_blur(image: Tensor) -> Tensor:
        grey = cv2.equalizeHist(np.ascontiguousarray(image[0].numpy().astype(np.uint8)))
        return torch.from_numpy(cv2.GaussianBlur(grey, (5, 5), 0)[None].astype(np.float32))

    full = Affine()
    both = ["image", "mask"]
    shift = full.shift * size
    chain = transforms.Compose(
        [
            transforms.LoadImaged(both, reader="PILReader", image_only=True),
            transforms.EnsureChannelFirstd(both),
            transforms.Lambdad("image", grey_equalize_blur),
            transforms.Resized(both, (size, size), mode=("area", "nearest")),
            transforms.ScaleIntensityRanged(both, 0, 255, 0, 1),
            transforms.RandAffined(
                both,
                prob=1.0,
                rotate_range=math.radians(full.rotation_degrees),
                shear_range=(math.tan(math.radians(full.shear_degrees)), 0.0),
                translate_range=(shift, shift),
                scale_range=full.scale,
                mode=("bilinear", "nearest"),
                padding_mode=("reflection", "zeros"),
            ),
            transforms.RandAdjustContrastd("image", prob=1.0, gamma=(math.exp(-full.gamma), math.exp(full.gamma))),
            transforms.RandScaleIntensityd("image", factors=full.gain, prob=1.0),
            transforms.RandShiftIntensityd("image", offsets=full.offset, prob=1.0),
            transforms.EnsureTyped(both, track_meta=False),
        ]
    )
    files = [{"image": str(image), "mask": str(mask)} for image, mask in pairs]
    if folder is None:
        dataset: Any = data.CacheDataset(files, chain, progress=False, num_workers=1)
    else:
        dataset = data.PersistentDataset(files, chain, cache_dir=folder)
    return data.DataLoader(dataset, batch_size=min(BATCH, len(pairs)), num_workers=0)
