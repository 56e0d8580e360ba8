"""A validation part of a stated number of radiographs; the rest is for training."""

from __future__ import annotations

import logging
from collections import Counter
from typing import ClassVar

import numpy as np

from lungseg.data.splits.base import By, Split, check_choice, groups_of, seeded_order
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError

log = logging.getLogger(__name__)


class CountSplit(Split):
    """`val` radiographs of `of` for validation, all others for training; there is no test part.

    Patients are taken in an order drawn from `draw_seed` until the number is reached; one whose radiographs would
    exceed it is passed over. A set of another size gets the same share, which the log says.

    Args:
        val: Radiographs for validation in the set as the paper counts it.
        of: Radiographs of that set.
        draw_seed: Seed of the order; None takes the run's.
        by: `subject` keeps a patient's images together; `sample` does not, and training then needs allow_leakage=true.
    """

    strategy: ClassVar[str] = "count"

    def __init__(
        self,
        *,
        val: int,
        of: int,
        draw_seed: int | None = None,
        by: By = "subject",
    ) -> None:
        if not 0 < val < of:
            msg = f"split.val is {val} and split.of is {of}; val must lie between 0 and of, both excluded"
            raise ConfigError(msg)
        check_choice("split.by", by, ("subject", "sample"))
        self.val = val
        self.of = of
        self.draw_seed = draw_seed
        self.by = by

    def assign(self, table: SamplesTable, seed: int) -> np.ndarray:
        """Give every row its part.

        Raises:
            DataError: The set is too small for its share to be a radiograph, or one patient has nearly all of them.
        """
        size = len(table)
        wanted = round(self.val * size / self.of)
        if wanted != self.val:
            log.warning(
                "the split holds %d of %d radiographs back; here are %d, so it holds back %d",
                self.val,
                self.of,
                size,
                wanted,
            )
        groups = groups_of(table, self.by)
        sizes = Counter(groups)
        held: set[str] = set()
        left = wanted
        for group in seeded_order(sizes, seed if self.draw_seed is None else self.draw_seed):
            if sizes[group] <= left:
                held.add(group)
                left -= sizes[group]
        parts = np.array(["val" if group in held else "train" for group in groups], dtype="<U6")
        if set(parts.tolist()) != {"train", "val"}:
            msg = (
                f"{size} radiographs of {len(sizes)} patients are too few to hold back {self.val} of {self.of}; use "
                "split=holdout, or set split.val and split.of"
            )
            raise DataError(msg)
        return parts
