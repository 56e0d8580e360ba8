"""The parts of metrics.json of a classifier."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from lungseg.metrics.classification_summary import summarise_classes
from lungseg.stats.class_bootstrap import class_intervals

CLASSES = ["normal", "bacterial", "viral"]


def frame(n: int = 60, *, multilabel: bool = False) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, n)
    p = generator.dirichlet(np.ones(3), n).astype(np.float32)
    truth = np.eye(3)[labels]
    if multilabel:
        truth[:, 1] = generator.integers(0, 2, n)
        truth[::7, 0] = np.nan
    table = {
        "part": np.where(np.arange(n) < 40, "test", "val"), "source": np.where(np.arange(n) % 3, "kermany", "other"),
        "sample_id": [f"s{i}" for i in range(n)], "subject_id": [f"p{i // 2}" for i in range(n)],
    }  # fmt: skip
    table |= {f"p_{name}": p[:, c] for c, name in enumerate(CLASSES)}
    return pd.DataFrame(table | {f"t_{name}": truth[:, c] for c, name in enumerate(CLASSES)})


def test_each_part_has_all_sources_and_each():
    parts = summarise_classes(frame(), kind="multiclass", classes=CLASSES, n_boot=20)
    assert {part: list(sources) for part, sources in parts.items()} == {
        "test": ["all", "other", "kermany"],
        "val": ["all", "kermany", "other"],
    }
    assert parts["test"]["all"]["n"] == parts["test"]["kermany"]["n"] + parts["test"]["other"]["n"] == 40
    assert parts["test"]["all"]["n_subjects"] == 20


def test_an_entry_is_what_was_measured():
    table = frame()
    block = summarise_classes(table, kind="multiclass", classes=CLASSES, n_boot=30, seed=3)["test"]["all"]
    rows = table[table["part"] == "test"]
    p, truth = (rows[[start + name for name in CLASSES]].to_numpy(dtype=float) for start in ("p_", "t_"))
    found = class_intervals(p, truth, rows["subject_id"].to_list(), kind="multiclass", n_boot=30, seed=3)
    auroc = found.overall["auroc"]
    assert block["metrics"]["auroc"] == {"mean": auroc.mean, "low": auroc.low, "high": auroc.high, "n": 40}
    viral = block["classes"]["viral"]
    assert viral["metric"]["f1"]["mean"] == found.classes[2]["f1"].mean
    assert (viral["n_positive"], viral["n_known"]) == (truth[:, 2].sum(), 40)
    assert np.sum(block["confusion"]) == 40


def test_thresholds_of_labels_count_and_unknown_labels_do_not():
    table = frame(multilabel=True)
    low = summarise_classes(table, kind="multilabel", classes=CLASSES, thresholds={"normal": 0.0}, n_boot=5)
    normal = low["test"]["all"]["classes"]["normal"]
    assert normal["metric"]["recall"]["mean"] == 1
    assert normal["n_known"] == 40 - 6  # every seventh of the first forty is unknown
    (tn, fp), (fn, tp) = low["test"]["all"]["confusion"][0]
    assert (tn, fn, fp + tp) == (0, 0, 34)


def test_labels_of_one_kind_are_named_and_counted_and_the_rest_is_json():
    table = frame(multilabel=True).assign(t_viral=0.0)
    parts = summarise_classes(table, kind="multilabel", classes=CLASSES, n_boot=5)
    block = parts["test"]["all"]
    assert (block["n_skipped"], block["skipped"]) == (1, ["viral"])
    assert block["classes"]["viral"]["metric"]["auroc"]["mean"] is None
    json.dumps(parts, allow_nan=False)


@pytest.mark.parametrize(
    ("change", "classes", "said"),
    [
        ({}, [], "data.classes is empty"),
        ({}, ["normal", "mass"], "no column p_mass, t_mass"),
        ({"source": "all"}, CLASSES, "a source is called 'all'"),
        ({"sample_id": "s"}, CLASSES, "58 rows repeat a sample"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(change: dict, classes: list[str], said: str):
    with pytest.raises(ValueError, match=said):
        summarise_classes(frame().assign(**change), kind="multiclass", classes=classes)


def test_a_threshold_of_no_class_is_refused():
    with pytest.raises(ValueError, match="thresholds are given for mass, but the classes are normal"):
        summarise_classes(frame(), kind="multilabel", classes=CLASSES, thresholds={"mass": 0.5})
