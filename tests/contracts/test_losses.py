"""What every loss under conf/loss keeps to, in each form of logits it takes; a new YAML file is found by itself."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from torch import nn

FILES = sorted((Path(__file__).resolve().parents[2] / "conf" / "loss").glob("*.yaml"))
CASES = [(file, form) for file in FILES for form in get_class(OmegaConf.load(file)["_target_"]).forms]


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def file(request) -> Path:
    return request.param


class Trial:
    """A loss, and random cases in one of the forms it takes."""

    def __init__(self, file: Path, form: str) -> None:
        config = OmegaConf.load(file)
        self.loss: nn.Module = instantiate(config, _convert_="all")
        self.form = form
        # a file may ask for the formula of published code, in which a false positive on an empty mask is no matter
        self.sees_empty_masks = config.get("empty", "penalise") == "penalise"

    def channels(self, structures: int) -> int:
        return structures + (self.form == "softmax")

    def case(self, structures: int = 1, batch: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits, mask and valid; without overlap for a softmax."""
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(batch, self.channels(structures), 9, 7, generator=generator)
        mask = (torch.rand(batch, structures, 9, 7, generator=generator) > 0.6).to(torch.uint8)
        if self.form == "softmax":
            mask *= mask.cumsum(dim=1) == 1
        valid = (torch.rand(batch, 1, 9, 7, generator=generator) > 0.2).to(torch.uint8)
        return logits, mask, valid

    def towards(self, mask: torch.Tensor) -> torch.Tensor:
        """Logits of 1 for what is true and of -1 for what is not."""
        truth = mask
        if self.form == "softmax":
            truth = torch.cat([1 - mask.sum(dim=1, keepdim=True, dtype=mask.dtype), mask], dim=1)
        return 2.0 * truth - 1


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].stem}-{case[1]}")
def trial(request) -> Trial:
    return Trial(*request.param)


def test_there_are_losses():
    assert FILES


def test_first_line_says_what_the_loss_is(file):
    assert file.read_text().startswith("# ")


def test_a_loss_says_which_logits_it_takes_and_whether_images_count_alone(file):
    loss = instantiate(OmegaConf.load(file), _convert_="all")
    assert loss.forms
    assert set(loss.forms) <= {"sigmoid", "softmax"}
    assert type(loss.per_image) is bool


def test_nothing_of_a_loss_is_in_the_checkpoint(trial):
    assert trial.loss.state_dict() == {}


@pytest.mark.parametrize("structures", [1, 5])
@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_loss_is_a_finite_float32_scalar_with_a_gradient(trial, structures, use_valid, dtype):
    logits, mask, valid = trial.case(structures)
    logits = logits.to(dtype).requires_grad_()
    value = trial.loss(logits, mask, valid if use_valid else None)
    value.backward()
    assert value.shape == ()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad != 0).any()


def test_autocast_does_not_lower_the_precision(trial):
    logits, mask, valid = trial.case()
    expected = trial.loss(logits, mask, valid)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(trial.loss(logits, mask, valid), expected)


def test_gradient_agrees_with_finite_differences(trial):
    logits, mask, valid = trial.case(structures=2)
    assert torch.autograd.gradcheck(lambda x: trial.loss(x, mask, valid), logits.double().requires_grad_())


@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
def test_a_batch_is_the_mean_of_its_images_where_the_loss_says_so(trial, use_valid):
    logits, mask, valid = trial.case(structures=2)
    cases = zip(logits, mask, valid, strict=True)
    each = [trial.loss(x[None], t[None], v[None] if use_valid else None) for x, t, v in cases]
    whole, mean = trial.loss(logits, mask, valid if use_valid else None), torch.stack(each).mean()
    assert torch.allclose(whole, mean, rtol=1e-5) is trial.loss.per_image


def test_all_pixels_valid_is_as_none_given(trial):
    logits, mask, valid = trial.case()
    torch.testing.assert_close(trial.loss(logits, mask, torch.ones_like(valid)), trial.loss(logits, mask))


