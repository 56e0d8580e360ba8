"""Training images of each class as they were read, as the network sees them, and augmented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray

from lungseg.callbacks.per_sample import datamodule_of
from lungseg.data.datamodule import LungDataModule
from lungseg.data.sampler import EpochBatch
from lungseg.overlay import levels
from lungseg.run_folder import writing
from lungseg.tasks.classification import ClassificationTask

READ, SEEN, AUGMENTED = "as read", "as the net sees it", "augmented"
MOST = 8
GAP = 4
"""Pixels between two panels."""


class Examples(Callback):
    """Writes a few training images of each class, before and after preprocessing, when a training begins.

    Each is one picture of two or three panels side by side: the radiograph as it was read, over the whole scale of its
    depth; as the network sees it, after preprocessing; and as it is augmented in the first epoch, where anything is.
    They lie in examples/ as `<number>.png`, and examples/index.json lists them: file, class, place (within the class),
    sample_id, source, panels.

    Args:
        each: images of each class, drawn by the run's seed; of five classes or more one each, and 0 writes none.
        height: of a panel, pixels; panels are square.
    """

    def __init__(self, *, each: int = 2, height: int = 256) -> None:
        self.each = each
        self.height = height

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the pictures and their list.

        Raises:
            ResourceError: a file cannot be written.
        """
        if not isinstance(pl_module, ClassificationTask) or self.each < 1 or not trainer.is_global_zero:
            return
        data = datamodule_of(trainer)
        folder = Path(trainer.default_root_dir) / "examples"
        with writing(folder):
            folder.mkdir(exist_ok=True)
        listed: list[dict[str, Any]] = []
        for of, place, position in _chosen(data, self.each):
            panels = _panels(data, position)
            name = f"{len(listed) + 1}.png"
            picture = _side_by_side(list(panels.values()), self.height)
            with writing(folder / name):
                (folder / name).write_bytes(cv2.imencode(".png", picture)[1].tobytes())
            row = data.table.row(position)
            listed.append(
                {
                    "file": f"examples/{name}", "class": of, "place": place, "sample_id": row["sample_id"],
                    "source": row["source"], "panels": list(panels),
                }
            )  # fmt: skip
        with writing(folder / "index.json"):
            (folder / "index.json").write_text(json.dumps(listed, indent=2) + "\n")


def _chosen(data: LungDataModule, each: int) -> list[tuple[str, int, int]]:
    """Draw training images of each class: class, place within it, position in the table."""
    each = min(each, max(1, MOST // max(1, len(data.classes))))
    training, truth = data.positions("train"), data.truth("train")
    found = []
    for number, of in enumerate(data.classes):
        there = training[truth[:, number] == 1]
        drawn = np.random.default_rng([data.seed, number]).permutation(there)[:each]
        found += [(of, place, int(position)) for place, position in enumerate(drawn, 1)]
    return found


def _panels(data: LungDataModule, position: int) -> dict[str, NDArray[Any]]:
    """Return one image at its stages, each (H, W) or (H, W, 3) integers."""
    first = EpochBatch(0, np.array([position]))
    panels = {READ: data.original(position), SEEN: data.dataset(None).__getitems__(first)["image"][0, 0].numpy()}
    augmented = data.dataset(data.augment)
    if augmented.augment is not None:
        panels[AUGMENTED] = augmented.__getitems__(first)["image"][0, 0].numpy()
    return panels


def _side_by_side(panels: list[NDArray[Any]], height: int) -> NDArray[np.uint8]:
    """Fit each panel into a square and set them in a row, (height, width) uint8."""
    row = np.zeros((height, len(panels) * (height + GAP) - GAP), np.uint8)
    for place, panel in enumerate(panels):
        grey = levels(panel)
        scale = height / max(grey.shape)
        tall, wide = (max(1, round(side * scale)) for side in grey.shape)
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        top, left = (height - tall) // 2, place * (height + GAP) + (height - wide) // 2
        row[top : top + tall, left : left + wide] = cv2.resize(grey, (wide, tall), interpolation=how)
    return row
