from __future__ import annotations

import numpy as np
import pytest
import torch

from lungseg.data.augment.affine import Affine
from lungseg.data.augment.base import sample_key
from lungseg.data.augment.none import NoAugmentation
from lungseg.data.dataset import StoreDataset
from lungseg.data.sampler import EpochBatch
from lungseg.data.table import SamplesTable
from tests.data.store_sources import MemorySource, build, numbered
from tests.toy import toy_data
from tests.toy_classes import toy_classes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy_data(tmp_path_factory.mktemp("store"))


def batch(data, positions=(3, 0), epoch=0, augment=None, seed=0):
    dataset = StoreDataset(table=data.table, store=data.store, augment=augment, seed=seed)
    return dataset.__getitems__(EpochBatch(epoch, np.array(positions)))


def test_a_batch_is_integers_in_the_order_asked_for(data):
    found = batch(data)
    assert (found["image"].shape, found["image"].dtype) == ((2, 1, 16, 16), torch.uint8)
    assert (found["mask"].shape, found["mask"].dtype) == ((2, 1, 16, 16), torch.uint8)
    assert found["index"].tolist() == [3, 0]
    assert found["sample_id"] == ["discs/003", "discs/000"]
    assert found["source"] == ["discs", "discs"]
    assert np.array_equal(found["image"][0, 0], data.store.images([3])[0])


def test_it_is_as_long_as_the_table(data):
    assert len(StoreDataset(table=data.table, store=data.store, augment=None, seed=0)) == 12


def test_each_sample_is_augmented_by_its_own_draw(data):
    affine = Affine()
    found = batch(data, augment=affine, epoch=5, seed=9)
    image, mask = affine(
        data.store.images([3])[0], data.store.masks([3])[0], seed=9, epoch=5, key=sample_key("discs/003")
    )
    assert np.array_equal(found["image"][0, 0], image)
    assert np.array_equal(found["mask"][0], mask)


def test_augmentation_never_writes_to_the_store(data):
    before = data.store.images([3]).copy()
    batch(data, augment=Affine())
    assert np.array_equal(data.store.images([3]), before)


def test_no_augmentation_costs_nothing(data):
    assert StoreDataset(table=data.table, store=data.store, augment=NoAugmentation(), seed=0).augment is None


def test_pixels_left_out_become_valid_and_move_with_the_augmentation(tmp_path):
    lungs, left_out = np.ones((8, 8), bool), np.zeros((8, 8), bool)
    left_out[:, 0] = True
    source = MemorySource(numbered(2), {name: {"lungs": lungs} for name in ("000", "001")})
    source.left_out["001"] = left_out
    store = build(tmp_path, source, structures=["lungs"])
    table = SamplesTable.from_rows(source.index().rows)
    mirror = Affine(rotation_degrees=0, scale=0, shear_degrees=0, shift=0, flip=1, gain=0, offset=0, gamma=0)
    dataset = StoreDataset(table=table, store=store, augment=mirror, seed=0)
    found = dataset.__getitems__(EpochBatch(0, np.array([0, 1])))
    assert found["mask"].shape == (2, 1, 8, 8)
    assert (found["valid"].shape, found["valid"].dtype) == ((2, 1, 8, 8), torch.uint8)
    assert found["valid"][0].all()
    assert found["valid"][1, 0, 0].tolist() == [1] * 7 + [0]


def test_a_set_without_pixels_left_out_has_no_valid(data):
    assert "valid" not in batch(data)


@pytest.mark.parametrize(
    "labels", [np.arange(12) % 3, np.array([[0.0, np.nan]] * 12, np.float32)], ids=["class", "labels"]
)
def test_labels_go_with_their_images(data, labels):
    dataset = StoreDataset(table=data.table, store=data.store, augment=None, seed=0, labels=labels)
    found = dataset.__getitems__(EpochBatch(0, np.array([5, 0])))
    np.testing.assert_array_equal(found["label"].numpy(), labels[[5, 0]])
    assert found["label"].dtype == torch.from_numpy(labels).dtype


def test_without_structures_there_are_no_masks_and_augmentation_moves_the_image(tmp_path):
    module = toy_classes(tmp_path, "multiclass")
    augment = Affine()
    found = module.dataset(augment).__getitems__(EpochBatch(2, np.array([3])))
    assert "mask" not in found
    alone, _ = augment(
        module.store.images([3])[0], np.zeros((0, 16, 16), np.uint8), seed=0, epoch=2, key=sample_key("discs/003")
    )
    assert np.array_equal(found["image"][0, 0], alone)


def test_a_sample_drawn_twice_in_an_epoch_is_changed_in_two_ways_and_each_always_the_same(tmp_path):
    module = toy_classes(tmp_path, "multiclass")
    dataset = module.dataset(Affine())
    at = np.array([3, 3])
    images = dataset.__getitems__(EpochBatch(2, at, np.array([0, 1])))["image"]
    assert not torch.equal(images[0], images[1])
    assert torch.equal(images[1:], dataset.__getitems__(EpochBatch(2, at[:1], np.array([1])))["image"])
    assert torch.equal(images[:1], dataset.__getitems__(EpochBatch(2, at[:1]))["image"])
