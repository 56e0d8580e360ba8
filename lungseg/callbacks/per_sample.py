"""per_sample.parquet and metrics.json: every tested radiograph on its published grid."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from lungseg import distributed
from lungseg.data.datamodule import LungDataModule
from lungseg.errors import DataError
from lungseg.metrics.boundary import Boundary
from lungseg.metrics.counts import counts_of_image
from lungseg.metrics.overlap import PER_IMAGE
from lungseg.metrics.soft import SOFT, soft_sums
from lungseg.metrics.summary import COUNTS, MEAN, SUMS, soft_sums_of
from lungseg.postprocess.chain import Postprocess
from lungseg.run_folder import write_json, writing
from lungseg.types import Row

Summarise = Callable[..., dict[str, Any]]


class PerSample(Callback):
    """Measures each tested image at the size its mask was published, and writes the results.

    per_sample.parquet has one row for each image and structure: what was counted (tp, fp, fn, tn; n_right, pixels where
    every structure is right; n_ignored, pixels left out of everything; sum_pt, sum_p, sum_pp over the probabilities),
    the measures that follow from it (`lungseg.metrics.overlap.PER_IMAGE`, `lungseg.metrics.soft.SOFT`), the outlines
    (`lungseg.metrics.boundary.Boundary`), the grid (height and width, pixels; spacing_row_mm and spacing_column_mm, NaN
    where not known) and the patient.

    Args:
        postprocess: logits to masks.
        summarise: (frame, n_boot, seed) -> the `parts` of metrics.json.
        n_boot: bootstrap resamples.
        facts: further entries of metrics.json: checkpoint, trained_on, trained_run.
        boundary: measures the outlines; None leaves them out.
    """

    def __init__(
        self,
        *,
        postprocess: Postprocess,
        summarise: Summarise,
        n_boot: int,
        facts: dict[str, Any],
        boundary: Boundary | None = None,
    ) -> None:
        self.postprocess = postprocess
        self.summarise = summarise
        self.n_boot = n_boot
        self.facts = facts
        self.boundary = boundary
        self.frame: pd.DataFrame | None = None
        self._rows: list[tuple[int, list[dict[str, Any]]]] = []
        self._began = 0.0

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start afresh."""
        self._rows, self._began = [], time.monotonic()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Measure a batch; `outputs` are its logits (B, K or K + 1, H, W)."""
        data = datamodule_of(trainer)
        logits: Tensor = outputs
        for planes, position in zip(logits.float().cpu().numpy(), batch["index"].tolist(), strict=True):
            self._rows.append((position, self._measured(data, planes, position)))

    def _measured(self, data: LungDataModule, logits: NDArray[np.float32], position: int) -> list[dict[str, Any]]:
        """Measure one image: a row for each structure."""
        reference, valid, placement, image_size = data.store.published(position)
        height, width = reference.shape[1:]
        masks, probability = self.postprocess(logits, placement, (height, width))
        row = data.table.row(position)
        spacing = _spacing_mm(row, image_size, (height, width))
        right = (masks == reference).all(axis=0)
        outlines: list[dict[str, float]] = [{} for _ in masks]
        if self.boundary is not None:
            outlines = self.boundary(masks, reference, valid=valid, spacing_mm=spacing)
        of_image = {
            "n_right": int(np.count_nonzero(right if valid is None else right & valid)),
            "n_ignored": 0 if valid is None else int(valid.size - np.count_nonzero(valid)),
            "height": height,
            "width": width,
            "spacing_row_mm": spacing[0] if spacing else np.nan,
            "spacing_column_mm": spacing[1] if spacing else np.nan,
            "sex": row["sex"],
            "age": row["age"],
            "view": row["view"],
        }
        return [
            {
                "part": data.part_of(position),
                "source": row["source"],
                "sample_id": row["sample_id"],
                "subject_id": row["subject_id"],
                "structure": structure,
                **dict(zip(COUNTS, counts.tolist(), strict=True)),
                **dict(zip(SUMS, (pt, p, pp), strict=True)),
                **outline,
                **of_image,
            }
            for structure, counts, (pt, p, _, pp, _), outline in zip(
                data.store.structures,
                counts_of_image(masks, reference, valid),
                soft_sums(probability, reference, valid).tolist(),
                outlines,
                strict=True,
            )
        ]

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write both files; of several processes the first one does, with the images of all.

        Raises:
            DataError: nothing was tested.
        """
        found = [image for images in distributed.gather(self._rows) for image in images]
        if not found:
            raise nothing_tested()
        if not distributed.is_first():
            return
        data = datamodule_of(trainer)
        found.sort(key=lambda image: image[0])
        rows = [row for _, image in found for row in image]
        self.frame = _with_measures(pd.DataFrame(rows).astype({"age": np.float64}))
        result = {
            **self.facts,
            "grid": "published",
            "network_size": list(data.store.size),
            "threshold": self.postprocess.threshold,
            "tolerance_mm": None if self.boundary is None else self.boundary.tolerance_mm,
            "parts": self.summarise(self.frame, n_boot=self.n_boot, seed=data.seed),
            "seconds": round(time.monotonic() - self._began, 2),
            "n_boot": self.n_boot,
            "bootstrap_seed": data.seed,
        }
        write_results(trainer, self.frame, result, _headline(result["parts"]))


