from __future__ import annotations

import dataclasses
import zlib

import numpy as np
import pytest

from lungseg.data.phantom.anatomy import draw_anatomy
from lungseg.data.phantom.render import STRUCTURES, render

SIZE = (96, 96)


def streams(seed):
    return lambda purpose: np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def draw(anatomy, pose, *, size=SIZE, patient=0, image=0):
    return render(anatomy, pose, size, patient=streams(patient), image=streams(image))


def test_attenuation_falls_from_mediastinum_over_lung_to_air(anatomy, pose):
    found = draw(anatomy, pose)
    a = found.attenuation
    heart, lung = np.median(a[found.masks["heart"]]), np.median(a[found.masks["right_lung"]])
    outside = np.median(a[found.body < 0.01]) if (found.body < 0.01).any() else 0.0
    assert 0.7 < heart < 1.5  # about 1, by definition
    assert outside < 0.05
    assert outside < lung < heart


def test_attenuation_is_never_below_that_of_air(anatomy, pose):
    assert draw(anatomy, pose).attenuation.min() >= 0


def test_every_structure_has_its_mask(anatomy, pose):
    masks = draw(anatomy, pose).masks
    assert set(masks) == set(STRUCTURES)
    assert all(mask.shape == SIZE and mask.dtype == bool and mask.any() for mask in masks.values())


@pytest.mark.parametrize("other", ["left_lung", "heart"])
def test_lungs_leave_out_each_other_and_the_heart(anatomy, pose, other):
    masks = draw(anatomy, pose).masks
    assert not (masks["right_lung"] & masks[other]).any()


def test_a_corner_that_the_heart_cuts_off_is_no_part_of_the_lung(monkeypatch, pose):
    cv2 = pytest.importorskip("cv2")
    patient = draw_anatomy(np.random.default_rng(3), "normal")  # a heart that bulges over the right dome

    def pieces():
        right = draw(patient, pose).masks["right_lung"].astype(np.uint8)
        return cv2.connectedComponents(right, connectivity=4)[0] - 1  # without the background

    assert pieces() == 1
    monkeypatch.setattr("lungseg.data.phantom.render._largest", lambda mask: mask)
    assert pieces() == 2


def test_the_lungs_end_at_the_domes(anatomy, pose):
    rows = np.flatnonzero(draw(anatomy, pose).masks["right_lung"].any(axis=1))
    # one unit is 0.4 * 96 = 38.4 pixels; apex y = 0, angle y = 2, middle y = 0.97 on row 47.5
    assert rows[0] == pytest.approx(47.5 - 0.97 * 38.4, abs=2)
    assert rows[-1] == pytest.approx(47.5 + 1.03 * 38.4, abs=2)


def test_breathing_in_makes_the_lungs_larger(anatomy, pose):
    deep = draw(anatomy, dataclasses.replace(pose, breath=0.15)).masks["right_lung"].sum()
    assert deep > 1.03 * draw(anatomy, pose).masks["right_lung"].sum()


def test_texture_of_the_image_leaves_the_masks_alone(anatomy, pose):
    a, b = draw(anatomy, pose, image=0), draw(anatomy, pose, image=1)
    assert not np.array_equal(a.attenuation, b.attenuation)
    assert all(np.array_equal(a.masks[name], b.masks[name]) for name in STRUCTURES)


def test_the_same_streams_give_the_same_rendering(anatomy, pose):
    assert np.array_equal(draw(anatomy, pose).attenuation, draw(anatomy, pose).attenuation)


def test_disease_makes_the_lungs_denser_and_leaves_the_masks_alone(anatomy, pose):
    well, ill = draw(anatomy, pose), draw(dataclasses.replace(anatomy, label="bilateral"), pose)
    lungs = well.masks["right_lung"] | well.masks["left_lung"]
    assert ill.attenuation[lungs].mean() > well.attenuation[lungs].mean() + 0.01
    assert np.array_equal(ill.masks["left_lung"], well.masks["left_lung"])


def test_ribs_show_in_proportion_to_the_bones_density(anatomy, pose):
    lungs = draw(anatomy, pose).masks["right_lung"]
    bare, usual = (draw(dataclasses.replace(anatomy, bone=bone), pose).attenuation[lungs] for bone in (0.0, 1.0))
    assert usual.mean() > bare.mean() + 0.01


def test_the_body_is_a_share_of_the_pixel(anatomy, pose):
    body = draw(anatomy, pose).body
    assert (body.min() >= 0, body.max() <= 1.0 + 1e-6) == (True, True)
    assert body[48, 48] == pytest.approx(1.0)  # the mediastinum
    assert body[0, 0] == pytest.approx(0.0)  # above the shoulder


@pytest.mark.parametrize("size", [(48, 96), (96, 48)])
def test_pictures_need_not_be_square(anatomy, pose, size):
    found = draw(anatomy, pose, size=size)
    assert found.attenuation.shape == found.body.shape == size