@pytest.mark.parametrize("value", [-50.0, math.inf, -math.inf, math.nan])
def test_logits_left_out_change_nothing(trial, value):
    logits, mask, valid = trial.case(structures=2)
    other = torch.where(valid == 1, logits, value).requires_grad_()
    loss = trial.loss(other, mask, valid)
    loss.backward()
    torch.testing.assert_close(loss, trial.loss(logits, mask, valid))
    assert torch.isfinite(other.grad).all()
    assert not (other.grad * (valid == 0)).any()


def test_the_mask_left_out_changes_nothing(trial):
    logits, mask, valid = trial.case(structures=2)
    other = torch.where(valid == 1, mask, 1 - mask)
    torch.testing.assert_close(trial.loss(logits, other, valid), trial.loss(logits, mask, valid))


def test_no_valid_pixel_is_finite_and_pulls_nowhere(trial):
    logits, mask, valid = trial.case()
    value = trial.loss(logits.requires_grad_(), mask, torch.zeros_like(valid))
    value.backward()
    assert torch.isfinite(value)
    assert not logits.grad.any()


@pytest.mark.parametrize("foreground", [0, 1], ids=["empty", "full"])
def test_extreme_logits_and_masks_are_finite(trial, foreground):
    logits = torch.tensor([-1e4, 0.0, 1e4]).repeat(trial.channels(1), 1)[None, :, None]
    if trial.form == "softmax":
        logits[:, 0] *= -1
    logits.requires_grad_()
    value = trial.loss(logits, torch.full((1, 1, 1, 3), foreground, dtype=torch.uint8))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


def test_a_better_prediction_costs_less(trial):
    _, mask, _ = trial.case(structures=2)
    costs = [trial.loss(scale * trial.towards(mask), mask).item() for scale in (-2, 0, 0.5, 20)]
    assert costs == sorted(set(costs), reverse=True)
    assert costs[-1] == pytest.approx(0, abs=1e-3)


def test_a_false_positive_on_an_empty_mask_costs_and_is_pulled_back(trial):
    mask = torch.zeros(1, 1, 9, 7, dtype=torch.uint8)
    logits = 8 * trial.towards(mask)
    none = trial.loss(logits, mask)
    logits[..., 4, 3] *= -0.25  # the structure at one pixel
    value = trial.loss(logits.requires_grad_(), mask)
    value.backward()
    assert (value - none > 1e-3) == trial.sees_empty_masks
    assert (logits.grad[0, -1, 4, 3] > 1e-5) == trial.sees_empty_masks  # descent lowers the structure's logit


def test_a_mask_of_another_shape_is_refused(trial):
    logits, mask, _ = trial.case()
    with pytest.raises(ValueError, match="shape"):
        trial.loss(logits, mask[..., 1:])


def test_a_mask_of_other_values_is_refused(trial):
    logits, mask, _ = trial.case()
    with pytest.raises(ValueError, match="holds the value 255"):
        trial.loss(logits, 255 * mask)


def test_another_number_of_channels_is_refused_with_the_key_to_change(file):
    loss = instantiate(OmegaConf.load(file), _convert_="all")
    mask = torch.zeros(1, 2, 4, 4, dtype=torch.uint8)
    for channels, form in ((1, "few"), (2, "sigmoid"), (3, "softmax"), (4, "many")):
        if form not in loss.forms:
            with pytest.raises(ValueError, match=r"model\.num_classes"):
                loss(torch.zeros(1, channels, 4, 4), mask)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_is_not_waited_for_and_gives_the_same(trial):
    logits, mask, valid = trial.case(structures=2)
    moved, on_gpu = trial.loss.cuda(), [x.cuda() for x in (logits, mask, valid)]
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        value = moved(*on_gpu)
    finally:
        torch.cuda.set_sync_debug_mode(before)
    torch.testing.assert_close(value.cpu(), trial.loss.cpu()(logits, mask, valid))
