"""Training images of each class before and after preprocessing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lungseg.callbacks.examples import AUGMENTED, GAP, READ, SEEN, Examples, _chosen, _side_by_side
from lungseg.data.augment.base import sample_key
from lungseg.data.augment.xray_cls import XrayCls
from lungseg.overlay import levels
from tests.toy import toy_data, toy_task, toy_trainer
from tests.toy_classes import CLASSES, toy_classes, toy_classification


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def drawn(folder: Path, module: Any, **examples: Any) -> list[dict[str, Any]]:
    toy_trainer(folder, Examples(**examples), epochs=1).fit(toy_classification(), datamodule=module)
    return json.loads((folder / "examples/index.json").read_text())


def test_each_class_has_its_training_images(tmp_path: Path, store: Path):
    module = toy_classes(store, n=24)
    listed = drawn(tmp_path, module)
    assert [(each["file"], each["class"], each["place"]) for each in listed] == [
        (f"examples/{number}.png", of, place)
        for number, (of, place) in enumerate([(of, place) for of in CLASSES["multiclass"] for place in (1, 2)], 1)
    ]
    rows = {row["sample_id"]: (i, row) for i, row in enumerate(map(module.table.row, range(24)))}
    for each in listed:
        position, row = rows[each["sample_id"]]
        assert (module.part_of(position), row["label"]) == ("train", each["class"])
        assert each["panels"] == [READ, SEEN]
    assert len({each["sample_id"] for each in listed}) == 4


def test_panels_are_the_image_as_read_as_seen_and_as_augmented_in_the_first_epoch(tmp_path: Path, store: Path):
    augment = XrayCls(flip=1.0, sharpness=0.0, autocontrast=0.0)
    module = toy_classes(store, n=24, augment=augment)
    (first, *_) = drawn(tmp_path, module, height=16)
    position = module.table.column("sample_id").to_pylist().index(first["sample_id"])
    seen = module.store.images([position])[0]
    turned, _ = augment(seen, np.zeros((0, 16, 16), np.uint8), seed=0, epoch=0, key=sample_key(first["sample_id"]))
    assert first["panels"] == [READ, SEEN, AUGMENTED]
    picture = cv2.imread(str(tmp_path / first["file"]), cv2.IMREAD_UNCHANGED)
    panels = [picture[:, start : start + 16] for start in range(0, picture.shape[1], 16 + GAP)]
    read = cv2.resize(module.original(position), (16, 16), interpolation=cv2.INTER_AREA)
    assert all(np.array_equal(one, other) for one, other in zip(panels, (read, seen, turned), strict=True))


def test_the_seed_draws_and_of_many_labels_each_has_one(store: Path):
    module = toy_classes(store, n=24)
    assert _chosen(module, 2) == _chosen(module, 2)
    module.seed = 5
    others = _chosen(module, 2)
    module.seed = 0
    assert others != _chosen(module, 2)
    labels = tuple("abcde")
    many = toy_classes(store, "multilabel", n=24, labels=labels, classes=labels)
    assert [(of, place) for of, place, _ in _chosen(many, 2)] == [(of, 1) for of in labels]


def test_a_class_with_fewer_images_shows_those(store: Path):
    module = toy_classes(store, n=24, labels=("dim", *["bright"] * 11))
    assert [of for of, _, _ in _chosen(module, 4)] == ["dim", "dim", *["bright"] * 4]


def test_a_panel_keeps_the_sides_ratio_on_black():
    row = _side_by_side([np.full((10, 40), 255, np.uint8), np.full((8, 8, 3), 65535, np.uint16)], 20)
    assert row.shape == (20, 2 * 20 + GAP)
    first, second = row[:, :20], row[:, 20 + GAP :]
    assert np.flatnonzero(first[:, 0]).tolist() == list(range(7, 12))  # 20 wide and 5 high
    assert (second == 255).all()


def test_levels_show_contrast_as_it_is():
    assert levels(np.array([[0, 32768, 65535]], np.uint16)).tolist() == [[0, 128, 255]]
    assert levels(np.array([[100, 101]], np.uint8)).tolist() == [[100, 101]]


def test_of_masks_nothing_is_drawn_and_neither_where_none_is_asked_for(tmp_path: Path, store: Path):
    toy_trainer(tmp_path / "masks", Examples(), epochs=1).fit(toy_task(), datamodule=toy_data(store, n=8))
    toy_trainer(tmp_path / "none", Examples(each=0), epochs=1).fit(
        toy_classification(), datamodule=toy_classes(store, n=24)
    )
    assert not list(tmp_path.rglob("examples"))
