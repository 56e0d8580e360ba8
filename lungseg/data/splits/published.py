"""Published splits that lungseg ships as text files."""

from __future__ import annotations

from importlib import resources
from typing import ClassVar, Literal

import numpy as np

from lungseg.data.splits.base import Split, check_choice
from lungseg.data.splits.listed import assign_lists, names_in
from lungseg.data.table import SamplesTable
from lungseg.types import Part


class PublishedSplit(Split):
    """A split by lists that were published with a paper's code.

    `jsrt_hybridgnet`: 174 / 21 / 51 radiographs of JSRT (training, validation, test), published with HybridGNet
    (Gaggion et al., "Improving anatomical plausibility in medical image segmentation via hybrid graph neural networks",
    IEEE Transactions on Medical Imaging 42, 2023). JPCLN016 is in none of the lists.

    Args:
        lists: Name of the published split.
        missing: What to do with names that no sample has: `error`, or `ignore` (they are counted in the log).
    """

    strategy: ClassVar[str] = "published"

    def __init__(self, *, lists: str = "jsrt_hybridgnet", missing: Literal["error", "ignore"] = "error") -> None:
        check_choice("split.lists", lists, ("jsrt_hybridgnet",))
        check_choice("split.missing", missing, ("error", "ignore"))
        self.lists = lists
        self.missing = missing

    def assign(self, table: SamplesTable, seed: int) -> np.ndarray:
        """Give every row its part; the seed does not matter.

        Raises:
            DataError: A listed radiograph is not in the table, unless `missing` is `ignore`.
        """
        del seed
        folder = resources.files("lungseg.data.published").joinpath(self.lists)
        parts: tuple[Part, ...] = ("train", "val", "test")
        lists = {part: names_in(folder.joinpath(f"{part}.txt").read_text(encoding="utf-8")) for part in parts}
        return assign_lists(table, lists, missing=self.missing)
