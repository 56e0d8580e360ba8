"""Lung masks drawn by a network: each once, none by one that has seen the radiographs."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import lungseg
from lungseg.data.guides import DiskGuides, FolderGuides, check_guides
from lungseg.data.sources.phantom import PhantomSource
from lungseg.data.table import SamplesTable
from lungseg.errors import CheckpointError, DataError, ResourceError
from lungseg.guide_masks import predict_masks
from tests.data.store_sources import MemorySource


class Bright:
    """Takes bright pixels for lungs; counts what it was shown."""

    structures: tuple[str, ...] = ("lungs",)

    def __init__(self, trained_on: Sequence[str] = ()) -> None:
        self.record = {"trained_on": list(trained_on)}
        self.seen = 0

    def many(self, images, *, inverted=False):
        self.seen += len(images)
        return [SimpleNamespace(masks={"lungs": image > 100}) for image in images]


class Sides(Bright):
    structures = ("heart", "right_lung", "left_lung")

    def many(self, images, *, inverted=False):
        left, right = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
        right[:, :2] = left[:, 6:] = True
        return [SimpleNamespace(masks={"heart": ~left, "right_lung": right, "left_lung": left}) for _ in images]


class Heart(Bright):
    structures = ("heart",)


def radiographs() -> dict[str, np.ndarray]:
    images = {f"r{i}": np.zeros((8, 8), np.uint8) for i in range(5)}
    for i, image in enumerate(images.values()):
        image[: i + 1] = 200
    return images


@pytest.fixture
def weights(tmp_path) -> Path:
    (tmp_path / "best.ckpt").write_bytes(b"weights")
    return tmp_path / "best.ckpt"


def drawn(folder: Path, segmenter: Bright, weights: Path, images=None, **options) -> tuple[FolderGuides, SamplesTable]:
    source = MemorySource(radiographs() if images is None else images)
    index = source.index()
    table = SamplesTable.from_rows(index.rows)
    homes = {source.name: (source, index.root)}
    return predict_masks(segmenter, table, homes, folder, checkpoint=weights, **options), table


def test_every_radiograph_gets_its_mask_and_the_manifest_says_whose_it_is(tmp_path, weights):
    guides, table = drawn(tmp_path / "masks", Bright(), weights)
    check_guides(table, guides)
    for i, row in enumerate(table.rows()):
        assert guides.read(MemorySource({}), Path(), row).sum() == 8 * (i + 1)
    content = json.loads((tmp_path / "masks/manifest.json").read_text())
    # printf weights | sha256sum
    assert content["masks"]["memory/r0"]["checkpoint"] == (
        "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"
    )
    assert content["masks"]["memory/r0"]["file"] == "memory%2Fr0.png"
    assert set(np.unique(cv2.imread(str(tmp_path / "masks/memory%2Fr0.png"), cv2.IMREAD_UNCHANGED))) == {0, 255}


def test_what_is_there_is_not_drawn_again(tmp_path, weights):
    first, _ = drawn(tmp_path / "masks", Bright(), weights)
    again = Bright()
    second, _ = drawn(tmp_path / "masks", again, weights)
    assert again.seen == 0
    assert second == first == FolderGuides.open(tmp_path / "masks")


def test_a_lost_mask_and_a_changed_checkpoint_are_drawn_again(tmp_path, weights):
    drawn(tmp_path / "masks", Bright(), weights)
    (tmp_path / "masks/memory%2Fr3.png").unlink()
    one = Bright()
    drawn(tmp_path / "masks", one, weights)
    assert one.seen == 1
    weights.write_bytes(b"other weights")
    other = Bright()
    guides, table = drawn(tmp_path / "masks", other, weights)
    assert other.seen == 5
    check_guides(table, guides)  # all of one origin


def test_a_stopped_run_goes_on_with_the_rest(tmp_path, weights, monkeypatch):
    monkeypatch.setattr("lungseg.guide_masks.CHUNK", 2)

    class Stops(Bright):
        def many(self, images, *, inverted=False):
            if self.seen == 4:
                raise KeyboardInterrupt
            return super().many(images, inverted=inverted)

    with pytest.raises(KeyboardInterrupt):
        drawn(tmp_path / "masks", Stops(), weights, batch_size=2)
    rest = Bright()
    drawn(tmp_path / "masks", rest, weights)
    assert rest.seen == 1


def test_of_two_at_once_one_draws_and_the_other_waits(tmp_path, weights):
    class Slow(Bright):
        def many(self, images, *, inverted=False):
            time.sleep(0.05)
            return super().many(images, inverted=inverted)

    both = [Slow(), Slow()]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda one: drawn(tmp_path / "masks", one, weights, batch_size=1)[0], both))
    assert sorted(one.seen for one in both) == [0, 5]
    assert found[0] == found[1]


def test_other_samples_of_the_folder_stay_and_are_not_handed_out(tmp_path, weights):
    drawn(tmp_path / "masks", Bright(), weights)
    guides, _ = drawn(tmp_path / "masks", Bright(), weights, {"new": np.zeros((8, 8), np.uint8)})
    assert list(guides.masks) == ["memory/new"]
    assert len(FolderGuides.open(tmp_path / "masks").masks) == 6


def test_two_sides_are_joined(tmp_path, weights):
    guides, table = drawn(tmp_path / "masks", Sides(), weights)
    assert guides.read(MemorySource({}), Path(), table.row(0)).sum() == 2 * 8 * 2


def test_a_network_without_lungs_is_refused(tmp_path, weights):
    with pytest.raises(CheckpointError, match=r"best\.ckpt draws heart and no lungs; give"):
        drawn(tmp_path / "masks", Heart(), weights)


def test_a_network_that_was_trained_on_the_radiographs_is_refused(tmp_path, weights):
    with pytest.raises(CheckpointError, match=r"was trained on memory, which holds patients of memory"):
        drawn(tmp_path / "masks", Bright(["memory"]), weights)
    drawn(tmp_path / "masks", Bright(["memory"]), weights, allow_seen=True)


def test_so_is_one_trained_on_the_same_patients_under_another_name(tmp_path, weights, monkeypatch):
    monkeypatch.setattr(MemorySource, "shares_patients_with", ("other",))
    with pytest.raises(CheckpointError, match="was trained on other, which holds patients of memory"):
        drawn(tmp_path / "masks", Bright(["other"]), weights)


def test_unreadable_radiographs_are_named_at_the_end(tmp_path, weights):
    images = radiographs() | {"r1": np.zeros(0, np.uint8)}
    with pytest.raises(DataError, match=r"1 of 5 radiographs cannot be read.*memory/r1 \(r1 is broken on purpose\)"):
        drawn(tmp_path / "masks", Bright(), weights, images)
    assert len(FolderGuides.open(tmp_path / "masks").masks) == 4


def test_a_folder_that_cannot_be_made_is_a_lack_of_resources(tmp_path, weights):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResourceError, match=r"cannot be written.*paths\.store"):
        drawn(tmp_path / "file" / "masks", Bright(), weights)


def test_a_trained_checkpoint_draws_phantoms_as_large_as_they_are(tmp_path, trained_run):
    source = PhantomSource(n=3, size=[40, 36], seed=5)
    index = source.index()
    table = SamplesTable.from_rows(index.rows)
    predictor = lungseg.load(trained_run, device="cpu")
    guides = predict_masks(
        predictor, table, {"phantom": (source, index.root)}, tmp_path / "masks",
        checkpoint=trained_run / "checkpoints" / "best.ckpt", allow_seen=True,
    )  # fmt: skip
    for row in table.rows():
        expected = predictor(source.read_image(index.root, row).pixels).masks["lungs"]
        assert np.array_equal(guides.read(source, index.root, row), expected)
    assert DiskGuides().read(source, index.root, table.row(0)).shape == expected.shape
