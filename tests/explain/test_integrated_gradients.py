from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from lungseg.errors import ConfigError, ResourceError
from lungseg.explain.integrated_gradients import IntegratedGradients
from tests.explain.networks import Corner


def test_of_a_linear_logit_each_pixel_adds_its_weight_times_its_value():
    # logit 0 = mean of the corner's 64 pixels, so a pixel adds x / 64, whatever the path
    image = torch.zeros(1, 1, 32, 32)
    image[..., :8, :8] = 0.5
    image[..., 3, 3] = 1.0
    image[..., 20:, 20:] = 1.0
    heat = IntegratedGradients(steps=3, batch_size=2)(Corner().eval(), image, [0])[0]
    expected = np.zeros((32, 32))
    expected[:8, :8] = 0.5
    expected[3, 3] = 1.0
    assert np.abs(heat - expected).max() < 1e-5


def test_each_class_has_its_own_map():
    heat = IntegratedGradients(steps=2)(Corner().eval(), torch.ones(1, 1, 32, 32), [0, 1])
    assert heat[0, 0, 0] == heat[1, 31, 31] == 1
    assert heat[0, 31, 31] == heat[1, 0, 0] == 0


def test_a_black_picture_has_nothing_to_add():
    # black is -2 after normalisation
    image = torch.full((1, 1, 32, 32), -2.0)
    assert (IntegratedGradients(steps=2)(Corner().eval(), image, [0], black=-2.0) == 0).all()
    assert IntegratedGradients(steps=2, baseline="mean")(Corner().eval(), image, [0], black=-2.0).max() == 1


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"baseline": "blck"}, r"explain\.baseline=blck .*did you mean black"),
        ({"steps": 0}, r"explain\.steps=0"),
        ({"batch_size": 0}, r"batch_size=0"),
    ],
)
def test_wrong_arguments_are_refused(wrong, match):
    with pytest.raises(ConfigError, match=match):
        IntegratedGradients(**wrong)


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ResourceError, match=r"captum is not installed .*pip install 'lungseg\[explain\]'"):
        IntegratedGradients()(Corner(), torch.zeros(1, 1, 32, 32), [0])
