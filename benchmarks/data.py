"""Images a second and core: lungseg's store against decoding every epoch and against MONAI's caches.

Every pipeline serves float32 images with their masks from the same PNG files, preprocessed and augmented alike; that
they are alike is checked first (mean, standard deviation and Kolmogorov-Smirnov distance of the pixels). Costs are
process time of one thread per image, training order, nothing but loading.

Usage: python benchmarks/data.py [--pairs 7] [--size 256] [--out data.json]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from paired import arguments, cost, one_thread, paired, report
from pipelines import Ours, Pair, every_epoch, monai_cached

from lungseg.data.augment.affine import Affine
from lungseg.data.phantom.generator import Phantom

FILES = {1024: 192, 2048: 64}
FEW = {1024: 4, 2048: 2}  # what the slow pipelines load in one go; they keep nothing, so more would cost the same each
BYTES_PER_PIXEL = 0.31  # of published 8-bit radiographs as PNG


def write_files(folder: Path, side: int, n: int) -> list[Pair]:
    """Write n radiographs and masks: phantoms, moved about, with the noise that gives PNGs of a published size."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(side)
    phantom = Phantom(seed=0, size=(512, 512))
    samples = [phantom.sample(i) for i in range(4)]
    bases = [
        (
            cv2.resize(s.pixels, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32),
            cv2.resize(
                (s.masks["left_lung"] | s.masks["right_lung"]).astype(np.uint8) * 255,
                (side, side), interpolation=cv2.INTER_NEAREST,
            ),
        )
        for s in samples
    ]  # fmt: skip
    noise = [cv2.randn(np.empty((side, side), np.float32), 0, 1) for _ in range(3)]
    sigma = _noise_for(bases[0][0], noise[0])
    pairs = []
    for i in range(n):
        image, mask = bases[i % len(bases)]
        dy, dx = generator.integers(-side // 16, side // 16, 2)
        grain = np.roll(noise[i % 3], tuple(generator.integers(0, side, 2)), (0, 1))
        noisy = np.clip(np.round(np.roll(image, (dy, dx), (0, 1)) + sigma * grain), 0, 255).astype(np.uint8)
        pair = (folder / f"image_{i:04d}.png", folder / f"mask_{i:04d}.png")
        cv2.imwrite(str(pair[0]), noisy)
        cv2.imwrite(str(pair[1]), np.roll(mask, (dy, dx), (0, 1)))
        pairs.append(pair)
    return pairs


def _noise_for(image: np.ndarray, noise: np.ndarray) -> float:
    """The noise, in grey levels, at which a PNG takes BYTES_PER_PIXEL."""
    low, high = 0.0, 8.0
    for _ in range(8):
        middle = (low + high) / 2
        png = cv2.imencode(".png", np.clip(np.round(image + middle * noise), 0, 255).astype(np.uint8))[1]
        low, high = (middle, high) if len(png) < BYTES_PER_PIXEL * image.size else (low, middle)
    return high


def loads(epoch: Callable[[], Iterable[Any]]) -> Callable[[], float]:
    """A run that loads an epoch and returns CPU seconds per image."""

    def work() -> int:
        return sum(len(batch["image"] if isinstance(batch, dict) else batch[0]) for batch in epoch())

    return lambda: cost(work)


def pixels(batches: Iterable[Any]) -> tuple[np.ndarray, float]:
    """Grey values and the share of lung in the middle of the images, thinned out.

    The middle half of each side: at the border Pillow's transform is black where the others reflect.
    """
    images, masks = [], []
    for batch in batches:
        image, mask = (batch["image"], batch["mask"]) if isinstance(batch, dict) else batch
        edge = image.shape[-1] // 4
        middle = slice(edge, -edge, 3)
        images.append(np.asarray(image)[:, :1, middle, middle])
        masks.append(np.asarray(mask)[..., middle, middle])
    return np.concatenate(images).ravel(), float(np.concatenate(masks).mean())


def alike(name: str, a: tuple[np.ndarray, float], b: tuple[np.ndarray, float]) -> dict[str, Any]:
    """Distances between the pixels that two pipelines serve."""
    from scipy.stats import ks_2samp

    found = {
        "metric": f"same images: ours and {name}",
        "mean": [round(float(x[0].mean()), 4) for x in (a, b)],
        "sd": [round(float(x[0].std()), 4) for x in (a, b)],
        "lung_share": [round(x[1], 4) for x in (a, b)],
        "ks": round(float(ks_2samp(*(np.round(x[0], 4) for x in (a, b))).statistic), 4),
    }
    # Pillow equalises by a slightly different rule, and MONAI draws other numbers
    near = all(abs(x - y) < 0.03 for x, y in (found["mean"], found["sd"], found["lung_share"]))
    return {
        **found,
        "goal": "means, deviations and lung shares within 0.03, KS distance below 0.08",
        "met": near and found["ks"] < 0.08,
    }


def measure(side: int, work: Path, size: int, pairs: int) -> list[dict[str, Any]]:
    files = write_files(work / str(side), side, FILES[side])
    few = files[: FEW[side]]
    mean_bytes = round(float(np.mean([pair[0].stat().st_size for pair in files])))
    ours = Ours(work / str(side), work / f"store_{side}", size, augment=Affine())
    facts = {"files": len(files), "png_bytes": mean_bytes, "network_size": size, "unit": "CPU-ms per image"}
    run = loads(ours.epoch)
    some = files[:32]
    seen = pixels(ours.first(len(some), 1))
    results = []
    for name, how, goal in (
        ("PIL RGB", "pil", 100 if side == 1024 else 300),
        ("cv2", "cv2", 15 if side == 1024 else 50),
    ):
        results.append(alike(f"{name}, {side} px", seen, pixels(every_epoch(some, size, how))))
        results.append(
            paired(
                f"{name} every epoch / ours, {side} px", loads(lambda how=how: every_epoch(few, size, how)), run,
                pairs=pairs, goal=(">=", goal), **facts,
            )
        )  # fmt: skip
    if side == 1024:
        results += against_monai(files[:64], work, size, pairs, run, ours, facts)
        results.append(gather(files, work, pairs))
    return results


def against_monai(
    files: list[Pair], work: Path, size: int, pairs: int, run: Callable[[], float], ours: Ours, facts: dict[str, Any]
) -> list[dict[str, Any]]:  # fmt: skip
    results = []
    epochs = 5  # its draws are others than ours, so only many agree
    seen = pixels(ours.first(len(files), epochs))
    for name, folder in (("CacheDataset", None), ("PersistentDataset", work / "monai")):
        loader = monai_cached(files, size, folder)
        theirs = pixels(batch for _ in range(epochs) for batch in loader)
        bytes_each = (
            2 * 4 * size * size if folder is None else sum(p.stat().st_size for p in folder.iterdir()) / len(files)
        )
        results.append(alike(f"MONAI {name}", seen, theirs))
        results.append(
            paired(
                f"MONAI {name} / ours, 1024 px", loads(lambda loader=loader: loader), run, pairs=pairs, goal=(">=", 8),
                **facts, cache_bytes_per_image=[round(bytes_each), round(ours.bytes() / facts["files"])],
            )
        )  # fmt: skip
    return results


def gather(files: list[Pair], work: Path, pairs: int) -> dict[str, Any]:
    """Random 256x256 image and mask pairs from the store, without augmentation or normalisation."""
    ours = Ours(files[0][0].parent, work / "store_256", 256, augment=None)
    order = np.random.default_rng(0).permutation(np.tile(np.arange(len(files)), 8))
    batches = np.array_split(order, len(order) // 16)
    grey = np.stack([ours.store.images([i])[0] for i in range(len(files))])
    masks = np.stack([ours.store.masks([i])[0] for i in range(len(files))])

    def stored() -> int:
        return sum(len(ours.store.images(at)) + 0 * len(ours.store.masks(at)) for at in batches)

    def arrays() -> int:
        return sum(len(grey[at]) + 0 * len(masks[at]) for at in batches)

    result = paired(
        "gather from the store / from arrays in memory, 256 px", lambda: cost(stored), lambda: cost(arrays),
        pairs=pairs, unit="CPU-ms per pair",
    )  # fmt: skip
    rate = 1e3 / result["a"]
    return {**result, "pairs_per_second_per_core": round(rate), "goal": ">= 20000 a second", "met": rate >= 20_000}


def main() -> int:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="side of the network's grid, pixels")
    parser.add_argument("--sides", type=int, nargs="+", default=sorted(FILES), help="sides of the PNG files, pixels")
    options = parser.parse_args()
    one_thread()
    work = Path(tempfile.mkdtemp(prefix="lungseg-bench-"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MONAI's own
            results = [row for side in options.sides for row in measure(side, work, options.size, options.pairs)]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report(results, options.out)


if __name__ == "__main__":
    sys.exit(main())
