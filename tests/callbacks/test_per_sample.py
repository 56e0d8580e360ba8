"""Results on the published grid, against counts by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lungseg.data.io import Radiograph
from lungseg.data.sources.base import Reference
from lungseg.data.store import Store
from lungseg.errors import DataError, ResourceError
from lungseg.metrics.boundary import Boundary, assd, hd95, nsd
from lungseg.metrics.overlap import PER_IMAGE
from lungseg.metrics.soft import SOFT, soft_sums
from lungseg.metrics.surface_distances import surface_distances
from lungseg.postprocess.published_grid import on_published_grid
from tests.callbacks.test_epoch_table import Notes
from tests.toy import DiscSource, toy_data, toy_task, toy_tester


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


class Bright(torch.nn.Module):
    """Logits: how far a pixel is above the middle."""

    def forward(self, image):
        return (image - 0.55) * 20


def evaluated(
    folder: Path,
    store: Path,
    *,
    batch_size: int = 2,
    notes: Notes | None = None,
    boundary: Boundary | None = None,
    **data,
):
    task = toy_task()
    task.model = Bright()
    module = toy_data(store, n=6, val=4, batch_size=batch_size, **data)
    trainer, tester = toy_tester(folder)
    tester.boundary = boundary
    if notes is not None:
        trainer.loggers = [notes]
    trainer.test(task, datamodule=module, verbose=False)
    return module, tester


def logits_and_mask(module, position: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of one disc and its reference, on the 24 x 24 grid of the published mask."""
    reference, _, placement, _ = module.store.published(position)
    image = torch.from_numpy(module.store.images([position])[:, None])
    logits = Bright()(module.normalize(image))[0].numpy()
    return on_published_grid(logits, placement, (24, 24))[0], reference[0]


def by_hand(module, position: int) -> tuple[int, int, int, int]:
    """Counts on the 24 x 24 grid of the published mask."""
    logits, wanted = logits_and_mask(module, position)
    found = logits > 0
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


def test_a_row_has_the_sums_of_the_probabilities_and_every_measure(tmp_path, store):
    module, _ = evaluated(tmp_path, store)
    frame = pd.read_parquet(tmp_path / "per_sample.parquet")
    for position, row in zip(range(2, 6), frame.to_dict("records"), strict=True):
        logits, wanted = logits_and_mask(module, position)
        p = 1 / (1 + np.exp(-logits.astype(np.float64)))
        assert row["sum_pt"] == pytest.approx(p[wanted].sum(), rel=1e-6)
        assert row["sum_p"] == pytest.approx(p.sum(), rel=1e-6)
        assert row["sum_pp"] == pytest.approx((p**2).sum(), rel=1e-6)
        sums = soft_sums(p.astype(np.float32)[None], wanted[None])[0]
        for name, measure in SOFT.items():
            assert row[name] == pytest.approx(float(measure(sums)), rel=1e-6)
        counts = np.array([row[name] for name in ("tp", "fp", "fn", "tn")])
        for name, measure in PER_IMAGE.items():
            assert row[name] == float(measure(counts))
        assert (row["n_right"], row["n_ignored"]) == (row["tp"] + row["tn"], 0)


def test_outlines_are_measured_on_the_published_grid(tmp_path, store):
    module, _ = evaluated(tmp_path, store, boundary=Boundary())
    frame = pd.read_parquet(tmp_path / "per_sample.parquet")
    for position, row in zip(range(2, 6), frame.itertuples(), strict=True):
        logits, wanted = logits_and_mask(module, position)
        found = surface_distances(logits > 0, wanted)
        assert (row.hd95_px, row.assd_px) == (hd95(found), assd(found))
    unknown = ["hd95_mm", "assd_mm", "nsd", "spacing_row_mm", "spacing_column_mm"]
    assert frame[unknown].isna().all(axis=None)
    assert json.loads((tmp_path / "metrics.json").read_text())["tolerance_mm"] == 2.0


def test_without_a_boundary_metric_no_outline_is_measured(tmp_path, store):
    evaluated(tmp_path, store)
    assert not set(Boundary.columns) & set(pd.read_parquet(tmp_path / "per_sample.parquet").columns)
    assert json.loads((tmp_path / "metrics.json").read_text())["tolerance_mm"] is None


