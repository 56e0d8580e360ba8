"""per_sample.parquet and metrics.json of a classifier: every tested radiograph with its probabilities."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from lungseg import distributed
from lungseg.callbacks.per_sample import Summarise, datamodule_of, nothing_tested, write_results
from lungseg.data.datamodule import LungDataModule
from lungseg.errors import DataError
from lungseg.metrics.probabilities import predicted, probabilities
from lungseg.types import Kind


class PerSampleClasses(Callback):
    """Keeps the probabilities of each tested image, and writes the results.

    per_sample.parquet has one row for each image: part, source, sample_id, subject_id, label (as the set has it),
    `p_<class>` float32 probabilities, `t_<class>` float32 truth (1, 0, NaN = unknown), predicted (the class; labels
    joined by `|`), kept (float32 share of the pixels that a step which goes by the lungs left as they were; NaN without
    one), sex, age, view.

    Args:
        kind: multiclass or multilabel.
        classes: their names, in the order of the logits.
        summarise: (frame, kind, classes, thresholds, n_boot, seed) -> the `parts` of metrics.json.
        n_boot: bootstrap resamples.
        facts: further entries of metrics.json: checkpoint, trained_on, trained_run.
        thresholds: multilabel: probability from which a label is predicted, by class; 0.5 where none is given.
    """

    def __init__(
        self,
        *,
        kind: Kind,
        classes: Sequence[str],
        summarise: Summarise,
        n_boot: int,
        facts: dict[str, Any],
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        self.kind: Kind = kind
        self.classes = tuple(classes)
        self.summarise = summarise
        self.n_boot = n_boot
        self.facts = facts
        self.thresholds = dict.fromkeys(self.classes, 0.5) | dict(thresholds or {})
        self.frame: pd.DataFrame | None = None
        self.parts: dict[str, Any] = {}
        self._frames: list[tuple[NDArray[np.int64], pd.DataFrame]] = []
        self._began = 0.0

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start afresh."""
        self._frames, self._began = [], time.monotonic()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take in a batch; `outputs` are its logits (B, C).

        Raises:
            DataError: a logit is not a number.
        """
        logits: Tensor = outputs
        found = logits.float().cpu().numpy()
        if not np.isfinite(found).all():
            bad = [name for name, row in zip(batch["sample_id"], found, strict=True) if not np.isfinite(row).all()]
            msg = (
                f"the network's outputs for {', '.join(bad[:5])} are not finite, so they have no probabilities. Test "
                "with trainer.precision=32-true, or train again with a lower optimizer.lr"
            )
            raise DataError(msg)
        at = batch["index"].numpy(force=True)
        self._frames.append((at, self._measured(datamodule_of(trainer), found, at)))

    def _measured(self, data: LungDataModule, logits: NDArray[np.float32], at: NDArray[np.int64]) -> pd.DataFrame:
        """Return a row for each image."""
        rows = [data.table.row(int(position)) for position in at]
        # rounded first, so that what is read from the file is predicted as it was
        chances = probabilities(logits, self.kind).astype(np.float32)
        truth = data.truth_at(at).astype(np.float32)
        return pd.DataFrame(
            {
                "part": [data.part_of(int(position)) for position in at],
                **{name: [row[name] for row in rows] for name in ("source", "sample_id", "subject_id", "label")},
                **{f"p_{name}": chances[:, i] for i, name in enumerate(self.classes)},
                **{f"t_{name}": truth[:, i] for i, name in enumerate(self.classes)},
                "predicted": predicted(chances, self.kind, self.classes, self.thresholds),
                "kept": data.store.kept(at),
                **{name: [row[name] for row in rows] for name in ("sex", "age", "view")},
            }
        ).astype({"age": np.float64})

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write both files; of several processes the first one does, with the images of all.

        Raises:
            DataError: nothing was tested.
        """
        found = [batch for batches in distributed.gather(self._frames) for batch in batches]
        if not found:
            raise nothing_tested()
        if not distributed.is_first():
            return
        data = datamodule_of(trainer)
        order = np.argsort(np.concatenate([at for at, _ in found]), kind="stable")
        self.frame = pd.concat([frame for _, frame in found], ignore_index=True).iloc[order].reset_index(drop=True)
        self.parts = self.summarise(
            self.frame,
            kind=self.kind,
            classes=self.classes,
            thresholds=self.thresholds if self.kind == "multilabel" else None,
            n_boot=self.n_boot,
            seed=data.seed,
        )
        result = {
            **self.facts,
            "kind": self.kind,
            "classes": list(self.classes),
            "thresholds": self.thresholds if self.kind == "multilabel" else {},
            "network_size": list(data.store.size),
            "parts": self.parts,
            "seconds": round(time.monotonic() - self._began, 2),
            "n_boot": self.n_boot,
            "bootstrap_seed": data.seed,
        }
        write_results(trainer, self.frame, result, _headline(self.parts))


def _headline(parts: dict[str, Any]) -> dict[str, float]:
    """Return the measures of all sources together with their intervals, named as loggers show them."""
    return {
        f"{part}/{name}{suffix}": float(value[key])
        for part, sources in parts.items()
        for name, value in sources["all"]["metrics"].items()
        for suffix, key in (("", "mean"), ("_low", "low"), ("_high", "high"))
        if value.get(key) is not None
    }
