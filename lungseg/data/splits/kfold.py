"""k-fold cross-validation."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from lungseg.data.splits.base import By, Split, check_choice, check_fraction, groups_of, hold_back, ordered_groups
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError


class KFoldSplit(Split):
    """Fold `fold` of `k` is the test part; a fraction of the rest is held back for validation.

    With one seed the k folds share no patient and together hold all of them.

    Args:
        k: Number of folds.
        fold: Which fold is tested, 0 to k - 1.
        val: Fraction of the other folds' patients for validation.
        by: `subject` keeps a patient's images together; `sample` does not, and training then needs allow_leakage=true.
        stratify: Column whose values are spread evenly (source, label, sex, view), or None.
    """

    strategy: ClassVar[str] = "kfold"

    def __init__(
        self,
        *,
        k: int = 5,
        fold: int = 0,
        val: float = 0.1,
        by: By = "subject",
        stratify: str | None = "source",
    ) -> None:
        if k < 2:
            msg = f"split.k is {k}; cross-validation needs at least 2 folds"
            raise ConfigError(msg)
        if not 0 <= fold < k:
            msg = f"split.fold is {fold}; with split.k={k} it must lie in 0..{k - 1}"
            raise ConfigError(msg)
        check_fraction("split.val", val)
        check_choice("split.by", by, ("subject", "sample"))
        self.k = k
        self.fold = fold
        self.val = val
        self.by = by
        self.stratify = stratify

    def assign(self, table: SamplesTable, seed: int) -> np.ndarray:
        """Give every row its part.

        Raises:
            DataError: There are fewer patients than folds.
            ConfigError: `stratify` is no column.
        """
        order = ordered_groups(table, by=self.by, stratify=self.stratify, seed=seed)
        if len(order) < self.k:
            msg = f"{len(order)} patients cannot fill {self.k} folds; lower split.k or use more data"
            raise DataError(msg)
        fold = {group: place % self.k for place, group in enumerate(order)}
        parts = np.array(
            ["test" if fold[group] == self.fold else "train" for group in groups_of(table, self.by)], dtype="<U6"
        )
        return hold_back(table, parts, fraction=self.val, by=self.by, stratify=self.stratify, seed=seed)
