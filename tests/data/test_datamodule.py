"""Batches that depend on nothing but seed, epoch and sample: not on workers, order or history."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

from lungseg.data.datamodule import LungDataModule
from lungseg.data.normalize import Normalize
from lungseg.errors import ConfigError, DataError
from tests.toy import toy_data, toy_task, toy_trainer
from tests.toy_classes import toy_classes


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> LungDataModule:
    return toy_data(tmp_path_factory.mktemp("store"))


def with_parts(data: LungDataModule, parts: list[str], **options) -> LungDataModule:
    return LungDataModule(
        table=data.table, parts=np.array(parts), store=data.store, sources=data.sources,
        **{"normalize": Normalize(), **options},
    )  # fmt: skip


class Pictures(Callback):
    """Notes every training image, as the network sees it."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, str], bytes] = {}
        self.order: list[str] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        for name, image in zip(batch["sample_id"], batch["image"], strict=True):
            self.seen[trainer.current_epoch, name] = image.numpy().tobytes()
            self.order.append(name)


def trained(folder: Path, workers: int, epochs: int = 2, **trainer):
    data = toy_data(folder / "store", n=8, workers=workers)
    task, pictures = toy_task(), Pictures()
    toy_trainer(folder / f"run{workers}", pictures, epochs=epochs, **trainer).fit(task, datamodule=data)
    return task.state_dict(), pictures


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {workers: trained(folder, workers) for workers in (0, 1, 2)}


@pytest.mark.parametrize("workers", [1, 2])
def test_weights_are_bit_identical_for_any_number_of_workers(runs, workers):
    for name, tensor in runs[0][0].items():
        assert torch.equal(tensor, runs[workers][0][name]), name


def test_every_draw_over_workers_and_epochs_is_another(runs):
    seen = runs[2][1].seen
    assert len(seen) == 12  # 6 training samples in each of 2 epochs
    assert len(set(seen.values())) == 12


def test_images_are_the_same_for_any_number_of_workers(runs):
    assert runs[0][1].seen == runs[1][1].seen == runs[2][1].seen


def test_overfitting_repeats_the_same_samples_in_every_epoch(tmp_path):
    _, pictures = trained(tmp_path, 0, epochs=3, overfit_batches=2)
    # 2 batches of 2 samples an epoch
    assert pictures.order[:4] == pictures.order[4:8] == pictures.order[8:]


def test_validation_and_test_come_in_table_order_and_unchanged(data):
    parts = ["test", "val", "train"] * 4
    module = with_parts(data, parts, augment=data.augment, test_parts=("test", "val"))
    (batches,) = [list(module.test_dataloader())]
    order = [int(i) for batch in batches for i in batch["index"]]
    assert order == [0, 1, 3, 4, 6, 7, 9, 10]
    images = torch.cat([batch["image"] for batch in batches])[:, 0].numpy()
    assert np.array_equal(images, data.store.images(order))
    assert [int(i) for batch in module.val_dataloader() for i in batch["index"]] == [1, 4, 7, 10]


def test_positions_of_parts_are_in_table_order(data):
    module = with_parts(data, ["unused", "val", "train", "test"] * 3)
    assert module.positions("train").tolist() == [2, 6, 10]
    assert module.positions("train", "unused").tolist() == [0, 2, 4, 6, 8, 10]
    assert [module.part_of(i) for i in range(4)] == ["unused", "val", "train", "test"]


def test_train_constants_are_those_of_the_training_pixels(data):
    module = with_parts(data, ["train"] * 7 + ["val"] * 5, normalize=Normalize(mean="train", std="train"))
    pixels = data.store.images(range(7)) / 255
    assert (module.normalize.mean, module.normalize.std) == pytest.approx((pixels.mean(), pixels.std()), rel=1e-12)


def test_train_constants_without_a_training_part_are_refused(data):
    with pytest.raises(ConfigError, match="no training part"):
        with_parts(data, ["test"] * 12, normalize=Normalize(mean="train"))


def test_given_constants_need_no_training_part(data):
    assert with_parts(data, ["test"] * 12, normalize=Normalize(mean=0.5, std=0.5)).normalize.mean == 0.5


def test_a_batch_is_normalised_after_the_transfer(data):
    module = with_parts(data, ["test"] * 12, normalize=Normalize(mean=0.5, std=0.25), batch_size=2)
    batch = next(iter(module.test_dataloader()))
    expected = (batch["image"].float() / 255 - 0.5) / 0.25
    torch.testing.assert_close(module.on_after_batch_transfer(batch, 0)["image"], expected)


def test_a_radiograph_can_be_read_as_published(data):
    assert data.original(3).shape == (24, 24)  # the store holds 16 x 16


def test_an_empty_part_is_refused_by_name(data):
    with pytest.raises(ConfigError, match="no sample in the val part"):
        with_parts(data, ["train"] * 12).require("train", "val")


