"""Splits: pure functions of the samples table and a seed to one part per row.

Every strategy is a class with keyword-only options and `assign(table, seed)`. Patients are kept together unless `by`
says otherwise. Order is drawn by hashing names with the seed, so that it depends on neither the order of the rows nor
the version of a library. `split_hash` identifies a split; `check_subjects` refuses one patient in two parts.
"""

from __future__ import annotations

from lungseg.data.splits.all_test import AllTestSplit
from lungseg.data.splits.base import Split, check_subjects, split_hash
from lungseg.data.splits.count import CountSplit
from lungseg.data.splits.holdout import HoldoutSplit
from lungseg.data.splits.jsrt_scr import JsrtScrSplit
from lungseg.data.splits.kfold import KFoldSplit
from lungseg.data.splits.listed import ListSplit
from lungseg.data.splits.mc_sh_paper import McShPaperSplit
from lungseg.data.splits.official import OfficialSplit
from lungseg.data.splits.published import PublishedSplit
from lungseg.data.splits.stratified import StratifiedSplit
from lungseg.data.splits.two_draws import TwoDrawsSplit

__all__ = [
    "AllTestSplit",
    "CountSplit",
    "HoldoutSplit",
    "JsrtScrSplit",
    "KFoldSplit",
    "ListSplit",
    "McShPaperSplit",
    "OfficialSplit",
    "PublishedSplit",
    "Split",
    "StratifiedSplit",
    "TwoDrawsSplit",
    "check_subjects",
    "split_hash",
]
