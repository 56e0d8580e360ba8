"""How values are drawn. The trial's number seeds every draw, so that no order of the trials changes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, PercentilePruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from lungseg.tuning.search import Search
from lungseg.tuning.space import Value


class CellSampler(BaseSampler):
    """Gives the values of one cell of a grid.

    Optuna's own grid sampler draws a free cell, so that two workers may take the same one.

    Args:
        cell: value by key.
    """

    def __init__(self, cell: Mapping[str, Value]) -> None:
        self.cell = cell

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing is drawn together."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing is drawn together."""
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Value:
        """Return the cell's value of a key."""
        return self.cell[param_name]


def make_sampler(search: Search, *, seed: int, number: int) -> BaseSampler:
    """Make the sampler of one trial.

    Random values and cells depend on the seed and the number alone. TPE looks at the trials that have ended by then.

    Args:
        search: with the method.
        seed: of the study.
        number: of the trial, from 0.
    """
    drawn = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    if search.method == "grid":
        return CellSampler(search.grid[number])
    if search.method == "random":
        return RandomSampler(seed=drawn)
    return TPESampler(seed=drawn, n_startup_trials=search.startup)


def make_pruner(search: Search, *, epochs: int | None) -> BasePruner:
    """Make the pruner.

    Args:
        search: with its settings.
        epochs: that a trial trains for; None = varied.
    """
    of = search.pruner
    if of.kind == "none":
        return NopPruner()
    if of.kind == "hyperband":
        return HyperbandPruner(min_resource=max(of.warmup, 1), max_resource=epochs or "auto")
    percentile = of.percentile if of.kind == "percentile" else 50.0
    # Optuna's step is our epoch, which is counted from 1: with a warm-up of 3 the third is never judged
    return PercentilePruner(percentile, n_startup_trials=of.startup, n_warmup_steps=of.warmup + 1)
