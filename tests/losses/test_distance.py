"""Distances of pixels from a mask, against hand arithmetic and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from lungseg.losses.distance import _distance_on_device, distance_to, signed_distance

WAYS = [pytest.param(distance_to, id="opencv"), pytest.param(_distance_on_device, id="on-device")]


@pytest.mark.parametrize("way", WAYS)
def test_distance_is_between_pixel_centres(way):
    target = torch.zeros(3, 4, dtype=torch.bool)
    target[0, 0] = True
    found = way(target[None])[0]
    assert found[0].tolist() == [0, 1, 2, 3]
    assert found[2, 3].item() == pytest.approx(math.sqrt(2**2 + 3**2))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (23, 40)], ids=str)
def test_distance_is_that_of_scipy(way, size):
    target = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) > 0.97
    target[..., 0, 0] = True
    expected = [[ndimage.distance_transform_edt(~plane) for plane in planes] for planes in target.numpy()]
    found = way(target)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), np.array(expected), rtol=1e-6)


def test_the_boundary_runs_between_pixels():
    mask = torch.tensor([[[[0.0, 1, 1, 1, 0, 0]]]])
    assert signed_distance(mask).flatten().tolist() == [0.5, -0.5, -1.5, -0.5, 0.5, 1.5]


def test_a_complement_has_the_opposite_sign():
    mask = (torch.rand(2, 2, 9, 8, generator=torch.Generator().manual_seed(0)) > 0.7).double()
    assert signed_distance(mask).dtype == torch.float64
    torch.testing.assert_close(signed_distance(1 - mask), -signed_distance(mask))


@pytest.mark.parametrize("value", [0.0, 1.0], ids=["empty", "full"])
def test_without_a_boundary_there_is_no_distance(value):
    mask = torch.full((1, 2, 2, 3), value)
    mask[0, 1, 0, 0] = 1 - value  # the other plane has one
    found = signed_distance(mask)
    assert found[0, 0].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert (found[0, 1] != 0).all()


def test_a_pixel_left_out_is_on_neither_side():
    mask, valid = torch.tensor([[[[1.0, 1, 0, 0]]]]), torch.tensor([[[[1.0, 0, 0, 1]]]])
    # 0 and 3 are the nearest of either side: their boundary is 1/2 short of their distance
    assert signed_distance(mask, valid)[..., [0, 3]].flatten().tolist() == [-2.5, 2.5]
    # left out, the whole mask is gone
    assert signed_distance(mask, torch.tensor([[[[0.0, 0, 1, 1]]]]))[..., 2:].flatten().tolist() == [0, 0]
