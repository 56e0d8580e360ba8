"""Training, validation and test parts by fractions."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from lungseg.data.splits.base import By, Split, check_choice, check_fractions, groups_of, ordered_groups, share_out
from lungseg.data.table import SamplesTable


class HoldoutSplit(Split):
    """A random split by fractions of the patients.

    Args:
        train: Fraction for training.
        val: Fraction for validation.
        test: Fraction for testing. The three add up to 1.
        by: `subject` keeps a patient's images together; `sample` does not, and training then needs allow_leakage=true.
        stratify: Column whose values are spread evenly (source, label, sex, view), or None.
    """

    strategy: ClassVar[str] = "holdout"

    def __init__(
        self,
        *,
        train: float = 0.7,
        val: float = 0.1,
        test: float = 0.2,
        by: By = "subject",
        stratify: str | None = "source",
    ) -> None:
        self.fractions = check_fractions(train, val, test)
        check_choice("split.by", by, ("subject", "sample"))
        self.by = by
        self.stratify = stratify

    def assign(self, table: SamplesTable, seed: int) -> np.ndarray:
        """Give every row its part.

        Raises:
            DataError: There are fewer patients than parts.
            ConfigError: `stratify` is no column.
        """
        order = ordered_groups(table, by=self.by, stratify=self.stratify, seed=seed)
        f = self.fractions
        parts = share_out(order, {"train": f["train"], "val": f["val"], "test": f["test"]})
        return np.array([parts[group] for group in groups_of(table, self.by)])
