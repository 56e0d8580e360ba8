"""Two calls of scikit-learn's `train_test_split`, one after the other: the split of much published code."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import PurePosixPath
from typing import ClassVar, Literal

import numpy as np

from lungseg.data.splits.base import By, Split, check_choice, check_fraction, groups_of
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError
from lungseg.types import Part


class TwoDrawsSplit(Split):
    """Test and validation parts as two calls of `sklearn.model_selection.train_test_split` draw them.

    Radiographs are sorted by file name. The first call draws one part from all of them, the second the other part
    from what is left; both use `random_state`, so that the run's seed does not matter. Where a patient has several
    radiographs, patients are drawn instead, sorted by their first file name: with one radiograph each the parts are
    exactly those of the calls on the list of files.

    Args:
        test: Fraction for testing, of all.
        val: Fraction for validation.
        val_of: What `val` is a fraction of: the `rest` that the first call leaves, or the `whole`.
        first: Which part the first call draws: `test` or `val`.
        rounding: `ceil`, as scikit-learn rounds a fraction, or `floor`, as code does that passes int(fraction * n).
        random_state: Seed of both calls.
        by: `subject` keeps a patient's images together; `sample` does not, and training then needs allow_leakage=true.
    """

    strategy: ClassVar[str] = "two_draws"

    def __init__(
        self,
        *,
        test: float = 0.1,
        val: float = 0.2,
        val_of: Literal["rest", "whole"] = "rest",
        first: Literal["test", "val"] = "test",
        rounding: Literal["ceil", "floor"] = "ceil",
        random_state: int = 42,
        by: By = "subject",
    ) -> None:
        for key, value in (("split.test", test), ("split.val", val)):
            check_fraction(key, value)
        check_choice("split.val_of", val_of, ("rest", "whole"))
        check_choice("split.first", first, ("test", "val"))
        check_choice("split.rounding", rounding, ("ceil", "floor"))
        check_choice("split.by", by, ("subject", "sample"))
        if val_of == "rest" and first == "val":
            msg = "split.val_of=rest needs split.first=test: nothing is left over before the first draw"
            raise ConfigError(msg)
        self.test = test
        self.val = val
        self.val_of = val_of
        self.first = first
        self.rounding = rounding
        self.random_state = random_state
        self.by = by

    def assign(self, table: SamplesTable, seed: int) -> np.ndarray:
        """Give every row its part; the seed does not matter.

        Raises:
            DataError: There are too few patients for the parts.
        """
        # scikit-learn takes a second to import, and only this split needs it
        from sklearn.model_selection import train_test_split

        del seed
        groups = groups_of(table, self.by)
        names: dict[str, list[tuple[str, str]]] = defaultdict(list)
        images, samples = table.column("image").to_pylist(), table.column("sample_id").to_pylist()
        for group, image, sample in zip(groups, images, samples, strict=True):
            names[group].append((PurePosixPath(image).name, sample))
        left = sorted(names, key=lambda group: min(names[group]))
        parts: dict[str, Part] = {}
        for part, count in self._counts(len(left)).items():
            left, drawn = train_test_split(left, test_size=count, random_state=self.random_state)
            parts.update(dict.fromkeys(drawn, part))
        return np.array([parts.get(group, "train") for group in groups], dtype="<U6")

    def _counts(self, size: int) -> dict[Part, int]:
        """Part -> groups to draw, in the order of the draws; parts with a fraction of 0 are left out."""
        rounded = math.ceil if self.rounding == "ceil" else math.floor
        test = rounded(self.test * size)
        val = rounded(self.val * (size - test if self.val_of == "rest" else size))
        wanted: dict[Part, int] = {"test": test, "val": val} if self.first == "test" else {"val": val, "test": test}
        fractions = {"test": self.test, "val": self.val}
        empty = [part for part, count in wanted.items() if fractions[part] > 0 and count == 0]
        if empty or test + val >= size:
            msg = (
                f"{size} patients cannot fill the parts of the split: {size - test - val} for training, {val} for "
                f"validation and {test} for testing; use more data, or other fractions (split.test, split.val)"
            )
            raise DataError(msg)
        return {part: count for part, count in wanted.items() if count}
