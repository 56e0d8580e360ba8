"""The protocol of the SCR masks on JSRT: train on one fold, test on the other."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from lungseg.data.splits.base import Split, check_choice
from lungseg.data.splits.official import OfficialSplit
from lungseg.data.table import SamplesTable


class JsrtScrSplit(Split):
    """Fold 1 (odd numbers) for training and fold 2 (even numbers) for testing, or the other way round.

    A study runs both ways: `-m split.train_fold=1,2`.

    Source: van Ginneken, Stegmann, Loog, "Segmentation of anatomical structures in chest radiographs using supervised
    methods", Medical Image Analysis 10 (2006) 19-40, section 4.

    Args:
        train_fold: 1 or 2.
        val: Fraction of the training fold to hold back for validation; the published protocol has no such part.
    """

    strategy: ClassVar[str] = "jsrt_scr"

    def __init__(self, *, train_fold: int = 1, val: float = 0.1) -> None:
        check_choice("split.train_fold", train_fold, (1, 2))
        self.train_fold = train_fold
        test_fold = 3 - train_fold
        self._official = OfficialSplit(
            parts={f"fold{train_fold}": "train", f"fold{test_fold}": "test"}, val=val, stratify="label"
        )

    def assign(self, table: SamplesTable, seed: int) -> np.ndarray:
        """Give every row its part.

        Raises:
            DataError: The samples are not those of JSRT with SCR masks.
        """
        return self._official.assign(table, seed)
