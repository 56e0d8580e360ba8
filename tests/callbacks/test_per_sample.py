"""Results on the published grid, against counts by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lungseg.errors import DataError, ResourceError
from lungseg.postprocess.published_grid import on_published_grid
from tests.callbacks.test_epoch_table import Notes
from tests.toy import toy_data, toy_task, toy_tester


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


class Bright(torch.nn.Module):
    """Logits: how far a pixel is above the middle."""

    def forward(self, image):
        return (image - 0.55) * 20


def evaluated(folder: Path, store: Path, *, batch_size: int = 2, notes: Notes | None = None, **data):
    task = toy_task()
    task.model = Bright()
    module = toy_data(store, n=6, val=4, batch_size=batch_size, **data)
    trainer, tester = toy_tester(folder)
    if notes is not None:
        trainer.loggers = [notes]
    trainer.test(task, datamodule=module, verbose=False)
    return module, tester


def by_hand(module, position: int) -> tuple[int, int, int, int]:
    """Counts on the 24 x 24 grid of the published mask."""
    reference, _, placement, _ = module.store.published(position)
    image = torch.from_numpy(module.store.images([position])[:, None])
    logits = Bright()(module.normalize(image))[0].numpy()
    found, wanted = on_published_grid(logits, placement, (24, 24))[0] > 0, reference[0]
    return (
        int((found & wanted).sum()), int((found & ~wanted).sum()), int((~found & wanted).sum()),
        int((~found & ~wanted).sum()),
    )  # fmt: skip


def test_a_row_an_image_and_structure_with_counts_by_hand(tmp_path, store):
    module, _ = evaluated(tmp_path, store)
    frame = pd.read_parquet(tmp_path / "per_sample.parquet")
    assert frame["sample_id"].tolist() == ["discs/002", "discs/003", "discs/004", "discs/005"]
    for position, row in zip(range(2, 6), frame.itertuples(), strict=True):
        assert (row.tp, row.fp, row.fn, row.tn) == by_hand(module, position)
        assert row.tp + row.fp + row.fn + row.tn == 24 * 24
        assert row.dice == pytest.approx(2 * row.tp / (2 * row.tp + row.fp + row.fn))
        assert row.accuracy == pytest.approx((row.tp + row.tn) / 576)


def test_a_row_says_whose_image_it_is_and_what_is_known(tmp_path, store):
    evaluated(tmp_path, store)
    frame = pd.read_parquet(tmp_path / "per_sample.parquet")
    first = frame.iloc[0]
    assert (first.part, first.source, first.subject_id, first.structure) == ("val", "discs", "discs/p002", "lungs")
    assert (first.height, first.width, first.sex, first.age, first["view"]) == (24, 24, "F", 50.0, "PA")
    assert {name: str(frame[name].dtype) for name in ("tp", "dice", "age")} == {
        "tp": "int64", "dice": "float64", "age": "float64",
    }  # fmt: skip


def test_results_do_not_change_with_the_batch_size(tmp_path, store):
    evaluated(tmp_path / "one", store, batch_size=1)
    evaluated(tmp_path / "three", store, batch_size=3)
    one, three = (pd.read_parquet(tmp_path / name / "per_sample.parquet") for name in ("one", "three"))
    pd.testing.assert_frame_equal(one, three, check_exact=True)


def test_metrics_json_holds_means_facts_and_settings(tmp_path, store):
    _, tester = evaluated(tmp_path, store)
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert {key: found[key] for key in ("grid", "network_size", "threshold", "n_boot", "bootstrap_seed")} == {
        "grid": "published", "network_size": [16, 16], "threshold": 0.5, "n_boot": 20, "bootstrap_seed": 0,
    }  # fmt: skip
    assert (found["trained_on"], found["trained_run"]) == (["discs"], None)
    assert found["checkpoint"] == {"file": "checkpoints/best.ckpt"}
    lungs = found["parts"]["val"]["all"]["lungs"]
    assert lungs == found["parts"]["val"]["discs"]["lungs"]
    assert (lungs["n"], lungs["n_subjects"]) == (4, 4)
    assert lungs["metrics"]["dice"]["mean"] == pytest.approx(tester.frame["dice"].mean())


def test_loggers_are_told_means_and_intervals_and_no_sample_s_name(tmp_path, store):
    notes = Notes()
    evaluated(tmp_path, store, notes=notes)
    ((values, _),) = [told for told in notes.told if "val/dice" in told[0]]
    assert {"val/dice", "val/dice_low", "val/dice_high", "val/iou_pooled"} <= set(values)
    assert all(isinstance(value, float) for value in values.values())
    assert not any("discs" in name for name in values)


def test_an_undefined_value_is_left_out_of_the_loggers(tmp_path, store, monkeypatch):
    monkeypatch.setattr("tests.toy.DiscSource._disc", lambda self, i: np.zeros((24, 24), bool))
    notes = Notes()
    monkeypatch.setattr(Bright, "forward", lambda self, image: image - 2)
    evaluated(tmp_path, tmp_path / "empty", notes=notes)
    # both masks are empty everywhere: Dice is undefined, accuracy is 1
    ((values, _),) = [told for told in notes.told if "val/accuracy" in told[0]]
    assert values["val/accuracy"] == 1.0
    assert "val/dice" not in values
    found = json.loads((tmp_path / "metrics.json").read_text())["parts"]["val"]["all"]["lungs"]
    assert (found["n_empty"], found["metrics"]["dice"]["mean"]) == (4, None)


def test_nothing_tested_is_refused(tmp_path, store):
    _, tester = evaluated(tmp_path, store)
    tester._rows = []
    with pytest.raises(DataError, match="no sample was tested"):
        tester.on_test_epoch_end(None, None)


def test_a_result_that_cannot_be_written_is_a_lack_of_resources(tmp_path, store, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(ResourceError, match=r"per_sample\.parquet cannot be written .*No space"):
        evaluated(tmp_path, store)
