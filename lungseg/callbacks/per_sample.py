"""per_sample.parquet and metrics.json: every tested radiograph on its published grid."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lungseg.data.datamodule import LungDataModule
from lungseg.errors import DataError
from lungseg.metrics.counts import counts_of_image
from lungseg.metrics.overlap import OVERLAP
from lungseg.postprocess.chain import Postprocess
from lungseg.run_folder import write_json, writing

Summarise = Callable[..., dict[str, Any]]


class PerSample(Callback):
    """Counts each tested image at the size its mask was published, and writes the results.

    Args:
        postprocess: logits to masks.
        summarise: (frame, n_boot, seed) -> the `parts` of metrics.json.
        n_boot: bootstrap resamples.
        facts: further entries of metrics.json: checkpoint, trained_on, trained_run.
    """

    def __init__(self, *, postprocess: Postprocess, summarise: Summarise, n_boot: int, facts: dict[str, Any]) -> None:
        self.postprocess = postprocess
        self.summarise = summarise
        self.n_boot = n_boot
        self.facts = facts
        self.frame: pd.DataFrame | None = None
        self._rows: list[dict[str, Any]] = []
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
        """Count a batch; `outputs` are its logits (B, K, H, W)."""
        data = datamodule_of(trainer)
        logits: Tensor = outputs
        for plane, position in zip(logits.float().cpu().numpy(), batch["index"].tolist(), strict=True):
            reference, valid, placement, _ = data.store.published(position)
            masks, _ = self.postprocess(plane, placement, (reference.shape[1], reference.shape[2]))
            found = counts_of_image(masks, reference, valid)
            row = data.table.row(position)
            for structure, numbers in zip(data.store.structures, found, strict=True):
                self._rows.append(
                    {
                        "part": data.part_of(position),
                        "source": row["source"],
                        "sample_id": row["sample_id"],
                        "subject_id": row["subject_id"],
                        "structure": structure,
                        **dict(zip(("tp", "fp", "fn", "tn"), numbers.tolist(), strict=True)),
                        **{name: float(measure(numbers)) for name, measure in OVERLAP.items()},
                        "height": reference.shape[1],
                        "width": reference.shape[2],
                        "sex": row["sex"],
                        "age": row["age"],
                        "view": row["view"],
                    }
                )

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write both files.

        Raises:
            DataError: nothing was tested.
        """
        if not self._rows:
            msg = "no sample was tested; the tested parts of the split are empty (test_parts, or parts)"
            raise DataError(msg)
        data = datamodule_of(trainer)
        folder = Path(trainer.default_root_dir)
        self.frame = pd.DataFrame(self._rows).astype({"age": np.float64})
        waiting = folder / ".per_sample.parquet.part"
        with writing(folder / "per_sample.parquet"):
            self.frame.to_parquet(waiting, index=False)
            waiting.replace(folder / "per_sample.parquet")
        result = {
            **self.facts,
            "grid": "published",
            "network_size": list(data.store.size),
            "threshold": self.postprocess.threshold,
            "parts": self.summarise(self.frame, n_boot=self.n_boot, seed=data.seed),
            "seconds": round(time.monotonic() - self._began, 2),
            "n_boot": self.n_boot,
            "bootstrap_seed": data.seed,
        }
        with writing(folder / "metrics.json"):
            write_json(folder / "metrics.json", result)
        for logger in trainer.loggers:
            logger.log_metrics(_headline(result["parts"]), step=trainer.global_step)


def _headline(parts: dict[str, Any]) -> dict[str, float]:
    """Return the means with their intervals, named as loggers show them: `test/dice`, `test/dice_low`."""
    named: dict[str, float] = {}
    for part, sources in parts.items():
        for structure, block in sources["all"].items():
            for name, value in block["metrics"].items():
                stem = f"{part}/{name}" if len(sources["all"]) == 1 else f"{part}/{structure}/{name}"
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
