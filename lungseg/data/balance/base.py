"""What all ways of balancing share: they touch the training part only, and log what it held before and after."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from lungseg.data.labels import count_names
from lungseg.data.table import SamplesTable

log = logging.getLogger(__name__)


class Balance:
    """A way of balancing the training part. This one leaves it as it is; the others override one of the two."""

    def apply(self, table: SamplesTable, parts: NDArray[np.str_], seed: int) -> NDArray[np.str_]:
        """Put training samples in the part `unused`.

        Args:
            table: All samples.
            parts: (N,) the part of each. What is not `train` comes back as it was.
            seed: Seed of the draw; 0 is a seed as any other.

        Returns:
            (N,) a new array, or `parts` itself where nothing changes.
        """
        del table, seed
        return parts

    def weights(self, table: SamplesTable, parts: NDArray[np.str_]) -> NDArray[np.float64] | None:
        """By what chances training samples are drawn.

        Args:
            table: All samples.
            parts: (N,) the part of each, after `apply`.

        Returns:
            (N,) weights for drawing with replacement, of mean 1 over the training part and 0 elsewhere; None = every
            training sample once an epoch.
        """
        del table, parts
        return None


def leave_out(table: SamplesTable, parts: NDArray[np.str_], positions: Iterable[int], why: str) -> NDArray[np.str_]:
    """Put training samples in the part `unused`, and log the training part before and after.

    Args:
        table: All samples.
        parts: (N,) the part of each.
        positions: Rows to leave out.
        why: What is done, for the log.
    """
    found = parts.astype("<U6")
    found[list(positions)] = "unused"
    before, after = (_told(table, np.flatnonzero(of == "train")) for of in (parts, found))
    log.info("balance, %s: training part before: %s; after: %s", why, before, after)
    return found


def labels_at(table: SamplesTable, positions: NDArray[np.int64]) -> list[str | None]:
    """Labels of some rows."""
    found: list[str | None] = table.column("label").take(positions).to_pylist()
    return found


def different_labels(table: SamplesTable, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[str | None]]:
    """Labels of some rows, each different one once.

    Returns:
        (n,) the place of each row's label among the different ones, and these.
    """
    column = table.column("label").take(positions).combine_chunks()
    encoded = column.dictionary_encode(null_encoding="encode")
    return np.asarray(encoded.indices, np.int64), encoded.dictionary.to_pylist()


def _told(table: SamplesTable, positions: NDArray[np.int64]) -> str:
    """How many samples, patients, and images of each name."""
    counts = count_names(labels_at(table, positions))
    patients = len(set(table.column("subject_id").take(positions).to_pylist()))
    names = ", ".join(f"{name} {n}" for name, n in sorted(counts.items()))
    return f"{len(positions)} samples of {patients} patients" + (f" ({names})" if names else "")
