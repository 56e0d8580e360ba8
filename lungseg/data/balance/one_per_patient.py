"""One training sample of each patient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lungseg.data.balance.base import Balance, labels_at, leave_out
from lungseg.data.splits.base import seeded_order
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, near_name


class OnePerPatient(Balance):
    """Keeps one training sample of each patient, drawn by the seed.

    Args:
        labels: Only samples with one of these labels are thinned out, one of each patient among them; all others stay.
            None thins out everything.
    """

    def __init__(self, *, labels: Sequence[str] | None = None) -> None:
        if isinstance(labels, str) or (labels is not None and not labels):
            msg = f"balance.labels is {labels!r}; it must list labels ([No Finding]), or be null for all samples"
            raise ConfigError(msg)
        self.labels = None if labels is None else frozenset(labels)

    def apply(self, table: SamplesTable, parts: NDArray[np.str_], seed: int) -> NDArray[np.str_]:
        """Leave out all but one training sample of each patient.

        Raises:
            ConfigError: No training sample has one of the labels.
        """
        places = np.flatnonzero(parts == "train")
        labels = labels_at(table, places)
        if len(places) and self.labels is not None and self.labels.isdisjoint(labels):
            there = sorted({label for label in labels if label is not None})
            near = near_name(min(self.labels), there)
            hint = f" Did you mean {near!r}?" if near else ""
            msg = f"balance.labels={sorted(self.labels)}, but no training sample has one of these labels.{hint}"
            raise ConfigError(msg)
        thinned = [
            place
            for place, label in zip(places.tolist(), labels, strict=True)
            if self.labels is None or label in self.labels
        ]
        ids, subjects = table.column("sample_id"), table.column("subject_id")
        by_id = {str(ids[place]): place for place in thinned}
        kept: dict[str, int] = {}
        for sample in seeded_order(by_id, seed):
            kept.setdefault(str(subjects[by_id[sample]]), by_id[sample])
        return leave_out(table, parts, set(thinned).difference(kept.values()), "one sample of each patient")