def test_millimetres_are_those_of_the_mask_s_own_grid(tmp_path, monkeypatch):
    row, read_image = DiscSource.row, DiscSource.read_image

    def twice_as_large(self, root, sample):
        read = read_image(self, root, sample)
        return Radiograph(np.repeat(np.repeat(read.pixels, 2, 0), 2, 1), bits=8, inverted=False, note="")

    monkeypatch.setattr(DiscSource, "row", lambda self, i: {**row(self, i), "spacing_mm": (0.25, 0.5)})
    monkeypatch.setattr(DiscSource, "read_image", twice_as_large)
    module, _ = evaluated(tmp_path, tmp_path / "store", boundary=Boundary(tolerance_mm=1.5))
    frame = pd.read_parquet(tmp_path / "per_sample.parquet")
    # a mask of 24 x 24 pixels on an image of 48 x 48: its pixels are twice as large
    assert (frame["spacing_row_mm"].unique(), frame["spacing_column_mm"].unique()) == ([0.5], [1.0])
    for position, sample in zip(range(2, 6), frame.itertuples(), strict=True):
        logits, wanted = logits_and_mask(module, position)
        found = surface_distances(logits > 0, wanted, spacing=(0.5, 1.0))
        assert (sample.hd95_mm, sample.assd_mm, sample.nsd) == (hd95(found), assd(found), nsd(found, 1.5))
    means = json.loads((tmp_path / "metrics.json").read_text())["parts"]["val"]["all"]["lungs"]["metrics"]
    assert means["hd95_mm"]["mean"] == pytest.approx(frame["hd95_mm"].mean())
    assert means["hd95_mm"]["n"] == 4


def test_left_out_pixels_count_nowhere(tmp_path, monkeypatch):
    valid = np.ones((24, 24), bool)
    valid[:, 12:] = False
    monkeypatch.setattr(
        DiscSource,
        "read_reference",
        lambda self, root, row, structures: Reference(self._disc(int(row["image"]))[None], 1, 0, 2, valid),
    )
    module, _ = evaluated(tmp_path, tmp_path / "store", boundary=Boundary())
    frame = pd.read_parquet(tmp_path / "per_sample.parquet")
    assert frame["n_ignored"].tolist() == [24 * 12] * 4
    for position, row in zip(range(2, 6), frame.itertuples(), strict=True):
        logits, wanted = logits_and_mask(module, position)
        left = (logits > 0)[:, :12], wanted[:, :12]
        assert (row.tp, row.tp + row.fp + row.fn + row.tn) == (int((left[0] & left[1]).sum()), 24 * 12)
        assert row.n_right == int((left[0] == left[1]).sum())
        assert row.sum_p == pytest.approx((1 / (1 + np.exp(-logits[:, :12].astype(np.float64)))).sum(), rel=1e-6)
        assert row.hd95_px == hd95(surface_distances(logits > 0, wanted, valid=valid))


class _TwoStructures(DiscSource):
    """Both lungs as one disc, and a heart that is hardly there."""

    def row(self, i):
        return {**super().row(i), "masks": {"lungs": f"{i}", "heart": f"{i}"}}

    def read_reference(self, root, row, structures):
        disc = self._disc(int(row["image"]))
        heart = np.zeros_like(disc)
        heart[3, 4] = True
        return Reference(np.stack([disc, heart]), 2, 0, 2)


def test_a_pixel_is_right_where_every_structure_is(tmp_path, monkeypatch):
    build = Store.build.__func__
    monkeypatch.setattr("tests.toy.DiscSource", _TwoStructures)
    monkeypatch.setattr(
        Store, "build", classmethod(lambda cls, *a, **kw: build(cls, *a, **{**kw, "structures": ["lungs", "heart"]}))
    )
    monkeypatch.setattr(Bright, "forward", lambda self, image: torch.cat([(image - 0.55) * 20] * 2, dim=1))
    notes = Notes()
    module, _ = evaluated(tmp_path, tmp_path / "store", notes=notes)
    frame = pd.read_parquet(tmp_path / "per_sample.parquet")
    assert frame["structure"].tolist() == ["lungs", "heart"] * 4
    for position in range(2, 6):
        reference = module.store.published(position).masks
        logits, _ = logits_and_mask(module, position)
        right = ((logits > 0) == reference[0]) & ((logits > 0) == reference[1])
        rows = frame[frame["sample_id"] == f"discs/{position:03d}"]
        assert rows["n_right"].tolist() == [int(right.sum())] * 2
    ((values, _),) = [told for told in notes.told if "val/dice" in told[0]]
    both = frame.groupby("sample_id")["dice"].mean().mean()
    assert values["val/dice"] == pytest.approx(both)  # as after each epoch: the mean over structures
    assert values["val/heart/dice"] == pytest.approx(frame.loc[frame["structure"] == "heart", "dice"].mean())


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
