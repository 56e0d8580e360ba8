from __future__ import annotations

import pytest

from lungseg.data.sources.jsrt import JsrtSource
from lungseg.data.splits.jsrt_scr import JsrtScrSplit
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError


def test_a_fold_that_is_neither_1_nor_2_is_refused():
    with pytest.raises(ConfigError, match=r"split\.train_fold is 0"):
        JsrtScrSplit(train_fold=0)


@pytest.mark.data
@pytest.mark.parametrize(("fold", "trained", "tested"), [(1, 124, 122), (2, 122, 124)])
def test_the_real_folds_are_odd_and_even_numbers(real_data, fold, trained, tested):
    samples = SamplesTable.from_rows(JsrtSource(search=str(real_data)).index().rows)
    parts = JsrtScrSplit(train_fold=fold, val=0).assign(samples, 0)
    assert ((parts == "train").sum(), (parts == "test").sum()) == (trained, tested)
    odd = {
        int(name[-3:]) % 2
        for name, part in zip(samples.column("sample_id").to_pylist(), parts, strict=True)
        if part == "train"
    }
    assert odd == {fold % 2}
    held = JsrtScrSplit(train_fold=fold).assign(samples, 0)
    assert (held == "val").sum() == 12  # a tenth of 124 or 122
    assert ((held == "test") == (parts == "test")).all()
