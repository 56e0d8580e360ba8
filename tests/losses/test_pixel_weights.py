"""Weights of pixels against hand arithmetic and loops over windows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from lungseg.losses.pixel_weights import contour, contour_window, inverse_volume, separation


@pytest.mark.parametrize(
    ("side", "window"), [(1, 11), (150, 11), (151, 21), (300, 21), (301, 31), (600, 31), (601, 41), (3000, 41)]
)
def test_the_window_grows_with_the_short_side(side, window):
    assert contour_window(side, side + 40) == contour_window(side + 40, side) == window


def test_a_contour_is_where_the_window_holds_both():
    # a row of 20, the first 5 in the mask, window 11: pixel x sees x - 5 to x + 5. All see the background,
    # those up to 9 the mask
    truth = torch.zeros(1, 20)
    truth[0, :5] = 1
    assert contour(truth).tolist() == [[1] * 10 + [0] * 10]


def test_the_window_needs_more_than_a_two_hundredth():
    # window 21: 2 of 441 pixels are 0.0045, 3 are 0.0068
    truth = torch.zeros(1, 160, 160)
    truth[0, 80, 80:82] = 1
    assert contour(truth).sum() == 0
    truth[0, 80, 82] = 1
    # all 3 are seen from columns 72 to 90 and rows 70 to 90
    assert contour(truth).sum() == 19 * 21


def test_padding_is_no_background():
    # full: at the edge the mean is 1 too, so there is no contour
    assert contour(torch.ones(2, 13, 17)).sum() == 0


def test_what_is_left_out_makes_no_contour():
    truth, valid = torch.zeros(1, 20), torch.ones(1, 20)
    truth[0, :5] = 1
    valid[0, 4:10] = 0
    # the mask is seen, in 0 to 3, up to pixel 8; of the background 10 is the nearest, seen from 5
    assert contour(truth * valid, valid)[0].tolist() == [0] * 5 + [1] * 4 + [0] * 11


@pytest.mark.parametrize("size", [(5, 7), (13, 30), (30, 13)], ids=str)
@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
def test_contours_are_those_of_a_loop_over_windows(size, use_valid):
    generator = torch.Generator().manual_seed(0)
    truth = (torch.rand(2, 3, *size, generator=generator) > 0.98).double()
    valid = (torch.rand(2, 1, *size, generator=generator) > 0.3).double()
    if not use_valid:
        valid = torch.ones_like(valid)
    truth = truth * valid
    expected = np.zeros(truth.shape)
    for b, c, y, x in np.ndindex(*truth.shape):
        window = np.s_[max(y - 5, 0) : y + 6, max(x - 5, 0) : x + 6]
        counted = truth[b, c][window][valid[b, 0][window] == 1]
        expected[b, c, y, x] = len(counted) > 0 and 0.005 < counted.mean() < 0.995
    found = contour(truth, valid if use_valid else None)
    assert found.dtype == torch.float64
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(found.numpy(), expected)


def test_a_class_weighs_by_the_inverse_square_of_its_volume():
    # V = 15, 5: r = 1/225, 1/25, relative to the larger 1/9, 1: times (10/9) / (82/81) = 45/41
    found = inverse_volume(torch.tensor([15.0, 5.0], dtype=torch.float64))
    assert found.tolist() == pytest.approx([5 / 41, 45 / 41])
    # the same for any unit of volume, in float32 too
    assert inverse_volume(torch.tensor([15e6, 5e6])).tolist() == pytest.approx([5 / 41, 45 / 41])


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        # the absent class weighs as the smallest: r = 1/4, 1, 1 over 1: (9/4) / (33/16) = 12/11
        pytest.param([2.0, 1.0, 0.0], [3 / 11, 12 / 11, 12 / 11], id="one-absent"),
        pytest.param([0.0, 0.0], [1.0, 1.0], id="none-there"),
        pytest.param([7.0, 7.0], [1.0, 1.0], id="equal"),
    ],
)
def test_an_absent_class_has_a_finite_weight(volume, expected):
    assert inverse_volume(torch.tensor(volume)).tolist() == pytest.approx(expected)


def test_the_background_between_two_objects_is_raised():
    # 1 0 0 1: both background pixels are 1 and 2 away: 10 exp(-3^2 / (2 5^2))
    found = separation(torch.tensor([[[[1.0, 0, 0, 1]]]]), height=10, sigma=5)
    assert found.flatten().tolist() == pytest.approx([0, 10 * math.exp(-9 / 50), 10 * math.exp(-9 / 50), 0])


@pytest.mark.parametrize(
    ("planes", "raised"),
    [
        pytest.param([[[1, 1, 0], [0, 0, 0]]], False, id="one-object"),
        pytest.param([[[0, 1, 0], [1, 0, 0]]], False, id="diagonal-is-one-object"),
        pytest.param([[[1, 0, 0], [0, 0, 0]], [[0, 1, 0], [0, 0, 0]]], True, id="two-planes-that-touch"),
        pytest.param([[[0, 0, 0], [0, 0, 0]]], False, id="empty"),
    ],
)
def test_objects_are_components_of_each_plane(planes, raised):
    found = separation(torch.tensor([planes]).double(), height=10, sigma=5)
    assert found.shape == (1, 1, 2, 3)
    assert found.dtype == torch.float64
    assert bool((found > 0).any()) is raised


def test_separation_is_that_of_scipy():
    structures = (torch.rand(2, 2, 12, 15, generator=torch.Generator().manual_seed(0)) > 0.93).double()
    found = separation(structures, height=4, sigma=3)
    for image, value in zip(structures.numpy(), found[:, 0].numpy(), strict=True):
        apart = []
        for plane in image:
            labels, count = ndimage.label(plane, structure=np.ones((3, 3)))
            apart += [ndimage.distance_transform_edt(labels != i) for i in range(1, count + 1)]
        nearest = np.sort(apart, axis=0)[:2].sum(axis=0)
        expected = 4 * np.exp(-(nearest**2) / 18) * (image.sum(axis=0) == 0)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
