"""Drawing rare classes more often."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lungseg.data.balance.base import Balance, different_labels
from lungseg.data.labels import NOTHING, tokens_of
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError

log = logging.getLogger(__name__)


class WeightedSampling(Balance):
    """Draws training samples with replacement, by weights that make rare classes as frequent as common ones.

    The weight of a sample is the mean of n_c ** -power over the classes c it is of, n_c being the training samples of
    class c. With `power=1` and one class each, every class is drawn equally often; with 0.5 the square root of its
    number counts; with 0 all weights are equal. A sample of which no class is known has the least weight there is.

    Args:
        power: How far classes are evened out, 0 to 1.
        classes: Names that count (`data.classes`); a sample that has none of them counts as one of the class `none`.
            None or an empty list = all names that labels hold.

    Raises:
        ConfigError: `power` is outside.
    """

    def __init__(self, *, power: float = 1.0, classes: Sequence[str] | None = None) -> None:
        if not 0 <= power <= 1:
            msg = f"balance.power is {power}; it must lie in 0..1"
            raise ConfigError(msg)
        self.power = power
        self.classes = frozenset(classes or ())

    def weights(self, table: SamplesTable, parts: NDArray[np.str_]) -> NDArray[np.float64] | None:
        """By what chances training samples are drawn: (N,) of mean 1 over the training part, 0 elsewhere."""
        found = np.zeros(len(parts))
        places = np.flatnonzero(parts == "train")
        # each different label once: a million images have some hundreds of them
        which, texts = different_labels(table, places)
        names = [self._names(text) for text in texts]
        images = np.bincount(which, minlength=len(texts))
        counts: Counter[str] = Counter()
        for held, n in zip(names, images.tolist(), strict=True):
            counts.update(dict.fromkeys(held, n))
        if not counts:
            found[places] = 1
            return found
        rarity = {name: n**-self.power for name, n in counts.items()}
        least = min(rarity.values())
        raw = np.array([np.mean([rarity[name] for name in held]) if held else least for held in names])
        each = raw / (raw @ images / len(places))
        found[places] = each[which]
        drawn = dict.fromkeys(counts, 0.0)
        for held, n, weight in zip(names, images.tolist(), each.tolist(), strict=True):
            for name in held:
                drawn[name] += n * weight
        log.info(
            "balance, weighted sampling: training samples of each class: %s; expected in an epoch: %s",
            ", ".join(f"{name} {counts[name]}" for name in sorted(counts)),
            ", ".join(f"{name} {drawn[name]:.0f}" for name in sorted(counts)),
        )
        return found

    def _names(self, label: str | None) -> tuple[str, ...]:
        """The names of a label that count."""
        held = tokens_of(label)
        if not self.classes or not held:
            return held
        return tuple(name for name in held if name in self.classes) or (NOTHING,)
