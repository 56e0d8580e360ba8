from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from lungseg.errors import CheckpointError, ConfigError, DataError
from lungseg.explain.lung_masks import MaskFile, MaskFolder, SegmentedLungs

PIXELS = np.zeros((20, 30), np.uint8)


def save(path: Path, rows: slice, size: tuple[int, int] = (20, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(size, np.uint8)
    mask[rows] = 255
    path.write_bytes(cv2.imencode(path.suffix, mask)[1].tobytes())


@pytest.mark.parametrize(
    "file", ["more/a.png", "more/a_lungs.png", "masks/more/a_lungs.png", "more/a.jpg_lungs.png", "more/a.bmp"]
)
def test_a_mask_is_found_by_the_radiograph_s_name(tmp_path, file):
    save(tmp_path / file, slice(0, 5))
    found = MaskFolder(folder=tmp_path)("more/a.jpg", PIXELS)
    assert found.dtype == bool
    assert found.sum() == 5 * 30


def test_two_sides_are_joined(tmp_path):
    save(tmp_path / "a_right_lung.png", slice(0, 5))
    assert MaskFolder(folder=tmp_path)("a.png", PIXELS) is None  # one side is no mask of the lungs
    save(tmp_path / "a_left_lung.png", slice(10, 15))
    assert MaskFolder(folder=tmp_path)("a.png", PIXELS).sum() == 10 * 30


def test_a_radiograph_without_a_mask_has_none(tmp_path):
    save(tmp_path / "a.png", slice(0, 5))
    assert MaskFolder(folder=tmp_path)("b.png", PIXELS) is None


def test_a_mask_of_another_size_is_brought_to_the_radiograph_s(tmp_path):
    save(tmp_path / "a.png", slice(0, 5), (10, 15))
    found = MaskFolder(folder=tmp_path)("a.png", PIXELS)
    assert found.shape == (20, 30)
    assert found.sum() == pytest.approx(300, abs=30)


def test_a_mask_of_other_sides_is_refused(tmp_path):
    save(tmp_path / "a.png", slice(0, 5), (20, 20))
    with pytest.raises(DataError, match=r"a\.png is 20 x 20, its radiograph 20 x 30 .*another picture"):
        MaskFolder(folder=tmp_path)("a.png", PIXELS)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds no mask and is no run folder"):
        MaskFolder(folder=tmp_path)


def test_one_file_is_the_mask_of_the_one_radiograph(tmp_path):
    save(tmp_path / "any.png", slice(0, 5))
    assert MaskFile(file=tmp_path / "any.png")("a.jpg", PIXELS).sum() == 5 * 30


class TestSegmented:
    def segmenter(self, *structures: str):
        def many(images, *, inverted=False):
            masks = dict.fromkeys(structures, images[0] > 0)
            return [SimpleNamespace(masks=masks)]

        return SimpleNamespace(structures=structures, record={}, many=many)

    def test_the_network_draws_them(self):
        pixels = PIXELS.copy()
        pixels[3] = 9
        found = SegmentedLungs(segmenter=self.segmenter("lungs"), name="run")("a.png", pixels)
        assert np.array_equal(found, pixels > 0)

    def test_one_that_draws_no_lungs_is_refused(self):
        with pytest.raises(CheckpointError, match="run draws heart and no lungs"):
            SegmentedLungs(segmenter=self.segmenter("heart"), name="run")
