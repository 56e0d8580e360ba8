from __future__ import annotations

import numpy as np
import pytest

from lungseg.data.splits.base import check_subjects
from lungseg.data.splits.kfold import KFoldSplit
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError


def table(n, per_subject=1):
    return SamplesTable.from_rows(
        {
            "sample_id": f"s/{i}",
            "subject_id": f"s/p{i // per_subject}",
            "source": "s",
            "image": f"{i}.png",
            "masks": {},
            "label": "x" if i % 3 else "y",
            "view": None,
            "sex": None,
            "age": None,
            "spacing_mm": None,
            "official_split": None,
        }
        for i in range(n)
    )


def test_folds_share_nobody_and_hold_everybody():
    samples = table(23)
    tested = sum((KFoldSplit(k=4, fold=f, val=0).assign(samples, 0) == "test").astype(int) for f in range(4))
    np.testing.assert_array_equal(tested, np.ones(23))


@pytest.mark.parametrize("fold", range(3))
def test_patients_stay_together_and_validation_comes_from_training(fold):
    samples = table(60, per_subject=2)
    parts = KFoldSplit(k=3, fold=fold, val=0.1).assign(samples, 0)
    assert check_subjects(samples, parts) == 0
    # 30 patients: 10 tested, 2 of the other 20 for validation
    assert [(parts == part).sum() for part in ("train", "val", "test")] == [36, 4, 20]


def test_strata_are_spread_over_the_folds():
    samples = table(30)
    labels = np.array(samples.column("label").to_pylist())
    parts = KFoldSplit(k=5, fold=0, stratify="label").assign(samples, 0)
    assert (labels[parts == "test"] == "y").sum() == 2  # 10 of 30 are y, so 2 of 6


@pytest.mark.parametrize("options", [{"k": 1}, {"k": 3, "fold": 3}, {"fold": -1}, {"val": 1.0}], ids=str)
def test_wrong_options_are_refused(options):
    with pytest.raises(ConfigError, match=r"split\."):
        KFoldSplit(**options)


def test_fewer_patients_than_folds_are_refused():
    with pytest.raises(DataError, match="3 patients cannot fill 5 folds"):
        KFoldSplit().assign(table(3), 0)
