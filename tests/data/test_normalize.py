from __future__ import annotations

import numpy as np
import pytest
import torch

from lungseg.data.normalize import Normalize
from lungseg.errors import ConfigError


@pytest.mark.parametrize(("dtype", "full"), [(torch.uint8, 255), (torch.uint16, 65535)], ids=["8-bit", "16-bit"])
def test_by_default_the_network_sees_0_to_1(dtype, full):
    out = Normalize()(torch.tensor([[[[0, full]]]]).to(dtype))
    assert out.dtype == torch.float32
    assert out.flatten().tolist() == [0.0, 1.0]


def test_mean_and_std_are_on_the_scale_of_0_to_1():
    # 51 / 255 = 0.2; (0.2 - 0.5) / 0.25 = -1.2
    out = Normalize(mean=0.5, std=0.25)(torch.tensor([[[[51]]]], dtype=torch.uint8))
    assert out.item() == pytest.approx(-1.2, abs=1e-6)


def test_floats_are_taken_as_they_are_and_left_unchanged():
    image = torch.tensor([[[[0.2]]]])
    assert Normalize(mean=0.1, std=0.5)(image).item() == pytest.approx(0.2)  # (0.2 - 0.1) / 0.5
    assert image.item() == pytest.approx(0.2)


def test_train_takes_the_constants_it_is_given():
    normalize = Normalize(mean="train", std="train")
    assert not normalize.is_fitted
    normalize.fit(0.4, 0.2)
    assert (normalize.is_fitted, normalize.mean, normalize.std) == (True, 0.4, 0.2)


def test_a_number_beside_train_is_kept():
    normalize = Normalize(mean=0.5, std="train")
    normalize.fit(0.4, 0.2)
    assert (normalize.mean, normalize.std) == (0.5, 0.2)


def test_a_constant_training_part_divides_by_no_zero():
    normalize = Normalize(mean="train", std="train")
    normalize.fit(0.0, 0.0)
    assert torch.isfinite(normalize(torch.zeros(1, 1, 2, 2, dtype=torch.uint8))).all()


def test_unfitted_constants_are_refused():
    with pytest.raises(ConfigError, match="never computed"):
        Normalize(mean="train")(torch.zeros(1, 1, 2, 2, dtype=torch.uint8))


@pytest.mark.parametrize(
    "given", [{"std": 0}, {"std": -1.0}, {"mean": "trian"}, {"std": "trian"}, {"mean": np.nan}], ids=str
)
def test_a_constant_that_is_no_number_is_named(given):
    (key,) = given
    with pytest.raises(ConfigError, match=rf"preprocess\.normalize\.{key}={given[key]}"):
        Normalize(**given)
