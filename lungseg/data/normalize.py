"""Grey values in [0, 1] to what the network sees; the last thing done to a batch."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from lungseg.errors import ConfigError


class Normalize:
    """x -> (x - mean) / std with x in [0, 1].

    With mean = 0 and std = 1 (the default, and what paper `resunet` is read to have done) the network sees [0, 1].
    `train` takes mean and standard deviation over all pixels of the training part, computed from the store; the two
    numbers then travel in the checkpoint.

    Args:
        mean: a number on the [0, 1] scale, or `train`.
        std: a number > 0 on the [0, 1] scale, or `train`.
    """

    def __init__(self, *, mean: float | Literal["train"] = 0.0, std: float | Literal["train"] = 1.0) -> None:
        given: dict[str, Any] = {"mean": mean, "std": std}
        for key, value in given.items():
            if value != "train" and (isinstance(value, str) or not math.isfinite(value)):
                msg = f"preprocess.normalize.{key}={value} must be a number on the [0, 1] scale, or train"
                raise ConfigError(msg)
        if std != "train" and not float(std) > 0:
            msg = f"preprocess.normalize.std={std} must be over 0"
            raise ConfigError(msg)
        self.mean = mean
        self.std = std

    @property
    def is_fitted(self) -> bool:
        """Whether both constants are numbers."""
        return self.mean != "train" and self.std != "train"

    def fit(self, mean: float, std: float) -> None:
        """Put the training part's own constants where `train` stands."""
        self.mean = float(mean) if self.mean == "train" else self.mean
        self.std = max(float(std), 1e-6) if self.std == "train" else self.std

    def __call__(self, image: Tensor) -> Tensor:
        """Turn integers of the store into network input.

        Args:
            image: (B, C, H, W) uint8 or uint16 over its full range, or float32 in [0, 1].

        Returns:
            (B, C, H, W) float32.

        Raises:
            ConfigError: a constant is still `train`.
        """
        if self.mean == "train" or self.std == "train":
            msg = "preprocess.normalize asks for the training part's constants, but they were never computed"
            raise ConfigError(msg)
        full = {torch.uint8: 255.0, torch.uint16: 65535.0}.get(image.dtype, 1.0)
        scaled = image.to(torch.float32, copy=True)
        return scaled.mul_(1.0 / (full * float(self.std))).sub_(float(self.mean) / float(self.std))
