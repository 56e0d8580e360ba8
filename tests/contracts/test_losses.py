"""What every loss under conf/loss keeps to; a new YAML file is found by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

FILES = sorted((Path(__file__).resolve().parents[2] / "conf" / "loss").glob("*.yaml"))


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def file(request) -> Path:
    return request.param


@pytest.fixture
def loss(file) -> nn.Module:
    return instantiate(OmegaConf.load(file), _convert_="all")


def case(structures: int = 1, batch: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, structures, 9, 7, generator=generator)
    mask = (torch.rand(logits.shape, generator=generator) > 0.6).to(torch.uint8)
    valid = (torch.rand(batch, 1, 9, 7, generator=generator) > 0.2).to(torch.uint8)
    return logits, mask, valid


def test_there_are_losses():
    assert FILES


def test_first_line_says_what_the_loss_is(file):
    assert file.read_text().startswith("# ")


@pytest.mark.parametrize("structures", [1, 5])
@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_loss_is_a_finite_float32_scalar_with_a_gradient(loss, structures, use_valid, dtype):
    logits, mask, valid = case(structures)
    logits = logits.to(dtype).requires_grad_()
    value = loss(logits, mask, valid if use_valid else None)
    value.backward()
    assert value.shape == ()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad != 0).any()


def test_autocast_does_not_lower_the_precision(loss):
    logits, mask, valid = case()
    expected = loss(logits, mask, valid)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(loss(logits, mask, valid), expected)


def test_gradient_agrees_with_finite_differences(loss):
    logits, mask, valid = case(structures=2)
    assert torch.autograd.gradcheck(lambda x: loss(x, mask, valid), logits.double().requires_grad_())


@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
def test_a_batch_is_the_mean_of_its_images(loss, use_valid):
    logits, mask, valid = case(structures=2)
    each = [loss(x[None], t[None], v[None] if use_valid else None) for x, t, v in zip(logits, mask, valid, strict=True)]
    torch.testing.assert_close(loss(logits, mask, valid if use_valid else None), torch.stack(each).mean())


def test_all_pixels_valid_is_as_none_given(loss):
    logits, mask, valid = case()
    torch.testing.assert_close(loss(logits, mask, torch.ones_like(valid)), loss(logits, mask))


def test_pixels_left_out_change_nothing(loss):
    logits, mask, valid = case()
    other = torch.where(valid == 1, logits, -50.0)
    torch.testing.assert_close(loss(other, mask, valid), loss(logits, mask, valid))


def test_no_valid_pixel_is_finite_and_pulls_nowhere(loss):
    logits, mask, valid = case()
    value = loss(logits.requires_grad_(), mask, torch.zeros_like(valid))
    value.backward()
    assert torch.isfinite(value)
    assert not logits.grad.any()


@pytest.mark.parametrize("foreground", [0, 1], ids=["empty", "full"])
def test_extreme_logits_and_masks_are_finite(loss, foreground):
    logits = torch.tensor([-1e4, 0.0, 1e4]).view(1, 1, 1, 3).requires_grad_()
    value = loss(logits, torch.full((1, 1, 1, 3), foreground, dtype=torch.uint8))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


def test_a_better_prediction_costs_less(loss):
    _, mask, _ = case()
    costs = [loss(scale * (2.0 * mask - 1), mask).item() for scale in (-2, 0, 2, 20)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == pytest.approx(0, abs=1e-3)


def test_a_mask_of_another_shape_is_refused(loss):
    logits, mask, _ = case()
    with pytest.raises(ValueError, match="shape"):
        loss(logits, mask[..., 1:])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_is_not_waited_for_and_gives_the_same(loss):
    logits, mask, valid = case(structures=2)
    moved, on_gpu = loss.cuda(), [x.cuda() for x in (logits, mask, valid)]
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        value = moved(*on_gpu)
    finally:
        torch.cuda.set_sync_debug_mode(before)
    torch.testing.assert_close(value.cpu(), loss.cpu()(logits, mask, valid))
