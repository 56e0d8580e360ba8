"""What every loss refuses, and how images are averaged."""

from __future__ import annotations

import pytest
import torch

from lungseg.losses.inputs import check_inputs, mean_over_images


def zeros(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("logits", "mask", "valid", "message"),
    [
        pytest.param((1, 1, 4, 4), zeros(1, 2, 4, 4), None, "model.num_classes", id="structures"),
        pytest.param((1, 1, 4, 4), zeros(1, 1, 4, 5), None, r"\(1, 1, 4, 5\)", id="size"),
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
    ("given", "used"),
    [(torch.bfloat16, torch.float32), (torch.float16, torch.float32), (torch.float64, torch.float64)],
)
def test_losses_are_computed_in_float32_or_better(given, used):
    mask = zeros(1, 1, 2, 2)
    assert [t.dtype for t in check_inputs(torch.zeros(1, 1, 2, 2, dtype=given), mask, mask)] == [used] * 3


def test_images_without_a_valid_pixel_do_not_count():
    valid = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)
    # (3) / 1, not (3 + 0) / 2
    assert mean_over_images(torch.tensor([3.0, 0.0]), valid) == 3.0


def test_no_valid_pixel_at_all_gives_zero_and_not_nan():
    assert mean_over_images(torch.tensor([0.0, 0.0]), torch.zeros(2, 1, 1, 1)) == 0.0
