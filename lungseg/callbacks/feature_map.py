"""embedding.parquet: where the tested images lie by the features that the last layer reads."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lungseg import distributed
from lungseg.callbacks.per_sample import datamodule_of
from lungseg.callbacks.per_sample_classes import PerSampleClasses
from lungseg.errors import ConfigError, DataError
from lungseg.run_folder import writing
from lungseg.stats.tsne import LEAST, tsne

log = logging.getLogger(__name__)

COLUMNS = ("part", "source", "sample_id", "subject_id", "label", "predicted")


class FeatureMap(Callback):
    """Lays the tested images of a classifier out in two dimensions (t-SNE), for the report.

    The features are what goes into the last layer while the images are tested, so that no image is run twice. Without
    a last layer called `head` and a method `features`, as the classifiers of lungseg have them, nothing is written; nor
    is anything of fewer than 4 images, or where the features do not differ.

    embedding.parquet has one row for each image: part, source, sample_id, subject_id, label, predicted, x, y. The verb
    `explain` writes the features as well.

    Args:
        most: images that are laid out; of more that many are drawn, the same ones for the same seed. Of several tested
            parts the images of `test` are laid out, or of the first without it.
        perplexity: of t-SNE, roughly how many neighbours count.

    Raises:
        ConfigError: `most` is below 4 or `perplexity` not above 0.
    """

    def __init__(self, *, most: int = 1500, perplexity: float = 30.0) -> None:
        if most < LEAST or not perplexity > 0:
            msg = (
                f"callbacks.feature_map: most={most} must be at least {LEAST} and perplexity={perplexity} above 0; "
                "callbacks.feature_map=null leaves the map out"
            )
            raise ConfigError(msg)
        self.most = most
        self.perplexity = perplexity
        self._hook: RemovableHandle | None = None
        self._chosen: NDArray[np.int64] = np.zeros(0, np.int64)
        self._batch: Tensor | None = None
        self._at: list[NDArray[np.int64]] = []
        self._features: list[NDArray[np.float32]] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the images, and listen at the last layer."""
        self._at, self._features = [], []
        network: Any = getattr(pl_module, "model", None)
        head = getattr(network, "head", None)
        # thresholds are chosen in a test of their own, whose results nobody keeps
        if (
            _results(trainer) is None
            or not isinstance(head, nn.Module)
            or not callable(getattr(network, "features", 0))
        ):
            return
        data = datamodule_of(trainer)
        at = data.positions("test" if "test" in data.test_parts else data.test_parts[0])
        if len(at) > self.most:
            at = np.sort(np.random.default_rng(data.seed).choice(at, self.most, replace=False))
        self._chosen = at
        self._hook = head.register_forward_pre_hook(self._listen)

    def _listen(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._batch = inputs[0].detach()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the features of those images of a batch that were chosen."""
        if self._hook is None or self._batch is None:
            return
        at = batch["index"].numpy(force=True)
        keep = np.isin(at, self._chosen)
        if keep.any():
            self._at.append(at[keep])
            self._features.append(self._batch.float().flatten(1).numpy(force=True)[keep])
        self._batch = None

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lay out and write.

        Raises:
            ResourceError: the file cannot be written.
        """
        self._stop()
        found = [seen for each in distributed.gather((self._at, self._features)) for seen in zip(*each, strict=True)]
        results = _results(trainer)
        if not found or results is None or results.frame is None or not trainer.is_global_zero:
            return
        data = datamodule_of(trainer)
        at = np.concatenate([positions for positions, _ in found])
        order = np.argsort(at, kind="stable")  # several processes have tested a share each
        features = np.concatenate([each for _, each in found])[order]
        try:
            points = tsne(features, seed=data.seed, perplexity=min(self.perplexity, (len(features) - 1) / 3))
        except DataError as error:
            log.info("no map of the features: %s", error)
            return
        names = data.table.column("sample_id").take(at[order]).to_pylist()
        rows = results.frame.set_index("sample_id", drop=False).loc[names, list(COLUMNS)].reset_index(drop=True)
        path = Path(trainer.default_root_dir) / "embedding.parquet"
        with writing(path):
            rows.assign(x=points[:, 0], y=points[:, 1]).to_parquet(path, index=False)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Listen no more."""
        self._stop()

    def _stop(self) -> None:
        if self._hook is not None:
            self._hook.remove()
        self._hook = self._batch = None


def _results(trainer: Trainer) -> PerSampleClasses | None:
    """Return what keeps the results of this test; None where it is not a classifier's or keeps none."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next((callback for callback in callbacks if isinstance(callback, PerSampleClasses)), None)
