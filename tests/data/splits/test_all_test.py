from __future__ import annotations

from lungseg.data.splits.all_test import AllTestSplit
from lungseg.data.table import SamplesTable


def test_everything_is_tested():
    row = {
        "sample_id": "s/1",
        "subject_id": "s/1",
        "source": "s",
        "image": "1.png",
        "masks": {},
        "label": None,
        "view": None,
        "sex": None,
        "age": None,
        "spacing_mm": None,
        "official_split": None,
    }
    assert AllTestSplit().assign(SamplesTable.from_rows([row]), 0).tolist() == ["test"]
