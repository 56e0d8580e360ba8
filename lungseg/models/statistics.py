"""Whether the running statistics of batch norm can follow a short training."""

from __future__ import annotations

from torch import nn

SETTLED = 5.0
"""Steps times momentum from which the statistics are taken for settled: e^-5 = 0.7 % of the first values are left."""

USUAL = 0.1
"""Momentum of torch's batch norm."""


def slow_statistics(model: nn.Module, steps: int) -> str | None:
    """Say that a training is too short for the running statistics that validation and prediction use.

    With momentum m, in torch's terms, (1 - m)^steps of the values before the first step is left in them.

    Args:
        model: with or without batch norm.
        steps: optimiser steps planned.

    Returns:
        A sentence for the log with what to set, or None where they will have settled.

    Example:
        >>> slow_statistics(nn.BatchNorm2d(1, momentum=0.1), 100) is None
        True
    """
    momenta = [
        module.momentum
        for module in model.modules()
        if isinstance(module, nn.BatchNorm2d) and module.track_running_stats and module.momentum is not None
    ]
    if not momenta or min(momenta) <= 0 or steps * min(momenta) >= SETTLED:
        return None
    ways = "train longer, or take smaller batches"
    if min(momenta) < USUAL:
        ways = f"set model.bn_momentum={USUAL:g} where the model has that key, {ways}"
    return (
        f"batch norm of momentum {min(momenta):g} takes some {round(SETTLED / min(momenta)):,} steps until its running "
        f"statistics fit, and this training has {steps:,}: validation and predictions will lag behind. "
        f"{ways[0].upper()}{ways[1:]}"
    )
