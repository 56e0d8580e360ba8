"""What every loss refuses, how logits become probabilities, and how images are averaged."""

from __future__ import annotations

import math

import pytest
import torch

from lungseg.losses.inputs import (
    check_choice,
    check_inputs,
    check_term_weights,
    mean_over_images,
    mean_over_pixels,
    positive_weights,
    probabilities,
    with_background,
)


def zeros(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("logits", "mask", "valid", "message"),
    [
        pytest.param((1, 1, 4, 4), zeros(1, 2, 4, 4), None, "model.num_classes to 2", id="too-few-channels"),
        pytest.param((1, 4, 4, 4), zeros(1, 2, 4, 4), None, "task.activation=softmax", id="too-many-channels"),
        pytest.param((1, 1, 4, 4), zeros(1, 1, 4, 5), None, r"\(1, 1, 4, 5\)", id="size"),
        pytest.param((2, 1, 4, 4), zeros(1, 1, 4, 4), None, r"\(2, 1, 4, 4\)", id="batch"),
        pytest.param((4, 4), zeros(4, 4), None, r"\(B, K, H, W\)", id="dimensions"),
        pytest.param((1, 1, 4, 4), zeros(1, 1, 4, 4).float(), None, "float32.*bool or uint8", id="mask-dtype"),
        pytest.param((1, 1, 4, 4), zeros(1, 1, 4, 4) + 255, None, "holds the value 255.*mask > 127", id="mask-values"),
        pytest.param((2, 3, 4, 4), zeros(2, 3, 4, 4), zeros(2, 3, 4, 4), r"need \(2, 1, 4, 4\)", id="valid"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(logits, mask, valid, message):
    with pytest.raises(ValueError, match=message):
        check_inputs(torch.zeros(logits), mask, valid)


@pytest.mark.parametrize(
    ("channels", "forms", "message"),
    [
        (3, ("sigmoid",), "takes 2 channels.*there are 3.*task.activation=sigmoid .model.num_classes=2.*loss="),
        (2, ("softmax",), "takes 3 channels.*there are 2.*task.activation=softmax .model.num_classes=3.*loss="),
    ],
    ids=["softmax-for-sigmoids", "sigmoids-for-softmax"],
)
def test_a_form_that_the_loss_does_not_take_is_refused_with_the_key_to_change(channels, forms, message):
    with pytest.raises(ValueError, match=message):
        check_inputs(torch.zeros(1, channels, 4, 4), zeros(1, 2, 4, 4), None, forms=forms)


def test_structures_that_overlap_are_refused_under_a_softmax_only():
    mask = zeros(1, 2, 1, 3)
    mask[0, :, 0, 1] = 1
    check_inputs(torch.zeros(1, 2, 1, 3), mask, None)
    with pytest.raises(ValueError, match=r"overlap at 1 pixels.*task\.activation=sigmoid"):
        check_inputs(torch.zeros(1, 3, 1, 3), mask, None)


def test_an_overlap_that_is_left_out_is_none():
    mask, valid = zeros(1, 2, 1, 3), zeros(1, 1, 1, 3) + 1
    mask[0, :, 0, 1] = 1
    valid[0, 0, 0, 1] = 0
    _, truth = probabilities(*check_inputs(torch.zeros(1, 3, 1, 3), mask, valid))
    assert truth[0, :, 0].tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("given", "used"),
    [(torch.bfloat16, torch.float32), (torch.float16, torch.float32), (torch.float64, torch.float64)],
)
def test_losses_are_computed_in_float32_or_better(given, used):
    mask = zeros(1, 1, 2, 2)
    assert [t.dtype for t in check_inputs(torch.zeros(1, 1, 2, 2, dtype=given), mask, mask)] == [used] * 3


def test_the_background_is_what_no_structure_holds():
    mask = torch.tensor([[[[1.0, 0, 0]], [[0, 1, 0]]]])
    assert with_background(mask).tolist() == [[[[0, 0, 1]], [[1, 0, 0]], [[0, 1, 0]]]]


def test_one_channel_more_than_structures_is_a_softmax():
    # logits 0 and ln 3: 1/4 and 3/4; one sigmoid of ln 3 is 3/4 too
    logits = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1)
    mask = torch.ones(1, 1, 1, 1)
    assert probabilities(logits, mask, None)[0].flatten().tolist() == pytest.approx([0.25, 0.75])
    assert probabilities(logits[:, 1:], mask, None)[0].item() == pytest.approx(0.75)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_probability_and_truth_are_zero_where_left_out_whatever_the_logits(channels, value):
    logits = torch.full((1, channels, 1, 2), value)
    logits[..., 0] = 0
    logits.requires_grad_()
    mask = torch.ones(1, 1, 1, 2)
    probability, truth = probabilities(logits, mask, torch.tensor([[[[1.0, 0.0]]]]))
    probability.square().sum().backward()
    assert probability[..., 1].tolist() == truth[..., 1].tolist() == [[[0.0]] * channels]
    assert logits.grad[..., 1].tolist() == [[[0.0]] * channels]
    assert probability[0, 0, 0, 0] == 0.5


def test_images_without_a_valid_pixel_do_not_count():
    valid = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)
    # (3) / 1, not (3 + 0) / 2
    assert mean_over_images(torch.tensor([3.0, 0.0]), valid) == 3.0


def test_no_valid_pixel_at_all_gives_zero_and_not_nan():
    assert mean_over_images(torch.tensor([0.0, 0.0]), torch.zeros(2, 1, 1, 1)) == 0.0


def test_pixels_are_averaged_within_images_first():
    pixels = torch.tensor([[2.0, 4.0], [6.0, 8.0]]).view(2, 1, 1, 2)
    valid = torch.tensor([[1.0, 0.0], [1.0, 1.0]]).view(2, 1, 1, 2)
    # (2 / 1 + (6 + 8) / 2) / 2
    assert mean_over_pixels(pixels, valid) == 4.5
    assert mean_over_pixels(pixels, None) == 5.0


@pytest.mark.parametrize("weights", [0.0, -1.0, math.nan, math.inf, [], [1.0, 0.0]], ids=str)
def test_weights_that_are_not_positive_are_refused(weights):
    with pytest.raises(ValueError, match="class_weights="):
        positive_weights("class_weights", weights)


def test_a_choice_that_is_none_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="empty=maybe is none of penalise, ignore"):
        check_choice("empty", "maybe", ("penalise", "ignore"))


@pytest.mark.parametrize(("first", "second"), [(-1, 1), (0, 0)], ids=["negative", "all-0"])
def test_weights_of_terms_that_leave_nothing_are_refused(first, second):
    with pytest.raises(ValueError, match=f"a={first} and b={second} must be >= 0, and not both 0"):
        check_term_weights(a=first, b=second)
