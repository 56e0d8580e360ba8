from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lungseg.data.preprocess.base import Placement
from lungseg.explain.base import as_heat, on_image
from lungseg.explain.eigencam import EigenCam
from lungseg.explain.gradcam import GradCam


def test_the_highest_value_becomes_1_and_0_stays_0():
    heat = as_heat(np.array([[0.0, 2.0], [-3.0, 4.0]]), (2, 2))
    assert heat.tolist() == [[0, 0.5], [0, 1]]
    assert heat.dtype == np.float32


def test_a_small_slope_is_no_smaller_a_map():
    raw = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert np.allclose(as_heat(raw * 1e-12, (8, 8)), as_heat(raw, (8, 8)))


def test_nan_is_no_heat():
    assert as_heat(np.array([[np.nan, 1.0]]), (1, 2)).tolist() == [[0, 1]]


def test_a_map_goes_back_to_the_radiograph_s_own_size():
    heat = np.zeros((1, 4, 4), np.float32)
    heat[0, :2] = 1
    out = on_image(heat, Placement(0, 0, 4, 4), (40, 20))
    assert out.shape == (1, 40, 20)
    assert (out[0, :15] == 1).all()
    assert (out[0, 25:] == 0).all()


def test_what_a_crop_left_out_has_no_heat():
    # the network saw rows 2 to 5 and columns 2 to 5 of 8 x 8
    out = on_image(np.ones((1, 4, 4), np.float32), Placement(-2, -2, 8, 8), (8, 8))[0]
    expected = np.zeros((8, 8))
    expected[2:6, 2:6] = 1
    assert np.array_equal(out, expected)


def test_a_map_of_a_padded_image_is_cut_to_the_image():
    # 12 x 12 pixels padded to 16 x 16, seen in 4 x 4 cells: heat in the cell of rows and columns 8 to 11
    raw = np.zeros((4, 4))
    raw[2, 2] = 1
    heat = as_heat(raw, (12, 12), (16, 16))
    assert heat.shape == (12, 12)
    assert np.unravel_index(heat.argmax(), heat.shape) in {(9, 9), (9, 10), (10, 9), (10, 10)}
    assert heat.max() == 1
    assert (heat[:5, :5] == 0).all()


class Padding(nn.Module):
    """Pads to multiples of 16 before its backbone."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.AvgPool2d(4)
        self.scale = nn.Parameter(torch.ones(()))

    @property
    def last_conv(self) -> nn.Module:
        return self.net

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        high, wide = image.shape[-2:]
        return self.net(nn.functional.pad(image, (0, -wide % 16, 0, -high % 16))).mean(dim=(2, 3)) * self.scale


@pytest.mark.parametrize("explainer", [GradCam(), EigenCam()], ids=lambda one: type(one).__name__)
def test_a_network_that_pads_is_watched(explainer):
    image = torch.zeros(1, 1, 12, 12)
    image[..., 8:, 8:] = 1
    network = Padding()
    heat = explainer(network, image, [0])[0]
    assert heat.shape == (12, 12)
    assert heat[8:, 8:].min() > 0.5
    assert heat[:5, :5].max() < 0.01
    assert not network.net._forward_pre_hooks
