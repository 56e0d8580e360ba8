"""What processes that train together tell one another; alone, each function gives back what it was given."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as group

AGREE_EVERY = 8
"""Steps between two questions to all processes whether to stop or save: each makes a GPU's host wait."""


def processes() -> int:
    """Return how many processes train together; 1 before they have met."""
    return group.get_world_size() if group.is_available() and group.is_initialized() else 1


def is_first() -> bool:
    """Tell whether this is the process that writes; True where there is only one."""
    return processes() == 1 or group.get_rank() == 0


def wait_for_all() -> None:
    """Return when every process has come here."""
    if processes() > 1:
        group.barrier()


def any_says(flag: bool) -> bool:
    """Tell whether any process says yes; every process has to ask at the same step."""
    if processes() == 1:
        return flag
    said = torch.tensor(int(flag), device=_device())
    group.all_reduce(said, group.ReduceOp.MAX)
    return bool(said.item())


def gather(value: Any) -> list[Any]:
    """Return what every process gives, in the order of their ranks; every process has to call it.

    Args:
        value: anything that can be pickled; tensors are better joined by `join`.
    """
    if processes() == 1:
        return [value]
    found: list[Any] = [None] * processes()
    group.all_gather_object(found, value)
    return found


def join(rows: Tensor) -> Tensor:
    """Return the rows of all processes under one another, in the order of their ranks; every process has to call it.

    Args:
        rows: (n, ...) of any number n >= 0 of rows, which may differ from process to process.

    Returns:
        (N, ...) with the rows of all, on the device of `rows`.
    """
    if processes() == 1:
        return rows
    mine = rows.detach().to(_device()).contiguous()
    counts = torch.zeros(processes(), dtype=torch.int64, device=mine.device)
    counts[group.get_rank()] = len(mine)
    group.all_reduce(counts)
    longest = int(counts.max())
    # a collective wants the same shape of all: the shorter ones are filled up, and cut again
    padded = torch.zeros(longest, *mine.shape[1:], dtype=mine.dtype, device=mine.device)
    padded[: len(mine)] = mine
    found = [torch.empty_like(padded) for _ in range(processes())]
    group.all_gather(found, padded)
    whole = torch.cat([rows[:n] for rows, n in zip(found, counts.tolist(), strict=True)])
    return whole.to(rows.device)


def _device() -> torch.device:
    """Return where tensors have to be for the processes to exchange them."""
    if group.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
