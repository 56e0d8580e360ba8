"""What one pass through a network costs."""

from __future__ import annotations

import copy
import logging

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

log = logging.getLogger(__name__)


def count_macs(model: nn.Module, size: tuple[int, int]) -> int | None:
    """Count the multiply-accumulates of one forward pass over one image.

    Convolutions, transposed convolutions and matrix products are counted, as torch counts them; normalisation,
    activations and resampling are not. Nothing is computed: a copy of the network without numbers is run.

    Args:
        model: takes (1, C, H, W), C its `in_channels` (1 where it has none).
        size: (height, width) in pixels.

    Returns:
        The count (one multiply-accumulate = two floating-point operations), or None for a network that cannot run
        without numbers.

    Example:
        >>> count_macs(nn.Conv2d(1, 8, 3, padding=1, bias=False), (10, 10))  # 100 pixels x 8 x 9
        7200
    """
    hollow = copy.deepcopy(model).to("meta").eval()
    image = torch.empty(1, getattr(model, "in_channels", 1), *size, device="meta")
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            hollow(image)
    except (NotImplementedError, RuntimeError) as error:
        log.info("the cost of %s cannot be counted (%s)", type(model).__name__, error)
        return None
    return int(counter.get_total_flops()) // 2
