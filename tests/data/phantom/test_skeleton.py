from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lungseg.data.phantom.organs import draw_organs
from lungseg.data.phantom.skeleton import N_RIBS, draw_skeleton, grow_vessels


def draw(anatomy, pose, seed=0):
    return draw_skeleton(anatomy, pose, np.random.default_rng(seed))


def grow(anatomy, pose, seed=0):
    organs = draw_organs(anatomy, pose, np.random.default_rng(0))
    return grow_vessels(organs, np.random.default_rng(seed)), organs


def test_both_sides_have_eleven_back_ribs_and_seven_front_ones(anatomy, pose):
    bones = draw(anatomy, pose)
    assert (len(bones.back_ribs), len(bones.front_ribs)) == (2 * N_RIBS, 2 * 7)


def test_ribs_follow_each_other_downwards(anatomy, pose):
    right = [rib[:, 1].mean() for rib in draw(anatomy, pose).back_ribs[:N_RIBS]]
    assert np.all(np.diff(right) > 0)


def test_a_back_rib_drops_from_the_spine_to_the_wall(anatomy, pose):
    rib = draw(anatomy, pose).back_ribs[N_RIBS + 4]  # the fifth on the left side
    inner, outer = rib[np.argmin(rib[:, 0])], rib[np.argmax(rib[:, 0])]
    assert outer[1] > inner[1]


@pytest.mark.parametrize("name", ["clavicles", "clavicle_fields"])
def test_clavicles_are_right_then_left(anatomy, pose, name):
    right, left = getattr(draw(anatomy, pose), name)
    assert right[:, 0].max() < 0 < left[:, 0].min()


def test_the_masks_of_clavicles_end_at_the_rib_cage(anatomy, pose):
    bones = draw(anatomy, pose)
    # the whole bone goes on to the shoulder at x = 1.18
    assert bones.clavicles[1][:, 0].max() > 1.1
    assert bones.clavicle_fields[1][:, 0].max() < 0.9


def test_a_shrug_lifts_the_outer_end_of_its_own_clavicle_only(anatomy, pose):
    still, lifted = draw(anatomy, pose), draw(anatomy, dataclasses.replace(pose, shrug=(0.2, 0.0)))
    assert lifted.clavicles[0][:, 1].min() < still.clavicles[0][:, 1].min() - 0.1
    assert np.array_equal(lifted.clavicles[1], still.clavicles[1])


def test_a_turned_patient_has_one_clavicle_nearer_to_the_midline(anatomy, pose):
    right, left = draw(anatomy, dataclasses.replace(pose, yaw=0.05)).clavicles
    # both inner ends move by 1.2 * 0.05 = 0.06 to the image's right
    assert left[:, 0].min() - -right[:, 0].max() == pytest.approx(0.12, abs=0.01)


def test_a_straight_spine_is_the_same_on_both_sides(anatomy, pose):
    column = draw(anatomy, pose).column
    assert column[:, 0].max() == pytest.approx(-column[:, 0].min())


def test_a_crooked_spine_bends_by_its_curve(anatomy, pose):
    bones = draw(dataclasses.replace(anatomy, scoliosis=0.1), pose)
    middles = np.array([box.mean(axis=0) for box in bones.vertebrae])
    assert np.allclose(middles[:, 0], 0.1 * np.sin(1.6 * middles[:, 1]))


def test_every_vertebra_has_two_pedicles_and_a_spine_behind(anatomy, pose):
    bones = draw(anatomy, pose)
    assert len(bones.pedicles) == 3 * len(bones.vertebrae)


def test_vertebrae_grow_downwards(anatomy, pose):
    heights = [np.ptp(box[:, 1]) for box in draw(anatomy, pose).vertebrae]
    assert np.all(np.diff(heights) > -1e-12)


def test_the_generator_moves_the_ribs_and_no_other_bone(anatomy, pose):
    a, b = draw(anatomy, pose, 0), draw(anatomy, pose, 1)
    assert not np.array_equal(a.back_ribs[3], b.back_ribs[3])
    assert np.array_equal(a.clavicles[0], b.clavicles[0])
    assert np.array_equal(a.column, b.column)


def test_vessels_come_thinnest_first(anatomy, pose):
    (segments, widths), _ = grow(anatomy, pose)
    assert segments.shape == (len(widths), 2, 2)
    assert np.all(np.diff(widths) >= 0)


def test_vessels_are_steps_of_one_length(anatomy, pose):
    (segments, _), _ = grow(anatomy, pose)
    assert np.allclose(np.linalg.norm(segments[:, 1] - segments[:, 0], axis=1), 0.055)


def test_vessels_start_at_both_hila(anatomy, pose):
    (segments, _), organs = grow(anatomy, pose)
    starts = segments[:, 0]
    for hilum in organs.hila:
        # thirteen stems spread over 0.2 * 1.6 units of height, and a little sideways
        assert np.sum(np.abs(starts - hilum).max(axis=1) < 0.25) >= 13


def test_vessels_branch(anatomy, pose):
    (segments, _), _ = grow(anatomy, pose)
    starts = np.round(segments[:, 0], 9)
    assert len(np.unique(starts, axis=0)) < len(starts)


def test_the_same_patient_has_the_same_vessels(anatomy, pose):
    (a, _), _ = grow(anatomy, pose, 3)
    (b, _), _ = grow(anatomy, pose, 3)
    assert np.array_equal(a, b)
