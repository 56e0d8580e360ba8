"""The split a set is published with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from lungseg.data.splits.base import PARTS, Split, check_choice, check_fraction, hold_back
from lungseg.data.table import SamplesTable
from lungseg.errors import DataError
from lungseg.types import Part


class OfficialSplit(Split):
    """Parts by the column official_split.

    Args:
        parts: Value of official_split -> part; values may be mapped to `unused`.
        val: Fraction of the training patients to hold back for validation, where the published split has none.
        stratify: Column whose values are spread evenly when patients are held back, or None.
    """

    strategy: ClassVar[str] = "official"

    def __init__(
        self,
        *,
        parts: Mapping[str, Part] | None = None,
        val: float = 0.0,
        stratify: str | None = "source",
    ) -> None:
        self.parts = {"train": "train", "val": "val", "test": "test"} if parts is None else dict(parts)
        for value, part in self.parts.items():
            check_choice(f"split.parts.{value}", part, PARTS)
        check_fraction("split.val", val)
        self.val = val
        self.stratify = stratify

    def assign(self, table: SamplesTable, seed: int) -> np.ndarray:
        """Give every row its part.

        Raises:
            DataError: The set is published without a split, or with values that `parts` does not name.
        """
        values = table.column("official_split").to_pylist()
        unknown = sorted({str(value) for value in values if value not in self.parts})
        if unknown:
            none = sum(value is None for value in values)
            if none == len(values):
                msg = "these sets are published without a split; use split=holdout or split=kfold"
                raise DataError(msg)
            msg = (
                f"official_split holds {', '.join(unknown)}, which split.parts does not name ("
                f"{', '.join(f'{k}: {v}' for k, v in self.parts.items())}); give "
                "split.parts={<value>: train|val|test|unused, ...}"
            )
            raise DataError(msg)
        parts = np.array([self.parts[value] for value in values], dtype="<U6")
        return hold_back(table, parts, fraction=self.val, by="subject", stratify=self.stratify, seed=seed)
