from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lungseg.data.phantom.canvas import Canvas, cloud
from lungseg.data.phantom.shapes import band, ellipse

SIZE = (100, 100)


@pytest.fixture
def canvas(anatomy, pose):
    # 40 pixels per unit; the middle of the image is y = 0.25 * (2 + 2) - 0.03 = 0.97
    return Canvas(anatomy, pose, SIZE)


def test_a_unit_is_the_mean_of_both_directions(anatomy, pose):
    # sqrt(0.2 * 0.45) * 100 = 30
    assert Canvas(anatomy, dataclasses.replace(pose, scale=(0.2, 0.45)), SIZE).unit == pytest.approx(30.0)


def test_the_middle_of_the_lungs_lands_on_the_middle_of_the_image(canvas):
    assert np.allclose(canvas.project(np.array([[0.0, 0.97]])), [[49.5, 49.5]])


def test_a_patient_without_waves_is_not_bent(canvas):
    # 0.5 units to the right are 20 pixels
    assert np.allclose(canvas.project(np.array([[0.5, 0.97]])), [[69.5, 49.5]])


def test_waves_bend_x_by_y_and_y_by_x(anatomy, pose):
    bent = Canvas(dataclasses.replace(anatomy, wobble=((0.1, 0.2, 1.0, 0.0),)), pose, SIZE)
    x, y = bent.project(np.array([[0.5, 0.97]]))[0]
    assert x == pytest.approx(49.5 + 40 * (0.5 + 0.1 * np.sin(0.97)))
    assert y == pytest.approx(49.5 + 40 * 0.2 * np.sin(0.5))


def test_projecting_leaves_the_points_as_they_were(anatomy, pose):
    points = np.array([[0.5, 1.0]])
    Canvas(dataclasses.replace(anatomy, wobble=((0.1, 0.1, 1.0, 0.0),)), pose, SIZE).project(points)
    assert points.tolist() == [[0.5, 1.0]]


def test_outlines_are_filled_where_each_of_them_lies(canvas):
    plane = canvas.fill([ellipse(-0.6, 0.97, 0.3, 0.3), ellipse(0.6, 0.97, 0.3, 0.3)])
    # centres at 49.5 -+ 24 columns, radius 12 pixels: the middle stays empty
    assert (plane[50, 26], plane[50, 50], plane[50, 74]) == (255, 0, 255)


def test_a_blur_below_the_least_is_made_wider(canvas):
    shape = [ellipse(0.0, 0.97, 0.3, 0.3)]
    sharp, least = canvas.soft(shape, 0.0), canvas.soft(shape, 0.0, least=4.0)
    assert float(sharp[50, 50]) == 1.0
    assert np.count_nonzero(least) > np.count_nonzero(sharp)


def test_bones_are_bright_at_the_rim_and_paler_inside(canvas):
    bone = canvas.bones([band(np.array([[-1.0, 0.97], [1.0, 0.97]]), 0.25)], core=100, rim=0.06)
    # 10 pixels either side of the centre line; the core is 100 / 255 = 0.39
    assert float(bone[50, 50]) == pytest.approx(0.39, abs=0.02)
    assert float(bone[38:42, 50].max()) > 0.6


def test_a_tube_has_open_ends(canvas):
    outline = band(np.array([[-0.5, 0.97], [0.5, 0.97]]), 0.25)
    tube = canvas.bones([outline], core=0, rim=0.05)
    plate = canvas.bones([outline], core=0, rim=0.05, tube=False)
    # the right end lies 20 pixels from the middle, at column 69.5
    assert float(tube[50, 67:72].max()) < 0.05
    assert float(plate[50, 67:72].max()) > 0.5


def test_wide_vessels_are_brighter_than_thin_ones(canvas):
    lines = np.array([[[-1.0, 0.6], [1.0, 0.6]], [[-1.0, 1.3], [1.0, 1.3]]])
    plane = canvas.vessels(lines, np.array([0.01, 0.06]))
    # rows 49.5 + 40 * (0.6 - 0.97) = 35 and 49.5 + 40 * (1.3 - 0.97) = 63
    assert 0 < float(plane[33:38, 50].max()) < float(plane[60:66, 50].max())


def test_no_vessels_give_an_empty_plane(canvas):
    assert canvas.vessels(np.zeros((0, 2, 2)), np.zeros(0)).max() == 0


def test_noise_is_about_standard_normal():
    planes = [cloud(np.random.default_rng(seed), (64, 64), 6) for seed in range(20)]
    assert abs(float(np.mean(planes))) < 0.1
    assert 0.8 < float(np.std(planes)) < 1.25


def test_more_cells_make_finer_noise():
    coarse, fine = (cloud(np.random.default_rng(0), (64, 64), cells) for cells in (2, 12))
    assert np.abs(np.diff(fine, axis=1)).mean() > 2 * np.abs(np.diff(coarse, axis=1)).mean()


@pytest.mark.parametrize("size", [(32, 64), (64, 32)])
def test_noise_has_the_size_asked_for(size):
    found = cloud(np.random.default_rng(0), size, 3)
    assert (found.shape, found.dtype) == (size, np.float32)
