"""Weights of classes and labels, given or from the counts of the training part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from lungseg.losses.inputs import positive_weights

ClassWeights = Literal["none", "inverse"]
PosWeight = Literal["none", "neg_pos", "inverse", "sqrt"]
Counts = Sequence[Sequence[int]]


def class_weights(weights: ClassWeights | Sequence[float], counts: Counts | None) -> Tensor | None:
    """Return the weight of each class.

    Args:
        weights: none; inverse: N / (C n_c) with N training images, n_c of them of class c, so that all classes have
            the same part in the loss and the mean weight of a training image is 1; or one number for each class.
        counts: (C, 2) training images that are of each class and that are not.

    Returns:
        (C,) float32, or None for none.

    Raises:
        ValueError: an unknown word, a weight that is not positive, counts that are missing or hold no image of a class.

    Example:
        >>> class_weights("inverse", [[6, 2], [2, 6]])
        tensor([0.6667, 2.0000])
    """
    key = "loss.class_weights"
    if not isinstance(weights, str):
        return positive_weights(key, weights)
    if weights == "none":
        return None
    if weights != "inverse":
        raise ValueError(_unknown(key, weights, ("none", "inverse")))
    positive, negative = _columns(key, weights, counts)
    return ((positive + negative) / (len(positive) * positive)).float()


def pos_weights(weights: PosWeight | float | Sequence[float], counts: Counts | None) -> Tensor | None:
    """Return the weight of the presence of each label.

    With N training images of which a label is known and n that bear it, for L labels:

        neg_pos   (N - n) / n       presence and absence have the same part in the loss
        sqrt      ((N - n) / n)^0.5
        inverse   N / (L n)

    Args:
        weights: none, one of these, one number for all labels, or one for each.
        counts: (L, 2) training images that bear each label and that do not.

    Returns:
        (1,) or (L,) float32, or None for none.

    Raises:
        ValueError: an unknown word, a weight that is not positive, counts that are missing, or a label that all or none
            of the training images bear.

    Example:
        >>> pos_weights("neg_pos", [[2, 8], [5, 5]]), pos_weights("inverse", [[2, 8], [5, 5]])
        (tensor([4., 1.]), tensor([2.5000, 1.0000]))
    """
    key = "loss.pos_weight"
    if not isinstance(weights, str):
        return positive_weights(key, weights)
    if weights == "none":
        return None
    if weights not in ("neg_pos", "inverse", "sqrt"):
        raise ValueError(_unknown(key, weights, ("none", "neg_pos", "inverse", "sqrt")))
    positive, negative = _columns(key, weights, counts)
    if weights == "inverse":
        return ((positive + negative) / (len(positive) * positive)).float()
    if not bool((negative > 0).all()):
        always = [str(i) for i in range(len(negative)) if negative[i] == 0]
        msg = (
            f"{key}={weights}, but no training image lacks the label {', '.join(always)} (counted from 0), so its "
            "weight would be 0. Set numbers instead, or take it out of data.classes"
        )
        raise ValueError(msg)
    ratio = negative / positive
    return (ratio if weights == "neg_pos" else ratio.sqrt()).float()


def fit(key: str, weights: Tensor | None, logits: Tensor) -> Tensor | None:
    """Return weights (C,) in the dtype of the logits (B, C).

    Raises:
        ValueError: they are neither one nor C.
    """
    if weights is None:
        return None
    if weights.shape[0] not in (1, logits.shape[1]):
        msg = f"{key} has {weights.shape[0]} values for {logits.shape[1]} classes: give one for each"
        raise ValueError(msg)
    return weights.to(logits.dtype).expand(logits.shape[1])


def _columns(key: str, weights: str, counts: Counts | None) -> tuple[Tensor, Tensor]:
    """Return how many images are of each class, and how many are not, as float64."""
    if counts is None:
        msg = (
            f"{key}={weights} is calculated from the images of each class in the training part, which are not known "
            "here. Set numbers instead, one for each class"
        )
        raise ValueError(msg)
    table = torch.tensor([list(row) for row in counts], dtype=torch.float64)
    if table.ndim != 2 or table.shape[1] != 2:
        msg = f"loss.counts={counts} must hold two numbers for each class: images that are of it, and that are not"
        raise ValueError(msg)
    positive, negative = table.unbind(dim=1)
    if not bool((positive > 0).all()):
        never = [str(i) for i in range(len(positive)) if positive[i] == 0]
        msg = (
            f"{key}={weights}, but no training image is of the class {', '.join(never)} (counted from 0), so its "
            "weight would be infinite. Set numbers instead, or take it out of data.classes"
        )
        raise ValueError(msg)
    return positive, negative


def _unknown(key: str, word: str, choices: Sequence[str]) -> str:
    return f"{key}={word} is none of {', '.join(choices)}, and no number"
