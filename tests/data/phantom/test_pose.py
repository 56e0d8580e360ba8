from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lungseg.data.phantom.pose import draw_pose

SIZE = (100, 200)  # height, width: the shorter side is 100


def poses(anatomy, n=300):
    return [draw_pose(np.random.default_rng(seed), anatomy) for seed in range(n)]


def test_the_middle_of_the_thorax_lands_on_the_middle_of_the_image(pose):
    # pixel centres stand on whole numbers, so the middle of 200 columns is 99.5 and of 100 rows 49.5
    assert pose.to_pixels(np.array([[0.0, 1.0]]), SIZE, 1.0).tolist() == [[99.5, 49.5]]


def test_a_unit_is_a_share_of_the_shorter_side(pose):
    wide = dataclasses.replace(pose, scale=(0.4, 0.5))
    # 0.4 * 100 to the right and 0.5 * 100 down
    assert wide.to_pixels(np.array([[1.0, 2.0]]), SIZE, 1.0).tolist() == [[139.5, 99.5]]


def test_a_shift_moves_by_a_share_of_the_shorter_side(pose):
    moved = dataclasses.replace(pose, shift=(0.1, -0.2))
    assert np.allclose(moved.to_pixels(np.array([[0.0, 0.0]]), SIZE, 0.0), [[109.5, 29.5]])


def test_a_positive_angle_turns_clockwise(pose):
    turned = dataclasses.replace(pose, angle=np.pi / 2)
    # what pointed to the right points down, by 0.4 * 100
    assert np.allclose(turned.to_pixels(np.array([[1.0, 0.0]]), SIZE, 0.0), [[99.5, 89.5]])


def test_projecting_leaves_the_points_as_they_were(pose):
    points = np.array([[1.0, 2.0]])
    pose.to_pixels(points, SIZE, 1.0)
    assert points.tolist() == [[1.0, 2.0]]


def test_the_same_generator_draws_the_same_pose(anatomy):
    assert draw_pose(np.random.default_rng(1), anatomy) == draw_pose(np.random.default_rng(1), anatomy)


@pytest.mark.parametrize(
    ("facts", "share"),
    [({}, 0.15), ({"label": "lobar"}, 0.35), ({"age": 3}, 0.75)],
    ids=["healthy", "sick", "small-child"],
)
def test_the_sick_and_the_small_are_more_often_taken_lying(anatomy, facts, share):
    found = np.mean([pose.view == "AP" for pose in poses(dataclasses.replace(anatomy, **facts))])
    assert abs(found - share) < 0.1  # a share of 300 draws has a standard deviation below 0.03


def test_the_heart_is_magnified_when_the_patient_lies_and_only_then(anatomy):
    assert all((1.06 <= pose.heart <= 1.18) if pose.view == "AP" else pose.heart == 1.0 for pose in poses(anatomy))


def test_the_lungs_are_never_higher_than_the_image(anatomy):
    # their height is cp_depth = 2 units; `scale` gives the share of the shorter side that one unit takes
    assert max(2.0 * pose.scale[1] for pose in poses(anatomy)) <= 1.0 + 1e-9


def test_only_children_hold_their_arms_up(anatomy):
    grown = max(max(pose.arm) for pose in poses(anatomy))
    child = max(max(pose.arm) for pose in poses(dataclasses.replace(anatomy, age=5)))
    assert grown < 1.5 < child
