"""Postprocessing chosen on the validation part: the threshold, and which further steps earn their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from lungseg import distributed
from lungseg.callbacks.per_sample import datamodule_of
from lungseg.errors import ConfigError, near_name
from lungseg.postprocess.chain import Postprocess
from lungseg.postprocess.search import PostprocessSearch
from lungseg.postprocess.threshold import Threshold
from lungseg.postprocess.threshold_search import ThresholdSearch

Update = Callable[[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_] | None], None]


@dataclass(frozen=True)
class Choice:
    """What the validation part likes best.

    Attributes:
        threshold: of the first step, or None where it was not searched.
        steps: names of the steps that stay, in order.
        dice: mean Dice over the validation images with them.
        n: validation images.
        candidates: mean Dice of everything that was tried, by name.
    """

    threshold: float | None
    steps: tuple[str, ...]
    dice: float
    n: int
    candidates: dict[str, float]


class PostprocessChoice(Callback):
    """Chooses among postprocessings by the mean Dice of the validation images on their published grid.

    First the value of a fixed threshold is searched (0, 0.01, ..., 1, with the first step alone), then every subset of
    the further steps named is tried with it. The test part is not looked at.

    Args:
        postprocess: the chain as configured; its steps keep their order.
        search: names of the steps to choose: a `Threshold` gets its value, any other may be left out.

    Raises:
        ConfigError: there is no step of a name, or the first step, if named, is no fixed threshold.
    """

    def __init__(self, *, postprocess: Postprocess, search: Sequence[str]) -> None:
        self.postprocess = postprocess
        first = next(iter(postprocess.steps))
        for name in search:
            if name not in postprocess.steps:
                near = near_name(name, postprocess.steps)
                hint = f"did you mean {near}?" if near else f"there are {', '.join(postprocess.steps)}"
                msg = f"postprocess.search names {name!r}, which is no step; {hint}"
                raise ConfigError(msg)
            if name == first and not isinstance(postprocess.steps[first], Threshold):
                msg = (
                    f"postprocess.search names {name!r}, the step that makes masks, which cannot be left out; only the "
                    "value of a fixed threshold can be searched there"
                )
                raise ConfigError(msg)
        self.search = tuple(search)
        self._first = first
        self._update: Update | None = None
        self._n = 0

    def choose(self, trainer: Trainer, module: LightningModule) -> Choice:
        """Run the network over the validation part and return the choice.

        Args:
            trainer: with a datamodule of ours; this callback is added to it for the time being.
            module: the task, with the weights that are going to be tested.

        Raises:
            ConfigError: the split has no validation part.
        """
        data = datamodule_of(trainer)
        if not len(data.positions("val")):
            msg = "postprocess.search needs a validation part to choose on, but the split has none; set it to []"
            raise ConfigError(msg)
        steps = dict(self.postprocess.steps)
        threshold = None
        tried: dict[str, float] = {}
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        callbacks.insert(0, self)
        try:
            if self._first in self.search:
                by_value = ThresholdSearch(num_classes=len(data.store.structures))
                self._pass(trainer, module, by_value)
                threshold, dice = by_value.best()
                steps[self._first] = Threshold(value=threshold)
                tried[f"{self._first}={threshold:g}"] = dice
            subsets = self._subsets(steps)
            by_subset = PostprocessSearch(candidates={name: list(chain.values()) for name, chain in subsets.items()})
            self._pass(trainer, module, by_subset)
        finally:
            callbacks.remove(self)
        best, dice = by_subset.best()
        return Choice(threshold, tuple(subsets[best]), dice, self._n, {**tried, **by_subset.dice()})

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Hand each image's probabilities to the search that is running."""
        if self._update is None:
            return
        data = datamodule_of(trainer)
        logits: Tensor = outputs
        for plane, position in zip(logits.float().cpu().numpy(), batch["index"].tolist(), strict=True):
            reference = data.store.published(position)
            size = (reference.masks.shape[1], reference.masks.shape[2])
            self._update(
                self.postprocess.probability(plane, reference.placement, size), reference.masks, reference.valid
            )
            self._n += 1

    def _pass(self, trainer: Trainer, module: LightningModule, search: ThresholdSearch | PostprocessSearch) -> None:
        """Let the trainer's test loop serve the validation part: its `predict` replaces our sampler by its own."""
        data = datamodule_of(trainer)
        parts, data.test_parts = data.test_parts, ("val",)
        self._update, self._n = search.update, 0
        try:
            trainer.test(module, datamodule=data, verbose=False)
        finally:
            self._update, data.test_parts = None, parts
        seen = distributed.gather((self._n, search.sums()))
        self._n = sum(n for n, _ in seen)
        others: list[Any] = [sums for rank, (_, sums) in enumerate(seen) if rank != trainer.global_rank]
        search.merge(others)

    def _subsets(self, steps: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Name -> chain for every way to leave out searched steps; the fullest comes first and wins among equals."""
        optional = [name for name in steps if name in self.search and name != self._first]
        found = {}
        for kept in product((True, False), repeat=len(optional)):
            out = {name for name, keep in zip(optional, kept, strict=True) if not keep}
            chain = {name: step for name, step in steps.items() if name not in out}
            found[" + ".join(chain)] = chain
        return found
