"""Thresholds of labels, chosen on the validation part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray

from lungseg import distributed
from lungseg.callbacks.per_sample import datamodule_of
from lungseg.data.datamodule import LungDataModule
from lungseg.errors import ConfigError
from lungseg.metrics.probabilities import probabilities
from lungseg.metrics.thresholds import LabelThreshold

Chooser = Callable[..., dict[str, LabelThreshold]]


class ThresholdChoice(Callback):
    """Runs the network over the validation part and has the threshold of each label chosen from its probabilities.

    The test part is not looked at.

    Args:
        chooser: (probabilities (N, L), labels (N, L) with NaN, classes) -> what was chosen, by label.
    """

    def __init__(self, *, chooser: Chooser) -> None:
        self.chooser = chooser
        self._logits: list[NDArray[np.float32]] = []
        self._at: list[NDArray[np.int64]] = []

    def choose(self, trainer: Trainer, module: LightningModule) -> dict[str, LabelThreshold]:
        """Return what the validation part says of each label.

        Args:
            trainer: with a datamodule of ours; this callback is added to it for the time being.
            module: the task, with the weights that are going to be tested.

        Raises:
            ConfigError: the split has no validation part.
        """
        data = datamodule_of(trainer)
        self.require(data)
        parts, data.test_parts = data.test_parts, ("val",)
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        callbacks.insert(0, self)
        self._logits, self._at = [], []
        try:
            # the trainer's `predict` would replace our sampler by its own
            trainer.test(module, datamodule=data, verbose=False)
        finally:
            callbacks.remove(self)
            data.test_parts = parts
        found = [seen for each in distributed.gather((self._logits, self._at)) for seen in zip(*each, strict=True)]
        at = np.concatenate([positions for _, positions in found])
        order = np.argsort(at, kind="stable")
        # as they are kept in results, so that a threshold parts what it was chosen to part
        chances = probabilities(np.concatenate([logits for logits, _ in found])[order], "multilabel").astype(np.float32)
        return self.chooser(chances, data.truth_at(at[order]), classes=data.classes)

    @staticmethod
    def require(data: LungDataModule) -> None:
        """Refuse data without a validation part, best before anything is trained on them.

        Raises:
            ConfigError: there is none.
        """
        if not len(data.positions("val")):
            msg = (
                "metrics.thresholds needs a validation part to choose on, but the split has none; "
                "metrics.thresholds=null keeps 0.5"
            )
            raise ConfigError(msg)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the logits (B, L) of a batch."""
        self._logits.append(outputs.float().cpu().numpy())
        self._at.append(batch["index"].numpy(force=True))
