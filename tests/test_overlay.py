from __future__ import annotations

import cv2
import numpy as np
import pytest

from lungseg.overlay import PREDICTION, REFERENCE, draw_heat, draw_overlay

SQUARE = np.zeros((1, 100, 80), bool)
SQUARE[:, 30:70, 20:60] = True


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture == np.array(colour, np.uint8)).all(axis=2).any())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [(), (3,)], ids=["grey", "colour"])
def test_a_picture_has_the_height_asked_for_and_the_image_s_sides_ratio(dtype, channels):
    image = np.random.default_rng(0).integers(0, 255, (100, 80, *channels)).astype(dtype)
    picture = draw_overlay(image, None, None, height=320)
    assert (picture.shape, picture.dtype) == ((320, 256, 3), np.uint8)  # 320 * 80 / 100 = 256


def test_the_reference_is_green_and_the_prediction_magenta():
    grey = np.full((100, 80), 99, np.uint8)
    one, other = draw_overlay(grey, SQUARE, None), draw_overlay(grey, None, SQUARE)
    assert (has(one, PREDICTION), has(one, REFERENCE)) == (True, False)
    assert (has(other, PREDICTION), has(other, REFERENCE)) == (False, True)


def test_only_outlines_are_drawn():
    grey = np.tile(np.arange(80, dtype=np.uint8), (100, 1))
    picture = draw_overlay(grey, SQUARE, None, height=100)
    coloured = picture.max(axis=2) != picture.min(axis=2)
    assert coloured.any()
    assert not coloured[40:60, 30:50].any()  # inside
    assert not coloured[:20].any()  # far outside


def test_masks_of_another_size_are_drawn_in_their_place():
    grey = np.full((200, 160), 99, np.uint8)
    picture = draw_overlay(grey, SQUARE, None, height=200)
    rows = np.flatnonzero((picture.max(axis=2) - picture.min(axis=2) > 60).any(axis=1))
    assert abs(rows.min() - 60) <= 2  # row 30 of 100 is row 60 of 200
    assert abs(rows.max() - 139) <= 2


def test_a_constant_image_and_an_empty_mask_are_no_trouble():
    assert draw_overlay(np.zeros((50, 40), np.uint8), ~SQUARE & False, None, height=100).shape == (100, 80, 3)


class TestHeat:
    IMAGE = np.tile(np.linspace(20, 220, 80, dtype=np.uint8), (100, 1))

    def test_where_there_is_no_heat_the_radiograph_is_untouched(self):
        heat = np.zeros((100, 80), np.float32)
        heat[:20] = 1
        picture, plain = draw_heat(self.IMAGE, heat, height=100), draw_overlay(self.IMAGE, None, None, height=100)
        assert np.array_equal(picture[30:], plain[30:])
        assert (picture[5] != plain[5]).any(axis=1).all()

    def test_the_hottest_is_yellow_by_three_fifths(self):
        picture = draw_heat(np.zeros((10, 10), np.uint8), np.ones((10, 10), np.float32), height=10)
        yellow = cv2.applyColorMap(np.array([[255]], np.uint8), cv2.COLORMAP_INFERNO)[0, 0]
        assert picture[5, 5].tolist() == np.rint(yellow * 0.6).tolist()

    def test_a_single_hot_pixel_does_not_take_the_colours_from_all_others(self):
        heat = np.zeros((100, 80), np.float32)
        heat[50:] = 0.3  # half of the pixels: the colours end there
        heat[0, 0] = 1
        picture = draw_heat(self.IMAGE * 0, heat, height=100)
        yellow = cv2.applyColorMap(np.array([[255]], np.uint8), cv2.COLORMAP_INFERNO)[0, 0]
        assert picture[80, 40].tolist() == picture[0, 0].tolist() == np.rint(yellow * 0.6).tolist()

    def test_a_faint_map_stays_faint(self):
        heat = np.full((100, 80), 0.05, np.float32)
        heat[0, 0] = 1
        picture = draw_heat(self.IMAGE * 0, heat, height=100)
        fifth = cv2.applyColorMap(np.array([[51]], np.uint8), cv2.COLORMAP_INFERNO)[0, 0]  # 0.05 x 4 of 255
        assert picture[80, 40].tolist() == np.rint(fifth * 0.6 * 0.4).tolist()

    def test_lungs_are_outlined_in_green(self):
        heat = np.zeros((100, 80), np.float32)
        assert has(draw_heat(self.IMAGE, heat, SQUARE[0]), REFERENCE)
        assert not has(draw_heat(self.IMAGE, heat), REFERENCE)

    def test_a_map_of_another_size_is_drawn_in_its_place(self):
        small = np.zeros((10, 8), np.float32)
        small[:2] = 1
        picture, plain = draw_heat(self.IMAGE, small, height=100), draw_overlay(self.IMAGE, None, None, height=100)
        assert np.array_equal(picture[40:], plain[40:])
        assert not np.array_equal(picture[:10], plain[:10])
