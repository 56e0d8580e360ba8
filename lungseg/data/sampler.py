"""The order of training samples: a function of (seed, epoch), read from any position."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler


class EpochBatch(NamedTuple):
    """The samples of one process's batch.

    Attributes:
        epoch: counted from 0; seeds their augmentation.
        positions: (B,) int64, rows of the samples table.
        repeats: (B,) how often each was drawn before in this epoch, which seeds it too; None = never.
        share: what the mean loss of these samples counts for when the processes take the mean of theirs, so that every
            sample of the step counts the same: processes x B / samples of the step. 0 = the sample only keeps the
            process in step with the others and counts nowhere.
    """

    epoch: int
    positions: NDArray[np.int64]
    repeats: NDArray[np.int64] | None = None
    share: float = 1.0


class EpochSampler(Sampler[EpochBatch]):
    """Yields the batches of an epoch, from any batch on.

    The order of epoch e is a permutation drawn from (seed, e); nothing is remembered between epochs, so a run that
    resumes at batch b of epoch e sees just the samples that the interrupted run had not seen. No Python list of
    indices is kept (a million rows cost 8 MB).

    Args:
        positions: (N,) int64, table positions to draw from.
        batch_size: samples per batch on one process.
        seed: the run's seed.
        shuffle: False gives table order in every epoch.
        batches_done: returns how many batches the run has trained on so far; the epoch and the first batch follow.
        limit: the trainer's `limit_train_batches`: at most this many batches an epoch (int) or this share (float).
        repeat: every epoch has the batches of the first one (the trainer's `overfit_batches`).
        rank: this process.
        world_size: processes; batch i of the global order is cut into `world_size` neighbouring pieces whose sizes
            differ by one at most. When a training batch has fewer samples than there are processes, those without
            one get the first sample with a share of 0; without `shuffle` they get no batch.
        weights: (N,) float64 >= 0 beside `positions`; an epoch then draws N samples with replacement, each with a
            probability in proportion to its weight. None draws each sample once. Without `shuffle` they play no part.

    Raises:
        ValueError: the weights are not N numbers >= 0 with a sum above 0.
    """

    def __init__(
        self,
        positions: NDArray[np.int64],
        *,
        batch_size: int,
        seed: int,
        shuffle: bool,
        batches_done: Callable[[], int] = lambda: 0,
        limit: int | float = 1.0,
        repeat: bool = False,
        rank: int = 0,
        world_size: int = 1,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        if weights is not None and (
            weights.shape != positions.shape or not (weights >= 0).all() or not 0 < weights.sum() < np.inf
        ):
            msg = f"weights of {len(positions)} samples must be as many numbers of 0 or more, with a sum above 0"
            raise ValueError(msg)
        self.positions = positions
        self.weights = weights
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.batches_done = batches_done
        self.repeat = repeat
        self.rank = rank
        self.world_size = world_size
        self.batches = -(-len(positions) // (batch_size * world_size))
        wanted = limit if isinstance(limit, int) else max(1, int(self.batches * limit))
        self.epoch_batches = min(self.batches, wanted)

    def __len__(self) -> int:
        """Return the number of this process's batches in an epoch; the trainer applies its own limit to it."""
        wide = self.batch_size * self.world_size
        rest = len(self.positions) - (self.batches - 1) * wide
        none_left = not self.shuffle and self.batches > 0 and rest <= self.rank
        return self.batches - none_left

    def __iter__(self) -> Iterator[EpochBatch]:
        """Yield the rest of the epoch that the run stands in."""
        epoch, start = divmod(self.batches_done(), max(1, self.epoch_batches)) if self.shuffle else (0, 0)
        order, repeats = self.positions, None
        if self.shuffle:
            key = np.array(
                [self.seed & 0xFFFFFFFFFFFFFFFF, 0x6F72646572], np.uint64
            )  # "order", apart from augmentation
            counter = np.array([0, 0, 0, 0 if self.repeat else epoch], np.uint64)
            draw = np.random.Generator(np.random.Philox(key=key, counter=counter))
            if self.weights is None:
                order = draw.permutation(self.positions)
            else:
                chances = self.weights / self.weights.sum()
                order = draw.choice(self.positions, size=len(self.positions), replace=True, p=chances)
                repeats = drawn_before(order)
        wide = self.batch_size * self.world_size
        for batch in range(start, self.epoch_batches):
            step = slice(batch * wide, (batch + 1) * wide)
            pieces = np.array_split(order[step], self.world_size)
            mine = pieces[self.rank]
            if len(mine):
                again = None if repeats is None else np.array_split(repeats[step], self.world_size)[self.rank]
                yield EpochBatch(epoch, mine, again, self.world_size * len(mine) / sum(map(len, pieces)))
            elif self.shuffle:
                yield EpochBatch(epoch, pieces[0][:1], None, 0.0)


def drawn_before(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count how often each entry stands further in front.

    Example:
        >>> drawn_before(np.array([7, 3, 7, 7, 3])).tolist()
        [0, 0, 1, 2, 1]
    """
    by_value = np.argsort(order, kind="stable")
    places = np.arange(len(order))
    begins = np.concatenate(([True], np.diff(order[by_value]) != 0))[: len(order)]
    found = np.empty(len(order), np.int64)
    found[by_value] = places - np.maximum.accumulate(np.where(begins, places, 0))
    return found
