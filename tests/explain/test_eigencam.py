from __future__ import annotations

import numpy as np
import pytest
import torch

from lungseg.errors import ConfigError
from lungseg.explain.eigencam import EigenCam, _first_component
from tests.explain.networks import Corner, TwoMaps


def test_a_bright_corner_is_what_a_layer_of_copies_sees_most_of():
    image = torch.zeros(1, 1, 32, 32)
    image[..., 24:, :8] = 1
    heat = EigenCam()(Corner().eval(), image, [0])[0]
    assert heat[24:, :8].mean() > 0.7
    assert heat[:16].max() == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_the_rarer_end_is_salient_whatever_the_sign_of_the_maps(sign):
    maps = np.zeros((3, 4, 4), np.float32)
    maps[:, 0, 0] = sign
    # centred: 15/16 at the corner and -1/16 elsewhere, over three equal maps, so times sqrt(3)
    expected = np.full((4, 4), -np.sqrt(3) / 16)
    expected[0, 0] += np.sqrt(3)
    assert np.allclose(_first_component(maps), expected, atol=1e-6)


def test_all_classes_get_the_same_map():
    heat = EigenCam()(Corner().eval(), torch.rand(1, 1, 32, 32), [0, 1])
    assert np.array_equal(heat[0], heat[1])


def test_maps_without_contrast_show_nothing():
    assert (EigenCam()(TwoMaps().eval(), torch.ones(1, 1, 8, 8), [0]) == 0).all()


def test_it_is_the_library_s_component_up_to_its_sign():
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

    maps = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    theirs, ours = get_2d_projection(maps[None])[0], _first_component(maps)
    assert min(np.abs(ours - theirs).max(), np.abs(ours + theirs).max()) < 1e-4


def test_a_layer_without_maps_is_refused_and_leaves_no_hook():
    network = Corner()
    with pytest.raises(ConfigError, match="no maps"):
        EigenCam(layer="head")(network, torch.zeros(1, 1, 32, 32), [0])
    assert not network.head._forward_hooks
