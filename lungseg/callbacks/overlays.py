"""Pictures: reference and predicted outline on the radiograph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray

from lungseg.callbacks.per_sample import PerSample, datamodule_of
from lungseg.data.datamodule import LungDataModule
from lungseg.data.dataset import StoreDataset
from lungseg.data.sampler import EpochBatch
from lungseg.overlay import draw_overlay
from lungseg.run_folder import writing
from lungseg.tasks.segmentation import SegmentationTask


class Overlays(Callback):
    """Draws the best, median and worst tested images, and sends a few validation images to the loggers.

    Args:
        each: images per rank (best, median, worst) and tested part.
        logged: validation images sent to W&B or TensorBoard, always the same ones.
        every_epochs: epochs between two sendings; the last epoch is always sent.
    """

    def __init__(self, *, each: int = 3, logged: int = 4, every_epochs: int = 5) -> None:
        self.each = each
        self.logged = logged
        self.every_epochs = every_epochs

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Send validation overlays to the loggers that take pictures."""
        last = trainer.current_epoch + 1 == trainer.max_epochs
        due = last or trainer.current_epoch % self.every_epochs == 0
        if trainer.sanity_checking or not due or not self.logged or not trainer.is_global_zero:
            return
        if not isinstance(pl_module, SegmentationTask):
            return
        takers = [logger for logger in trainer.loggers if type(logger).__name__ in ("WandbLogger", "TensorBoardLogger")]
        data = datamodule_of(trainer)
        at = data.positions("val")[: self.logged]
        if not takers or not len(at):
            return
        images, masks, logits = _run(data, pl_module, at)
        predicted = pl_module.foreground(torch.from_numpy(logits)).numpy()
        for logger in takers:
            _send(logger, trainer, data, images, masks, predicted)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the tested images that were chosen by their Dice."""
        counted = [callback for callback in trainer.callbacks if isinstance(callback, PerSample)]  # type: ignore[attr-defined]
        frame = counted[0].frame if counted else None
        if frame is None or not self.each or not trainer.is_global_zero or not isinstance(pl_module, SegmentationTask):
            return
        data = datamodule_of(trainer)
        folder = Path(trainer.default_root_dir) / "overlays"
        with writing(folder):
            folder.mkdir(exist_ok=True)
        listed: list[dict[str, Any]] = []
        places = {sample_id: i for i, sample_id in enumerate(data.table.column("sample_id").to_pylist())}
        for part, rows in frame.groupby("part", sort=False):
            for rank, chosen in _chosen(rows, self.each).items():
                for place, (sample_id, dice) in enumerate(chosen.items(), 1):
                    name = f"{part}_{rank}_{place}.png"
                    self._draw(folder / name, data, pl_module, counted[0], places[str(sample_id)])
                    source = str(rows.loc[rows["sample_id"] == sample_id, "source"].iloc[0])
                    listed.append(
                        {
                            "file": f"overlays/{name}", "part": part, "rank": rank, "place": place,
                            "sample_id": sample_id, "source": source, "dice": float(dice),
                        }
                    )  # fmt: skip
        with writing(folder / "index.json"):
            (folder / "index.json").write_text(json.dumps(listed, indent=2) + "\n")

    def _draw(
        self, path: Path, data: LungDataModule, module: SegmentationTask, counted: PerSample, position: int
    ) -> None:
        _, _, logits = _run(data, module, np.array([position]))
        reference = data.store.published(position)
        masks, _ = counted.postprocess(logits[0], reference.placement, reference.masks.shape[1:])
        picture = draw_overlay(data.original(position), masks, reference.masks)
        with writing(path):
            path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())


def _chosen(rows: pd.DataFrame, each: int) -> dict[str, pd.Series[float]]:
    """Pick samples by their mean Dice over structures; no sample is shown under two ranks."""
    scores = rows.groupby("sample_id", sort=True)["dice"].mean().dropna().sort_values(kind="stable")
    each = min(each, max(1, len(scores) // 3)) if len(scores) else 0
    middle = max(0, (len(scores) - each) // 2)
    return {
        "worst": scores.iloc[:each],
        "median": scores.iloc[middle : middle + each] if len(scores) >= 3 * each else scores.iloc[:0],
        "best": scores.iloc[::-1].iloc[:each] if len(scores) >= 2 * each else scores.iloc[:0],
    }


def _run(
    data: LungDataModule, module: SegmentationTask, positions: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.float32]]:
    """Return images (B, H, W) integers, masks (B, K, H, W) and logits (B, C, H, W) of some samples."""
    dataset = StoreDataset(table=data.table, store=data.store, augment=None, seed=data.seed)
    batch = dataset.__getitems__(EpochBatch(0, positions))
    was_training = module.training
    module.eval()
    with torch.no_grad():
        logits = module(data.normalize(batch["image"].to(module.device)))
    module.train(was_training)
    return batch["image"][:, 0].numpy(), batch["mask"].numpy(), logits.float().cpu().numpy()


def _send(
    logger: Any,
    trainer: Trainer,
    data: LungDataModule,
    images: NDArray[Any],
    masks: NDArray[np.uint8],
    predicted: NDArray[np.bool_],
) -> None:
    """Send pictures; they carry a number and no name, since a file name may be a patient's."""
    grey = (images / (255 if images.dtype == np.uint8 else 65535) * 255).astype(np.uint8)
    if type(logger).__name__ == "TensorBoardLogger":
        for i, image in enumerate(grey):
            picture = draw_overlay(image, predicted[i], masks[i].astype(bool), height=256)
            logger.experiment.add_image(f"val/overlay_{i}", picture[..., ::-1], trainer.global_step, dataformats="HWC")
        return
    import wandb

    names = dict(enumerate(data.store.structures, 1))
    pictures = []
    for i, image in enumerate(grey):
        layers = {
            kind: {"mask_data": _layer(planes), "class_labels": names}
            for kind, planes in (("prediction", predicted[i]), ("reference", masks[i] > 0))
        }
        pictures.append(wandb.Image(image, masks=layers, caption=f"validation image {i + 1}"))
    logger.experiment.log({"val/overlays": pictures, "trainer/global_step": trainer.global_step})


def _layer(planes: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Number the structures 1..K in one plane; where they overlap the later one shows."""
    out = np.zeros(planes.shape[1:], np.uint8)
    for k, plane in enumerate(planes, 1):
        out[plane] = k
    return out