def nothing_tested() -> DataError:
    """Say that no part held anything to test."""
    return DataError("no sample was tested; the tested parts of the split are empty (test_parts, or parts)")


def write_results(trainer: Trainer, frame: pd.DataFrame, result: dict[str, Any], headline: dict[str, float]) -> None:
    """Write per_sample.parquet and metrics.json, and send the headline to the loggers.

    Raises:
        ResourceError: a file cannot be written.
    """
    folder = Path(trainer.default_root_dir)
    waiting = folder / ".per_sample.parquet.part"
    with writing(folder / "per_sample.parquet"):
        frame.to_parquet(waiting, index=False)
        waiting.replace(folder / "per_sample.parquet")
    with writing(folder / "metrics.json"):
        write_json(folder / "metrics.json", result)
    for logger in trainer.loggers:
        logger.log_metrics(headline, step=trainer.global_step)


def _spacing_mm(row: Row, image_size: tuple[int, int], mask_size: tuple[int, int]) -> tuple[float, float] | None:
    """Return the size (rows, columns) in mm of a pixel of the mask, which may lie on another grid than the image."""
    if row["spacing_mm"] is None:
        return None
    rows, columns = (
        float(side) * image / mask for side, image, mask in zip(row["spacing_mm"], image_size, mask_size, strict=True)
    )
    return rows, columns


def _with_measures(frame: pd.DataFrame) -> pd.DataFrame:
    """Put the measures that follow from counts and sums behind them."""
    counts, sums = frame[COUNTS].to_numpy(dtype=np.int64), soft_sums_of(frame)
    measures = {name: measure(counts) for name, measure in PER_IMAGE.items()}
    measures |= {name: measure(sums) for name, measure in SOFT.items()}
    place = frame.columns.tolist().index(SUMS[-1]) + 1
    return pd.concat([frame.iloc[:, :place], pd.DataFrame(measures), frame.iloc[:, place:]], axis=1)


def _headline(parts: dict[str, Any]) -> dict[str, float]:
    """Return the means with their intervals, named as loggers show them: `test/dice`, `test/dice_low`.

    With several structures `test/dice` is their mean and `test/heart/dice` one of them.
    """
    named: dict[str, float] = {}
    for part, sources in parts.items():
        for structure, block in sources["all"].items():
            for name, value in block["metrics"].items():
                whole = len(sources["all"]) == 1 or structure == MEAN
                stem = f"{part}/{name}" if whole else f"{part}/{structure}/{name}"
                for suffix, key in (("", "mean"), ("_low", "low"), ("_high", "high")):
                    if value.get(key) is not None:
                        named[stem + suffix] = float(value[key])
    return named


def datamodule_of(trainer: Trainer) -> LungDataModule:
    """Return the trainer's datamodule.

    Raises:
        TypeError: it is not ours, so it has no published masks.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, LungDataModule):
        msg = f"per-sample results and overlays want a LungDataModule, not {type(data).__name__}"
        raise TypeError(msg)
    return data
