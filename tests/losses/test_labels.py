"""Labels: what is not known is left out, means are over images, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from lungseg.losses.labels import check_class, check_labels, mean_over_images


def test_a_class_that_is_not_known_becomes_0_and_its_logits_too():
    logits, label, known = check_class(torch.tensor([[1.0, 2.0], [math.inf, math.nan]]), torch.tensor([1, -1]))
    assert logits.tolist() == [[1, 2], [0, 0]]
    assert label.tolist() == [1, 0]
    assert known.tolist() == [1, 0]


def test_a_label_that_is_not_known_becomes_0_and_its_logit_too():
    logits, label, known = check_labels(torch.tensor([[1.0, math.inf]]), torch.tensor([[1.0, math.nan]]))
    assert (logits.tolist(), label.tolist(), known.tolist()) == ([[1, 0]], [[1, 0]], [[1, 0]])


@pytest.mark.parametrize(
    ("dtype", "expected"), [(torch.float16, torch.float32), (torch.float32, torch.float32), (torch.float64,) * 2]
)
def test_all_is_computed_in_float32_or_in_the_logits_own_float64(dtype, expected):
    found = check_labels(torch.zeros(1, 2, dtype=dtype), torch.zeros(1, 2))
    assert [x.dtype for x in found] == [expected] * 3
    logits, _, known = check_class(torch.zeros(1, 2, dtype=dtype), torch.zeros(1, dtype=torch.int64))
    assert (logits.dtype, known.dtype) == (expected, expected)


def test_each_image_counts_once_however_many_of_its_labels_are_known():
    # means of the images: (2 + 4) / 2 = 3 and 7; none of the third; (3 + 7) / 2 = 5
    values = torch.tensor([[2.0, 4.0], [7.0, 100.0], [100.0, 100.0]])
    known = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    assert mean_over_images(values, known).item() == 5
    assert mean_over_images(values[:, 0], known[:, 0]).item() == 4.5


@pytest.mark.parametrize("label", [torch.zeros(2), torch.zeros(3, dtype=torch.int64), torch.zeros(2, 3)], ids=str)
def test_classes_of_another_shape_or_of_floats_are_refused(label):
    with pytest.raises(ValueError, match=r"takes \(B, C\) and \(B,\) of whole numbers"):
        check_class(torch.zeros(2, 3), label)


@pytest.mark.parametrize("label", [torch.zeros(2, 3).long(), torch.zeros(2, 2), torch.zeros(2)], ids=str)
def test_labels_of_another_shape_or_of_whole_numbers_are_refused(label):
    with pytest.raises(ValueError, match=r"takes \(B, L\) for both, of floats"):
        check_labels(torch.zeros(2, 3), label)