def test_samples_without_masks_are_named_first_five_and_counted(data, monkeypatch):
    masked = np.ones(12, bool)
    masked[2:8] = False
    monkeypatch.setattr(data.store, "masked", masked)
    module = with_parts(data, ["train"] * 12)
    with pytest.raises(DataError, match=r"6 of 12 .* no mask of lungs: discs/002, .*discs/006\. .*missing=drop"):
        module.require("train")


@pytest.mark.parametrize(("key", "value"), [("batch_size", 0), ("num_workers", -1)])
def test_sizes_out_of_range_name_their_key(data, key, value):
    with pytest.raises(ConfigError, match=rf"data\.{key}={value}"):
        with_parts(data, ["train"] * 12, **{key: value})


def test_structures_that_overlap_are_refused_for_a_softmax_by_the_names_of_the_samples(data):
    module = with_parts(data, ["train"] * 12)
    module.require_disjoint("train")
    module.store = copy.copy(data.store)
    module.store.overlaps = np.arange(12) >= 10
    with pytest.raises(DataError, match=r"overlap in 2 of 12 samples \(discs/010, discs/011\).*activation=sigmoid"):
        module.require_disjoint("train")


class TestClasses:
    """Labels of a part, and classes of which there is nothing to learn."""

    def test_the_truth_has_a_column_for_each_class(self, tmp_path):
        module = toy_classes(tmp_path, "multiclass", n=6, val=2)
        assert module.truth("train").tolist() == [[1, 0], [0, 1]] * 2
        assert module.class_counts() == [[2, 2], [2, 2]]

    def test_an_unknown_class_is_neither_and_its_sample_is_in_no_part(self, tmp_path):
        module = toy_classes(tmp_path, labels=["dim", None, "bright"], n=9, val=3)
        assert module.positions("train").tolist() == [0, 2, 3, 5]
        assert np.isnan(module.truth_at(np.array([1]))).all()

    def test_unknown_labels_are_counted_neither_way(self, tmp_path):
        module = toy_classes(tmp_path, "multilabel", n=8, val=0)
        # none, bright, bright|large, ?bright|large, twice
        assert module.class_counts() == [[4, 2], [4, 4]]

    def test_segmentation_has_no_truth(self, data):
        with pytest.raises(ValueError, match="no labels"):
            with_parts(data, ["train"] * 12).truth("train")

    def test_a_class_without_any_image_is_refused_with_the_others_as_a_way_out(self, tmp_path):
        module = toy_classes(tmp_path, classes=["dim", "bright", "green"])
        with pytest.raises(DataError, match=r"no image is of green.*data\.classes=\[dim,bright\]"):
            module.require_classes()

    def test_a_class_that_no_training_image_shows_is_refused(self, tmp_path):
        module = toy_classes(tmp_path, labels=["dim"] * 12 + ["bright"] * 4, n=16, val=4)
        with pytest.raises(DataError, match=r"no image of bright is in the training part.*take its images out"):
            module.require_classes()

    def test_labels_of_several_may_leave_such_a_class_out(self, tmp_path):
        labels = ["none", "bright"] * 6 + ["large"] * 4
        module = toy_classes(tmp_path, "multilabel", labels=labels, n=16, val=4)
        with pytest.raises(DataError, match=r"no image of large is in .*; or leave it out: data\.classes=\[bright\]"):
            module.require_classes()

    def test_a_tested_set_that_has_none_of_the_classes_is_refused_by_what_its_labels_name(self, tmp_path):
        module = toy_classes(tmp_path, "multilabel", labels=["edema", "mass|edema", "none"], n=6, val=0, test=6)
        with pytest.raises(DataError, match=r"none of the 6 samples of the test part .*labels name edema, mass\."):
            module.require_tested_classes("test")

    def test_a_tested_set_in_which_all_is_known_to_be_absent_is_warned_of(self, tmp_path, caplog):
        module = toy_classes(tmp_path, "multilabel", labels=["none"], n=4, val=0, test=4)
        with caplog.at_level("WARNING"):
            module.require_tested_classes("test")
        assert "no image of the test part is of bright, large" in caplog.text

    def test_a_label_that_all_training_images_bear_is_refused(self, tmp_path):
        module = toy_classes(tmp_path, "multilabel", labels=["bright", "bright|large"])
        with pytest.raises(DataError, match=r"every training image .* is of bright"):
            module.require_classes()

    def test_a_class_that_a_later_part_lacks_is_warned_of(self, tmp_path, caplog):
        module = toy_classes(tmp_path, labels=["dim", "bright"] * 6 + ["dim"] * 4, n=16, val=4)
        with caplog.at_level("WARNING"):
            module.require_classes()
        assert "no image of the val part is of bright" in caplog.text

    def test_weights_of_training_samples_reach_the_sampler(self, tmp_path):
        weights = np.arange(16.0)
        module = toy_classes(tmp_path, weights=weights)
        sampler = module.train_dataloader().batch_sampler
        assert sampler.weights.tolist() == weights[module.positions("train")].tolist()
        assert module.val_dataloader().batch_sampler.weights is None
