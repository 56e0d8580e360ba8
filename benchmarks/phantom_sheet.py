"""How hard and how like the real thing is the phantom? Prints JSON; draws phantoms beside real radiographs.

Usage: python benchmarks/phantom_sheet.py sheet.png [--n 200] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.phantom.generator import Phantom


def otsu_lungs(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Segment by Otsu's threshold: the dark side, without the parts that touch the border."""
    _, bright = cv2.threshold(pixels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    _, labels = cv2.connectedComponents((bright == 0).astype(np.uint8), connectivity=4)
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return (labels > 0) & ~np.isin(labels, edge)


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / max(a.sum() + b.sum(), 1))


def real_images(root: Path, n: int) -> list[NDArray[np.uint8]]:
    patterns = (
        "jsrt/scr-200/images/*.png",
        "chest-xray-masks-and-labels/Lung Segmentation/CXR_png/MCU*.png",
        "chest-xray-masks-and-labels/Lung Segmentation/CXR_png/CHN*.png",
        "nih-chestxray/images/*.png",
        "kermany/chest_xray/train/*/*.jpeg",
    )
    found = [files for pattern in patterns if (files := sorted(root.glob(pattern)))]
    if not found:
        return []
    rng = np.random.default_rng(0)
    picks = [files[int(rng.integers(len(files)))] for files in (found * n)[:n]]
    return [np.asarray(cv2.imread(str(p), cv2.IMREAD_GRAYSCALE), dtype=np.uint8) for p in picks]


def sheet(path: Path, seed: int, start: int, pairs: int, side: int, contours: bool) -> None:
    phantom = Phantom(seed, (256, 256))
    rows: list[NDArray[np.uint8]] = []
    real = real_images(Path(os.environ.get("LUNGSEG_DATA", "../shared/data")), pairs)
    for k in range(pairs):
        sample = phantom.sample(start + k)
        left = cv2.cvtColor(sample.pixels, cv2.COLOR_GRAY2BGR)
        if contours:
            for i, mask in enumerate(sample.masks.values()):
                outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
                cv2.drawContours(
                    left, outlines, -1, [(0, 0, 255), (0, 255, 0), (255, 255, 0), (0, 165, 255), (255, 0, 255)][i], 1
                )
        cells = [left] + ([cv2.cvtColor(real[k], cv2.COLOR_GRAY2BGR)] if real and not contours else [])
        rows += [cv2.resize(c, (side, side), interpolation=cv2.INTER_AREA) for c in cells]
    columns = 8
    rows += [np.zeros_like(rows[0])] * (-len(rows) % columns)
    if not contours and real:  # phantoms above, real below
        rows = [
            c
            for i in range(0, len(rows), 2 * columns)
            for c in rows[i : i + 2 * columns : 2] + rows[i + 1 : i + 2 * columns : 2]
        ]
    lines = [np.hstack(rows[i : i + columns]) for i in range(0, len(rows), columns)]
    cv2.imwrite(str(path), np.vstack(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("png", type=Path)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--side", type=int, default=200)
    parser.add_argument("--contours", action="store_true")
    args = parser.parse_args()
    sheet(args.png, args.seed, args.start, args.pairs, args.side, args.contours)
    phantom = Phantom(args.seed, (256, 256))
    scores, spent = [], 0.0
    for i in range(args.n):
        t = time.process_time()
        sample = phantom.sample(i)
        spent += time.process_time() - t
        scores.append(
            dice(
                otsu_lungs(np.asarray(sample.pixels, np.uint8)), sample.masks["right_lung"] | sample.masks["left_lung"]
            )
        )
    result = {
        "metric": "mean Dice of Otsu's threshold on phantoms (256 x 256)",
        "n": args.n,
        "seed": args.seed,
        "otsu_dice": round(float(np.mean(scores)), 4) if scores else None,
        "otsu_dice_sd": round(float(np.std(scores)), 4) if scores else None,
        "ms_per_sample": round(1000 * spent / args.n, 2) if args.n else None,
        "env": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "cv2": cv2.__version__,
            "machine": platform.machine(),
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
