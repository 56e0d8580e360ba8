from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from lungseg.errors import ConfigError, ResourceError
from lungseg.explain.gradcam import GradCam
from tests.explain.networks import Corner, TwoMaps


def halves() -> torch.Tensor:
    """1 in the left half of 8 x 8 pixels, 0 in the right."""
    image = torch.zeros(1, 1, 8, 8)
    image[..., :4] = 1
    return image


def test_the_map_is_the_weighed_sum_of_the_layer_s_maps():
    # logit 0 = mean of 2 A_1, so a_1 = 2 / 64 > 0 and the map is A_1 = x; logit 1 has A_2 = 1 - x
    heat = GradCam()(TwoMaps().eval(), halves(), [0, 1])
    assert heat.dtype == np.float32
    assert np.array_equal(heat[0], halves()[0, 0].numpy())
    assert np.array_equal(heat[1], 1 - halves()[0, 0].numpy())


def test_what_speaks_against_a_class_is_cut():
    # -A_1 + A_2 / 2 is -1 on the left and 1/2 on the right
    heat = GradCam()(TwoMaps(((-1.0, 0.5),)).eval(), halves(), [0])
    assert np.array_equal(heat[0], 1 - halves()[0, 0].numpy())


def test_nothing_for_the_class_is_a_map_of_zeros():
    assert (GradCam()(TwoMaps(((-1.0, -1.0),)).eval(), halves(), [0]) == 0).all()


def test_an_even_map_stays_even():
    heat = GradCam()(TwoMaps(((1.0, 1.0),)).eval(), halves(), [0])  # A_1 + A_2 = 1 everywhere
    assert (heat == 1).all()


def test_a_bright_corner_that_the_logit_reads_is_where_the_heat_is():
    image = torch.full((1, 1, 32, 32), 0.001)
    image[..., :8, :8] = 1
    heat = GradCam()(Corner().eval(), image, [0])[0]
    assert heat.shape == (32, 32)
    # the cell of 8 x 8 pixels, and the half cell that bilinear interpolation reaches beyond it
    assert heat[:12, :12].sum() > 0.98 * heat.sum()
    assert np.allclose(heat[12:, 12:], 0.001, atol=1e-7)


def test_another_layer_can_be_named():
    heat = GradCam(layer="conv")(Corner().eval(), torch.rand(1, 1, 32, 32), [0])
    assert heat.shape == (1, 32, 32)


def test_a_mistyped_layer_suggests_the_near_one():
    with pytest.raises(ConfigError, match=r"explain\.layer=con is no layer of Corner; did you mean conv\?"):
        GradCam(layer="con")(Corner(), torch.zeros(1, 1, 32, 32), [0])


def test_a_layer_without_maps_is_refused():
    with pytest.raises(ConfigError, match=r"gives \(1, 2\) and no maps"):
        GradCam(layer="head")(Corner(), torch.zeros(1, 1, 32, 32), [0])


def test_a_network_that_names_no_last_convolution_asks_for_the_layer():
    plain = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    with pytest.raises(ConfigError, match=r"Sequential does not say .*explain\.layer, such as 0"):
        GradCam()(plain, torch.zeros(1, 1, 8, 8), [0])


def test_no_gradient_hook_or_frozen_weight_is_left_or_in_the_way():
    network = TwoMaps().eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    image = halves()
    first = GradCam()(network, image, [0])
    for parameter in network.parameters():
        parameter.requires_grad_()
    assert np.array_equal(GradCam()(network, image, [0]), first)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network.conv._forward_hooks
    assert not image.requires_grad


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(ResourceError, match=r"grad-cam is not installed .*pip install 'lungseg\[explain\]'"):
        GradCam()(TwoMaps(), halves(), [0])


def test_it_is_the_library_s_map_but_for_the_lowest_value():
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 3, stride=2), torch.nn.ReLU(), torch.nn.Conv2d(6, 8, 3), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(32, 3),
    ).eval()  # fmt: skip
    image = torch.rand(1, 1, 24, 24)
    ours = GradCam(layer="3")(network, image, [1])[0]
    theirs = pytorch_grad_cam.GradCAM(network, [network[3]])(image, [ClassifierOutputTarget(1)])[0]
    moved = (ours - ours.min()) / (ours.max() - ours.min())
    assert np.abs(moved - theirs).max() < 1e-4
