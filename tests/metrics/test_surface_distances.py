"""Distances between outlines, against distances by hand and by brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lungseg.metrics.surface_distances import surface_distances

SQUARE = [(2, 2), (2, 3), (2, 4), (3, 2), (3, 4), (4, 2), (4, 3), (4, 4)]
"""The outline of the square of 3 x 3 pixels from (2, 2) to (4, 4): all but its middle."""


def grid(*points: tuple[int, int], size: tuple[int, int] = (7, 9)) -> np.ndarray:
    mask = np.zeros(size, bool)
    for point in points:
        mask[point] = True
    return mask


def blob(seed: int, size: tuple[int, int] = (60, 50)) -> np.ndarray:
    """Smooth random shapes that may touch the border."""
    noise = np.fft.irfft2(np.fft.rfft2(np.random.default_rng(seed).normal(size=size)) * _low(size), s=size)
    return noise > np.quantile(noise, 0.6)


def _low(size: tuple[int, int]) -> np.ndarray:
    y, x = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None]
    return np.exp(-((y**2 + x**2) * 300))


def by_brute_force(prediction, mask, valid, spacing):
    """Outline pixels by their four neighbours one at a time, and every distance between them."""

    def outline(inside):
        found = []
        for y, x in np.argwhere(inside & valid):
            for other in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                beyond = not (0 <= other[0] < inside.shape[0] and 0 <= other[1] < inside.shape[1])
                if beyond or (valid[other] and not inside[other]):
                    found.append((y * spacing[0], x * spacing[1]))
                    break
        return np.array(found)

    a, b = outline(prediction), outline(mask)
    table = np.hypot(*(a[:, None] - b[None]).transpose(2, 0, 1))
    return table.min(axis=1), table.min(axis=0)


def test_a_shifted_square_lies_one_pixel_off_on_two_sides():
    mask = np.zeros((7, 9), bool)
    mask[2:5, 2:5] = True
    shifted = np.roll(mask, 1, axis=1)
    found = surface_distances(shifted, mask)
    # columns 3 and 4 of the shifted outline lie on the square's but for (3, 3), which is its middle: 1 off; column 5
    # is 1 off
    assert sorted(found.from_prediction) == [0] * 4 + [1] * 4
    assert len(found.from_reference) == len(SQUARE)


def test_two_pixels_are_a_straight_line_apart_in_the_unit_of_the_spacing():
    a, b = grid((1, 1)), grid((4, 5))
    assert surface_distances(a, b).from_prediction.tolist() == [5.0]  # 3 rows, 4 columns
    found = surface_distances(a, b, spacing=(2.0, 0.5))
    assert found.from_prediction.tolist() == pytest.approx([math.sqrt(6**2 + 2**2)])
    assert found.diagonal == pytest.approx(math.hypot(7 * 2.0, 9 * 0.5))


def test_the_border_of_the_image_is_an_outline():
    full = np.ones((3, 4), bool)
    # 12 pixels, of which the 2 in the middle are not on the border
    assert len(surface_distances(full, full).from_prediction) == 10


def test_the_distances_of_both_outlines_are_pooled():
    found = surface_distances(grid((0, 0)), grid((0, 2), (0, 3)))
    assert found.pooled.tolist() == [2.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("prediction", "mask", "lengths"),
    [
        pytest.param(grid(), grid((1, 1)), (0, 1), id="missed"),
        pytest.param(grid((1, 1)), grid(), (1, 0), id="false"),
        pytest.param(grid(), grid(), (0, 0), id="both-empty"),
    ],
)
def test_there_is_no_way_to_an_outline_that_is_not_there(prediction, mask, lengths):
    found = surface_distances(prediction, mask)
    assert (len(found.from_prediction), len(found.from_reference)) == lengths
    assert all(math.isinf(value) for value in found.pooled)


def test_left_out_pixels_are_on_no_outline_and_make_none_beside_them():
    # five columns of mask, the last two left out: 0 is outside, 1 and 2 are inside and known
    mask = grid(*[(y, x) for y in range(7) for x in (1, 2, 3, 4)], size=(7, 5))
    valid = np.ones((7, 5), bool)
    valid[:, 3:] = False
    found = surface_distances(mask, mask, valid=valid)
    # column 1 borders on column 0 (7 pixels); of column 2 only the ends lie on the border of the image
    assert len(found.from_prediction) == 9


def test_what_is_predicted_in_a_left_out_area_does_not_matter():
    valid = np.ones((60, 50), bool)
    valid[20:40, 10:30] = False
    mask, prediction = blob(1), blob(2)
    other = np.where(valid, prediction, np.random.default_rng(0).random((60, 50)) > 0.5)
    one, two = (surface_distances(each, mask, valid=valid) for each in (prediction, other))
    np.testing.assert_array_equal(one.from_prediction, two.from_prediction)
    np.testing.assert_array_equal(one.from_reference, two.from_reference)


@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.35, 0.35), (0.2, 0.7)], ids=str)
def test_distances_are_those_of_brute_force(use_valid, spacing):
    for seed in range(4):
        prediction, mask = blob(seed), blob(seed + 100)
        valid = blob(seed + 200) if use_valid else None
        found = surface_distances(prediction, mask, valid=valid, spacing=spacing)
        everywhere = np.ones_like(mask) if valid is None else valid
        there, back = by_brute_force(prediction, mask, everywhere, spacing)
        np.testing.assert_allclose(np.sort(found.from_prediction), np.sort(there), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(np.sort(found.from_reference), np.sort(back), rtol=1e-12, atol=1e-12)


def test_masks_may_be_of_any_dtype_and_order():
    prediction, mask = blob(3), blob(4)
    expected = surface_distances(prediction, mask)
    found = surface_distances(np.asfortranarray(prediction.astype(np.uint8) * 255), mask[::-1][::-1].astype(np.int64))
    np.testing.assert_array_equal(found.pooled, expected.pooled)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"prediction": grid(), "mask": grid(size=(7, 8))}, r"\(7, 9\), \(7, 8\)", id="mask"),
        pytest.param({"prediction": grid()[None], "mask": grid()[None]}, r"\(1, 7, 9\)", id="planes"),
        pytest.param({"prediction": grid(), "mask": grid(), "valid": grid()[None]}, r"\(1, 7, 9\)", id="valid"),
        pytest.param({"prediction": grid(), "mask": grid(), "spacing": (0.0, 1.0)}, r"spacing=\(0\.0, 1\.0\)", id="0"),
        pytest.param({"prediction": grid(), "mask": grid(), "spacing": (1.0, math.nan)}, "positive", id="nan"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        surface_distances(**arguments)
