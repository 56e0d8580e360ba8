from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lungseg.data.phantom.organs import chest_wall, dome_top, draw_organs


def draw(anatomy, pose, seed=0):
    return draw_organs(anatomy, pose, np.random.default_rng(seed))


def test_the_chest_wall_ends_at_the_costophrenic_angle(anatomy):
    uneven = dataclasses.replace(anatomy, cp_depth=(2.0, 1.8), cp_reach=(0.9, 0.97))
    assert float(chest_wall(uneven, -1, 2.0)) == pytest.approx(0.9)
    assert float(chest_wall(uneven, 1, 1.8)) == pytest.approx(0.97)


def test_the_chest_wall_is_widest_above_its_end(anatomy):
    # one half-width at 0.79 of the depth, by definition of the unit
    assert float(chest_wall(anatomy, 1, 0.79 * 2.0)) == pytest.approx(1.0)


def test_a_cone_narrows_the_top_and_not_the_bottom(anatomy):
    cone = dataclasses.replace(anatomy, cone=0.1)
    # at half the depth 1 - 0.1 * (1 - 0.5) = 0.95 of the width, at the full depth all of it
    assert float(chest_wall(cone, 1, 1.0)) == pytest.approx(0.95 * float(chest_wall(anatomy, 1, 1.0)))
    assert float(chest_wall(cone, 1, 2.0)) == pytest.approx(float(chest_wall(anatomy, 1, 2.0)))


def test_the_left_dome_stands_lower_by_its_drop(anatomy, pose):
    # 2 - 0.45 on the right, 0.06 further down on the left
    assert dome_top(anatomy, pose, -1) == pytest.approx(1.55)
    assert dome_top(anatomy, pose, 1) == pytest.approx(1.61)


def test_breathing_in_brings_the_domes_down(anatomy, pose):
    assert dome_top(anatomy, dataclasses.replace(pose, breath=0.1), -1) == pytest.approx(1.65)


def test_pairs_are_right_then_left(anatomy, pose):
    organs = draw(anatomy, pose)
    for right, left in (organs.lungs, organs.domes, organs.recesses, organs.arms):
        assert right[:, 0].mean() < 0 < left[:, 0].mean()  # the patient's right is on the image's left


def test_lungs_reach_from_the_apex_to_the_costophrenic_angle(anatomy, pose):
    right = draw(anatomy, pose).lungs[0]
    assert right[:, 1].max() == pytest.approx(2.0, abs=0.02)
    assert right[:, 1].min() == pytest.approx(0.0, abs=0.05)
    assert -right[:, 0].min() == pytest.approx(1.0, abs=0.02)


def test_lung_and_dome_share_the_diaphragm_to_the_point(anatomy, pose):
    organs = draw(anatomy, pose)
    dome = organs.domes[0]
    floor = {tuple(point) for point in dome[:-3]}  # the last three points close the outline below the image
    assert floor <= {tuple(point) for point in organs.lungs[0]}


def test_the_heart_reaches_as_far_as_the_anatomy_says(anatomy, pose):
    heart = draw(anatomy, pose).heart
    # a spline may overshoot its control points by a little
    assert heart[:, 0].max() == pytest.approx(0.55, abs=0.02)
    assert heart[:, 0].min() == pytest.approx(-0.25, abs=0.02)


def test_a_turned_patient_has_the_heart_moved(anatomy, pose):
    still, turned = (draw(anatomy, dataclasses.replace(pose, yaw=yaw)).heart for yaw in (0.0, 0.1))
    assert np.allclose(turned - still, [0.1, 0.0])


def test_the_heart_is_larger_when_the_patient_lies(anatomy, pose):
    heart = draw(anatomy, dataclasses.replace(pose, heart=1.1)).heart
    assert heart[:, 0].max() == pytest.approx(1.1 * 0.55, abs=0.02)


def test_only_a_patient_with_breasts_has_them_drawn(anatomy, pose):
    assert draw(anatomy, pose).breasts == ()
    assert len(draw(dataclasses.replace(anatomy, sex="F", breast=0.6), pose).breasts) == 2


@pytest.mark.parametrize(("amount", "drawn"), [(0.34, False), (0.36, True)])
def test_a_small_gastric_bubble_is_not_seen(anatomy, pose, amount, drawn):
    assert (draw(dataclasses.replace(anatomy, bubble=amount), pose).bubble is not None) == drawn


def test_gas_in_the_stomach_has_a_level_when_the_patient_stands(anatomy, pose):
    standing = draw(anatomy, pose).bubble
    lying = draw(anatomy, dataclasses.replace(pose, view="AP")).bubble
    # the lowest points lie on one line only where fluid stands below
    assert np.sum(standing[:, 1] == standing[:, 1].max()) > 1
    assert np.sum(lying[:, 1] == lying[:, 1].max()) == 1


def test_chance_leaves_alone_what_the_masks_are_made_of(anatomy, pose):
    a, b = draw(anatomy, pose, 0), draw(anatomy, pose, 1)
    for name in ("heart", "mediastinum"):
        assert np.array_equal(getattr(a, name), getattr(b, name))
    assert all(np.array_equal(x, y) for x, y in zip(a.lungs, b.lungs, strict=True))
