"""Weights from counts: by hand, what they do to the parts of the classes, and what is refused."""

from __future__ import annotations

import pytest
import torch

from lungseg.losses.class_weights import class_weights, fit, pos_weights

THREE = [[60, 40], [30, 70], [10, 90]]
"""100 images of three classes that exclude one another."""


def test_none_is_none():
    assert class_weights("none", None) is None
    assert pos_weights("none", None) is None


def test_inverse_gives_all_classes_the_same_part_and_images_the_mean_weight_1():
    weights = class_weights("inverse", THREE)
    torch.testing.assert_close(weights, torch.tensor([100 / 180, 100 / 90, 100 / 30]))
    parts = weights * torch.tensor([60.0, 30.0, 10.0])
    torch.testing.assert_close(parts, torch.full((3,), 100 / 3))
    assert parts.sum().item() / 100 == pytest.approx(1)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("neg_pos", [8 / 2, 5 / 5, 1 / 3]),
        ("sqrt", [2, 1, (1 / 3) ** 0.5]),
        ("inverse", [10 / (3 * 2), 10 / (3 * 5), 4 / (3 * 3)]),  # N differs where labels are not known
    ],
)
def test_weights_of_labels_are_those_of_their_counts(kind, expected):
    torch.testing.assert_close(pos_weights(kind, [[2, 8], [5, 5], [3, 1]]), torch.tensor(expected))


def test_neg_pos_gives_presence_and_absence_the_same_part():
    counts = torch.tensor([[2.0, 8.0], [5.0, 5.0]])
    torch.testing.assert_close(pos_weights("neg_pos", counts.tolist()) * counts[:, 0], counts[:, 1])


def test_given_numbers_are_taken_as_they_are_whatever_the_counts():
    assert class_weights([1, 2.5, 3], THREE).tolist() == [1, 2.5, 3]
    assert pos_weights(2, THREE).tolist() == [2]


def test_one_number_is_spread_over_all_classes():
    assert fit("loss.pos_weight", torch.tensor([2.0]), torch.zeros(1, 3, dtype=torch.float64)).tolist() == [2, 2, 2]
    assert fit("loss.pos_weight", None, torch.zeros(1, 3)) is None


def test_another_number_of_weights_than_classes_is_refused():
    with pytest.raises(ValueError, match=r"loss\.class_weights has 2 values for 3 classes: give one for each"):
        fit("loss.class_weights", torch.ones(2), torch.zeros(1, 3))


@pytest.mark.parametrize(
    ("of", "weights", "counts", "message"),
    [
        pytest.param(class_weights, "inverse", None, r"class_weights=inverse is calculated", id="c"),
        pytest.param(pos_weights, "sqrt", None, r"pos_weight=sqrt is calculated from .* Set numbers", id="no-counts"),
        pytest.param(class_weights, "inverse", [[1, 1], [0, 2]], r"no training image is of the class 1 ", id="none"),
        pytest.param(pos_weights, "neg_pos", [[0, 2]], r"no training image is of the class 0 ", id="never"),
        pytest.param(pos_weights, "neg_pos", [[1, 1], [2, 0]], r"no training image lacks the label 1 ", id="always"),
        pytest.param(pos_weights, "inverse", [[1, 2, 3]], r"must hold two numbers for each class", id="three-columns"),
        pytest.param(class_weights, "sqrt", THREE, r"class_weights=sqrt is none of none, inverse, and", id="word"),
        pytest.param(pos_weights, "neg", THREE, r"pos_weight=neg is none of none, neg_pos, inverse", id="word-pos"),
        pytest.param(class_weights, [1, 0], THREE, r"class_weights=\[1, 0\] must be positive", id="zero"),
        pytest.param(pos_weights, -1, THREE, r"pos_weight=-1 must be positive", id="negative"),
    ],
)
def test_what_gives_no_weights_is_refused(of, weights, counts, message):
    with pytest.raises(ValueError, match=message):
        of(weights, counts)
