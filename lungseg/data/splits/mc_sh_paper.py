"""The split of "Early Screening of Lung Disease": masks in name order, permuted with seed 99, 15 % validation."""

from __future__ import annotations

import logging
import math
from pathlib import PurePosixPath
from typing import ClassVar, Literal

import numpy as np

from lungseg.data.splits.base import By, Split, check_choice, check_fraction
from lungseg.data.structures import paths_for
from lungseg.data.table import SamplesTable
from lungseg.errors import DataError

log = logging.getLogger(__name__)

_PAIRS = 704


class McShPaperSplit(Split):
    """Validation and training parts of the 704 Montgomery and Shenzhen pairs; there is no test part.

    The paper permutes "the list of masks" with seed 99 and takes 15 % for validation. What it leaves open is chosen
    here: the list is sorted by file name, `numpy.random.RandomState(99).permutation` draws the order (the generator
    that `numpy.random.seed` sets; its stream is frozen), the first int(.15 * 704) = 105 are validation, the other 599
    training. The run's seed does not matter.

    Args:
        permutation_seed: Seed of the permutation.
        val: Fraction for validation.
        rounding: `floor` (105 of 704) or `ceil` (106).
    """

    strategy: ClassVar[str] = "mc_sh_paper"
    by: By = "sample"

    def __init__(
        self, *, permutation_seed: int = 99, val: float = 0.15, rounding: Literal["floor", "ceil"] = "floor"
    ) -> None:
        check_fraction("split.val", val)
        check_choice("split.rounding", rounding, ("floor", "ceil"))
        self.permutation_seed = permutation_seed
        self.val = val
        self.rounding = rounding

    def assign(self, table: SamplesTable, seed: int) -> np.ndarray:
        """Give every row its part.

        Raises:
            DataError: A sample has no lung mask.
        """
        del seed
        names: list[str] = []
        for row in table.rows():
            paths = paths_for(row["masks"], "lungs")
            if not paths:
                msg = f"{row['sample_id']} has no lung mask, so split=mc_sh_paper cannot place it; use data=mc_sh"
                raise DataError(msg)
            names.append(PurePosixPath(paths[0]).name)
        if len(names) != _PAIRS:
            log.warning("split=mc_sh_paper is the paper's for %d pairs; here are %d", _PAIRS, len(names))
        by_name = np.array(sorted(range(len(names)), key=lambda place: names[place]))
        order = by_name[np.random.RandomState(self.permutation_seed).permutation(len(names))]
        exact = self.val * len(names)
        held = math.floor(exact) if self.rounding == "floor" else math.ceil(exact)
        parts = np.full(len(names), "train", dtype="<U6")
        parts[order[:held]] = "val"
        return parts
