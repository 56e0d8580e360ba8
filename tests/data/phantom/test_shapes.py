import numpy as np

from lungseg.data.phantom.shapes import band, curve, ellipse, fill, inflate, mirrored, soft


def test_a_curve_goes_through_its_points():
    points = np.array([(0.0, 0.0), (1.0, 2.0), (3.0, 1.0)])
    drawn = curve(points, steps=4)
    assert np.allclose(drawn[[0, 4, 8]], points)


def test_a_band_of_a_straight_line_is_a_rectangle():
    outline = band(np.array([(0.0, 0.0), (10.0, 0.0)]), 2.0)
    # along x, the normal is y: corners at y = +2 and y = -2
    assert np.allclose(outline, [(0, 2), (10, 2), (10, -2), (0, -2)])


def test_a_filled_ellipse_has_its_area():
    plane = fill((100, 100), [ellipse(50, 50, 30, 20, steps=200)])
    # pi * 30 * 20 = 1885; smooth edges add about half a pixel around
    assert abs((plane / 255).sum() - 1885) < 120


def test_mirroring_turns_x_only():
    assert mirrored(np.array([(1.0, 2.0)]), -1).tolist() == [[-1.0, 2.0]]


def test_a_cushion_is_flat_beyond_its_reach():
    plane = np.zeros((41, 41), np.uint8)
    plane[5:36, 5:36] = 255
    thick = inflate(plane, 4.0)
    assert thick[0, 0] == 0.0
    assert thick[20, 20] == 1.0  # 16 pixels inside
    assert 0 < thick[20, 5] < 1


def test_a_wide_blur_keeps_the_mean():
    plane = np.zeros((128, 128), np.uint8)
    plane[:, 64:] = 255
    assert abs(float(soft(plane, 20.0).mean()) - 0.5) < 0.02
