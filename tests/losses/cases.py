"""Random cases that the tests of losses share, and probabilities by numpy alone."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Case = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def random_case(structures: int = 2, *, form: str = "sigmoid", size: tuple[int, int] = (5, 4), seed: int = 0) -> Case:
    """Logits (float64), mask and valid of three images; without overlap for a softmax."""
    generator = torch.Generator().manual_seed(seed)
    channels = structures + (form == "softmax")
    logits = 2 * torch.randn(3, channels, *size, generator=generator, dtype=torch.float64)
    if form == "softmax":
        classes = torch.randint(channels, (3, 1, *size), generator=generator)
        mask = (classes == torch.arange(1, channels).view(-1, 1, 1)).to(torch.uint8)
    else:
        mask = (torch.rand(3, structures, *size, generator=generator) > 0.6).to(torch.uint8)
    valid = (torch.rand(3, 1, *size, generator=generator) > 0.3).to(torch.uint8)
    return logits, mask, valid


def numpy_planes(logits: torch.Tensor, mask: torch.Tensor) -> tuple[NDArray, NDArray]:
    """Probabilities and one-hot truth (B, C, H, W) from exponentials, with the background first for a softmax."""
    x, t = logits.detach().double().numpy(), mask.double().numpy()
    if x.shape[1] == t.shape[1]:
        return 1 / (1 + np.exp(-x)), t
    e = np.exp(x)
    return e / e.sum(axis=1, keepdims=True), np.concatenate([1 - t.sum(axis=1, keepdims=True), t], axis=1)


def used(valid: torch.Tensor | None, mask: torch.Tensor) -> NDArray[np.bool_]:
    """(B, H, W): which pixels count."""
    shape = (mask.shape[0], *mask.shape[2:])
    return np.ones(shape, bool) if valid is None else valid.numpy()[:, 0] == 1


def class_case(kind: str, classes: int = 3, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (float64) and label of five images; one is not known, and of a multilabel some labels more."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(5, classes, generator=generator, dtype=torch.float64)
    if kind == "multiclass":
        return logits, torch.tensor([0, 2, -1, 1, 2]) % classes - 3 * torch.tensor([0, 0, 1, 0, 0])
    label = (torch.rand(5, classes, generator=generator) > 0.5).float()
    label[2] = torch.nan
    label[[0, 4], [1, 0]] = torch.nan
    return logits, label
