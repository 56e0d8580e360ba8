"""What every loss under conf/loss keeps to, in each form of logits it takes; a new YAML file is found by itself.

Losses that say `kinds` are of classes and come last; the others are of structures.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from torch import nn

ALL = sorted((Path(__file__).resolve().parents[2] / "conf" / "loss").glob("*.yaml"))
KINDS = {file: getattr(get_class(OmegaConf.load(file)["_target_"]), "kinds", ()) for file in ALL}
FILES = [file for file in ALL if not KINDS[file]]
CASES = [(file, form) for file in FILES for form in get_class(OmegaConf.load(file)["_target_"]).forms]
OF_CLASSES = [(file, kind) for file in ALL for kind in KINDS[file]]


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


class TrialOfClasses:
    """A loss of classes, and random cases of one kind that it takes."""

    def __init__(self, file: Path, kind: str) -> None:
        self.loss: nn.Module = instantiate(OmegaConf.load(file), _convert_="all")
        self.kind = kind

    def case(self, classes: int = 3, batch: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and label; the last image is not known, and of a multilabel one label more."""
        generator = torch.Generator().manual_seed(0)
        logits = 2 * torch.randn(batch, classes, generator=generator)
        if self.kind == "multiclass":
            label = torch.randint(classes, (batch,), generator=generator)
            label[-1] = -1
        else:
            label = (torch.rand(batch, classes, generator=generator) > 0.5).float()
            label[-1] = math.nan
            label[0, 0] = math.nan
        return logits, label

    def known(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Which logits count, (B, C)."""
        return (label >= 0)[:, None].expand_as(logits) if self.kind == "multiclass" else ~label.isnan()

    def towards(self, label: torch.Tensor, classes: int) -> torch.Tensor:
        """Logits of 1 for what is true, of -1 for what is not, 0 for what is not known."""
        if self.kind == "multilabel":
            return (2 * label - 1).nan_to_num()
        return (2.0 * nn.functional.one_hot(label.clamp(min=0), classes) - 1) * (label >= 0)[:, None]


@pytest.fixture(params=OF_CLASSES, ids=lambda case: f"{case[0].stem}-{case[1]}")
def classed(request) -> TrialOfClasses:
    return TrialOfClasses(*request.param)


class TestLossesOfClasses:
    def test_there_are_some_of_each_kind(self):
        assert {kind for _, kind in OF_CLASSES} == {"multiclass", "multilabel"}

    @pytest.mark.parametrize("file", [file for file in ALL if KINDS[file]], ids=lambda file: file.stem)
    def test_first_line_says_what_the_loss_is(self, file):
        assert file.read_text().startswith("# ")

    def test_images_count_alone_and_nothing_of_it_is_in_the_checkpoint(self, classed):
        assert classed.loss.per_image is True
        assert classed.loss.state_dict() == {}

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
    def test_loss_is_a_finite_float32_scalar_with_a_gradient(self, classed, dtype):
        logits, label = classed.case()
        logits = logits.to(dtype).requires_grad_()
        value = classed.loss(logits, label)
        value.backward()
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert torch.isfinite(value)
        assert torch.isfinite(logits.grad).all()
        assert (logits.grad != 0).any()

    def test_autocast_does_not_lower_the_precision(self, classed):
        expected = classed.loss(*classed.case())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(classed.loss(*classed.case()), expected)

    def test_gradient_agrees_with_finite_differences(self, classed):
        logits, label = classed.case()
        assert torch.autograd.gradcheck(lambda x: classed.loss(x, label), logits.double().requires_grad_())

    def test_a_batch_is_the_mean_of_its_images_that_are_known(self, classed):
        logits, label = classed.case()
        each = [classed.loss(x[None], t[None]) for x, t in zip(logits[:-1], label[:-1], strict=True)]
        torch.testing.assert_close(classed.loss(logits, label), torch.stack(each).mean())

    @pytest.mark.parametrize("value", [-50.0, math.inf, -math.inf, math.nan])
    def test_logits_of_what_is_not_known_change_nothing(self, classed, value):
        logits, label = classed.case()
        known = classed.known(logits, label)
        other = torch.where(known, logits, value).requires_grad_()
        loss = classed.loss(other, label)
        loss.backward()
        torch.testing.assert_close(loss, classed.loss(logits, label))
        assert torch.isfinite(other.grad).all()
        assert not (other.grad * ~known).any()

    def test_nothing_known_is_0_and_pulls_nowhere(self, classed):
        logits, label = classed.case()
        label = label[-1:].expand(len(label), *label.shape[1:])
        value = classed.loss(logits.requires_grad_(), label)
        value.backward()
        assert value.item() == 0
        assert not logits.grad.any()

    @pytest.mark.parametrize("scale", [-1e4, 1e4])
    def test_extreme_logits_are_finite(self, classed, scale):
        logits, label = classed.case()
        logits = (scale * classed.towards(label, 3)).requires_grad_()
        value = classed.loss(logits, label)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(logits.grad).all()

    def test_a_better_prediction_costs_less(self, classed):
        _, label = classed.case()
        costs = [classed.loss(scale * classed.towards(label, 3), label).item() for scale in (-2, 0, 0.5, 20)]
        assert costs == sorted(set(costs), reverse=True)
        assert costs[-1] == pytest.approx(0, abs=1e-3)

    def test_labels_of_the_other_kind_are_refused_with_the_losses_to_choose(self, classed):
        logits, _ = classed.case()
        if classed.kind == "multiclass":
            wrong, message = torch.zeros(4, 3), r"task=multilabel, such as loss=bce_multilabel"
        else:
            wrong, message = torch.zeros(4, dtype=torch.int64), r"task=multiclass, such as loss=cross_entropy"
        with pytest.raises(ValueError, match=message):
            classed.loss(logits, wrong)

    def test_a_label_that_is_none_is_refused(self, classed):
        logits, label = classed.case()
        label[0] = 3
        with pytest.raises(ValueError, match=r"label holds the (class 3, but there are 3 logits|value 3, but)"):
            classed.loss(logits, label)

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    def test_the_gpu_is_not_waited_for_and_gives_the_same(self, classed):
        logits, label = classed.case()
        moved, on_gpu = classed.loss.cuda(), [x.cuda() for x in (logits, label)]
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            value = moved(*on_gpu)
        finally:
            torch.cuda.set_sync_debug_mode(before)
        torch.testing.assert_close(value.cpu(), classed.loss.cpu()(logits, label))
