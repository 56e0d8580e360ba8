"""Logits on the published grid, against scipy's interpolation at the coordinates the docstring gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from lungseg.data.preprocess.base import Placement, Prepared
from lungseg.data.preprocess.resize import Resize
from lungseg.postprocess.published_grid import OUTSIDE, on_published_grid, sigmoid


def reference(logits: np.ndarray, placement: Placement, size: tuple[int, int]) -> np.ndarray:
    """top + (r + 1/2) height / h - 1/2, edge values beyond the outermost centres."""
    rows = placement.top + (np.arange(size[0]) + 0.5) * placement.height / size[0] - 0.5
    columns = placement.left + (np.arange(size[1]) + 0.5) * placement.width / size[1] - 0.5
    grid = np.meshgrid(rows, columns, indexing="ij")
    return np.stack([map_coordinates(plane.astype(float), grid, order=1, mode="nearest") for plane in logits])


def waves(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([4 * np.sin(x / 3) * np.cos(y / 4), x - y]).astype(np.float32)


@pytest.mark.parametrize(
    ("network", "size"),
    [((16, 16), (40, 40)), ((16, 24), (37, 53)), ((32, 32), (20, 13)), ((16, 16), (16, 16))],
    ids=["grows", "odd-sizes", "shrinks", "same"],
)
def test_a_plain_resize_is_bilinear_at_pixel_centres(network, size):
    logits, whole = waves(*network), Placement(0, 0, *map(float, network))
    np.testing.assert_allclose(on_published_grid(logits, whole, size), reference(logits, whole, size), atol=2e-5)


@pytest.mark.parametrize(
    "placement",
    [Placement(4, 0, 8, 16), Placement(0, 3, 16, 10), Placement(2.5, 1.25, 10.5, 13)],
    ids=["bars-above", "bars-beside", "fractions"],
)
def test_a_placement_inside_the_grid_is_bilinear_to_a_64th_of_a_pixel(placement):
    logits = waves(16, 16)
    found = on_published_grid(logits, placement, (41, 37))
    # cv2.remap rounds places to 1/32 pixel; the steepest neighbours differ by at most 1.4 along each side
    np.testing.assert_allclose(found, reference(logits, placement, (41, 37)), atol=2 * 1.4 / 64 + 1e-4)


def test_what_a_crop_left_out_is_outside():
    # a crop to the middle half: the published image sticks out by 8 of 32 on each side
    found = on_published_grid(np.zeros((1, 16, 16), np.float32), Placement(-8, -8, 32, 32), (64, 64))
    # 2 published pixels for one of the network: 16 are left out on each side
    expected = np.full((64, 64), OUTSIDE)
    expected[16:48, 16:48] = 0
    assert np.array_equal(found[0], expected)


def test_outside_is_no_structure():
    assert sigmoid(np.array([OUTSIDE], np.float32))[0] < 1e-12


@pytest.mark.parametrize("size", [(61, 90), (90, 61), (64, 64)], ids=["wide", "high", "square"])
def test_a_mask_comes_back_from_a_letterbox_where_it_was(size):
    y, x = np.mgrid[: size[0], : size[1]]
    mask = ((y - size[0] / 2) ** 2 / 400 + (x - size[1] / 3) ** 2 / 300 < 1).astype(np.uint8)
    boxed = Resize(size=(48, 48), mode="letterbox")(
        Prepared(mask * np.uint8(255), mask[None], Placement(0, 0, float(size[0]), float(size[1])))
    )
    logits = np.where(boxed.masks, 8, -8).astype(np.float32)
    back = on_published_grid(logits, boxed.placement, size)[0] > 0
    # an ellipse of half-axes 20 and 17 moves by less than half a network pixel along its outline
    assert 2 * (back & (mask > 0)).sum() / (back.sum() + mask.sum()) > 0.96


def test_a_shift_of_half_a_pixel_would_be_seen():
    # a ramp comes back as the ramp of the finer grid: 4 columns for 1, centres at (c + 1/2) / 4 - 1/2
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32), (1, 8, 8)).copy()
    found = on_published_grid(ramp, Placement(0, 0, 8, 8), (32, 32))[0, 0]
    np.testing.assert_allclose(found, np.clip((np.arange(32) + 0.5) / 4 - 0.5, 0, 7), atol=1e-5)


def test_sigmoid_is_the_logistic_function_without_overflow():
    values = np.array([-1e4, -2, 0, 2, 1e4], np.float32)
    # 1 / (1 + e^2) = 0.119203
    np.testing.assert_allclose(sigmoid(values), [0, 0.119203, 0.5, 0.880797, 1], atol=1e-6)
