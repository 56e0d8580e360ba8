"""Probabilities of logits, and the names of what is predicted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lungseg.metrics.probabilities import predicted, probabilities

LOGITS = np.array([[2.0, -1.0, 0.5], [-30.0, 0.0, 4.0], [800.0, -800.0, 0.0]], np.float32)


@pytest.mark.parametrize(
    ("kind", "reference"),
    [("multiclass", lambda x: torch.softmax(x, dim=1)), ("multilabel", torch.sigmoid)],
    ids=["softmax", "sigmoid"],
)
def test_they_are_torchs_in_float64(kind, reference):
    wanted = reference(torch.from_numpy(LOGITS).double()).numpy()
    assert probabilities(LOGITS, kind) == pytest.approx(wanted, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_no_image_has_none(kind):
    assert probabilities(np.zeros((0, 3)), kind).shape == (0, 3)
    assert predicted(np.zeros((0, 3)), kind, ["a", "b", "c"]) == []


def test_the_most_probable_class_is_predicted_and_of_equal_ones_the_first():
    assert predicted([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]], "multiclass", ["a", "b", "c"]) == ["b", "a"]


def test_labels_are_predicted_from_their_thresholds_on():
    chances = [[0.5, 0.5, 0.1], [0.49, 0.7, 0.2], [0.0, 0.0, 0.0]]
    assert predicted(chances, "multilabel", ["a", "b", "c"], {"b": 0.7, "c": 0.1}) == ["a|c", "b|c", ""]
