"""Counts of the images seen so far in an epoch, and the means logged from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lungseg.metrics.overlap import OVERLAP, dice, iou


class RunningCounts:
    """Keeps the counts of every image of an epoch, and computes means and pooled values at its end.

    The counts themselves are kept (32 bytes per image and structure, on their device, in one buffer that grows by
    doubling) and not running sums: an update is one copy, and every value is a function of whole numbers, added up
    exactly (`math.fsum`). So it does not change in the last bit with the batch size, with the number of processes, or
    when an epoch is resumed in its middle.

    Logged values follow `lungseg.metrics.overlap`: dice, iou, accuracy, precision, recall = mean over the images where
    it is defined; dice_pooled, iou_pooled = of the summed counts. With several structures each value is the mean over
    the structures where it is defined, and `<value>/<structure>` holds each of them.

    Args:
        structures: the K names, in the order of the mask's channels.

    Raises:
        ValueError: no structure is named.

    Example:
        >>> running = RunningCounts(structures=["lungs"])
        >>> running.update(torch.tensor([[[2, 1, 1, 0]], [[0, 0, 0, 4]]]))  # Dice 4/6; both empty, left out
        >>> round(running.compute()["dice"], 4)
        0.6667
    """

    def __init__(self, *, structures: Sequence[str]) -> None:
        if not structures:
            msg = "structures is empty: name at least one, as in data.structures=[lungs]"
            raise ValueError(msg)
        self.structures = tuple(structures)
        self._buffer = torch.zeros(0, len(self.structures), 4, dtype=torch.int64)
        self._n = 0

    def __len__(self) -> int:
        """Number of images counted."""
        return self._n

    def update(self, counts: Tensor) -> None:
        """Add the counts of a batch, (B, K, 4) int64 on any device; the device is not waited for.

        Raises:
            ValueError: `counts` is not (B, K, 4) for the K structures.
        """
        if counts.ndim != 3 or counts.shape[1:] != self._buffer.shape[1:]:
            msg = (
                f"counts have shape {tuple(counts.shape)}, but {len(self.structures)} structures "
                f"({', '.join(self.structures)}) need (B, {len(self.structures)}, 4)"
            )
            raise ValueError(msg)
        end = self._n + counts.shape[0]
        if end > self._buffer.shape[0] or counts.device != self._buffer.device:
            self._grow(max(end, 2 * self._n, 256), counts.device)
        self._buffer[self._n : end] = counts
        self._n = end

    def merge(self, others: Iterable[RunningCounts]) -> None:
        """Add the images of other processes or parts of the same structures."""
        for other in others:
            self.update(other.counts)

    def reset(self) -> None:
        """Forget all images; the buffer is kept."""
        self._n = 0

    @property
    def counts(self) -> Tensor:
        """Counts of the images seen, (N, K, 4) int64 TP, FP, FN, TN, on the device they were given on."""
        return self._buffer[: self._n]

    def compute(self) -> dict[str, float]:
        """Return the values to log, by name; NaN where no image defines one. Waits for the device once."""
        counts: npt.NDArray[np.int64] = self.counts.cpu().numpy()
        pooled = counts.sum(axis=0)
        values = {
            **{name: _exact_means(measure(counts)) for name, measure in OVERLAP.items()},
            "dice_pooled": dice(pooled).tolist(),
            "iou_pooled": iou(pooled).tolist(),
        }
        logged = {name: _exact_mean(each) for name, each in values.items()}
        if len(self.structures) > 1:
            for name, each in values.items():
                logged |= {f"{name}/{s}": value for s, value in zip(self.structures, each, strict=True)}
        return logged

    def state_dict(self) -> dict[str, Tensor]:
        """Return the counts so far, as a plain tensor on the CPU that a resumed epoch goes on from."""
        return {"counts": self.counts.cpu().clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state_dict`; the buffer moves to the device of the next update.

        Raises:
            ValueError: the state is of another number of structures.
        """
        self.reset()
        self.update(state["counts"])

    def _grow(self, capacity: int, device: torch.device) -> None:
        # made outside inference mode, which validation runs in: such a tensor could not be written to after it
        with torch.inference_mode(False):
            buffer = torch.zeros(capacity, len(self.structures), 4, dtype=torch.int64, device=device)
        buffer[: self._n] = self.counts.to(device)
        self._buffer = buffer


def _exact_means(values: npt.NDArray[np.float64]) -> list[float]:
    """Mean of each column of (N, K), NaN left out."""
    return [_exact_mean(column) for column in values.T.tolist()]


def _exact_mean(values: Iterable[float]) -> float:
    """Mean without NaN, rounded once, so that the order of the values does not matter; NaN of nothing."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan
