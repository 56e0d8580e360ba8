"""Small tables of labelled samples."""

import numpy as np

from lungseg.data.table import SamplesTable
from lungseg.types import Row


def table(*samples):
    """A table of (patient, label) pairs; sample i is called s/i."""
    return SamplesTable.from_rows(
        Row(
            sample_id=f"s/{i}", subject_id=f"s/{patient}", source="s", image=f"{i}.png", masks={}, label=label,
            view=None, sex=None, age=None, spacing_mm=None, official_split=None,
        )
        for i, (patient, label) in enumerate(samples)
    )  # fmt: skip


def labels(*counts, start=0):
    """Pairs of a new patient each, from (label, count) pairs."""
    names = [label for label, count in counts for _ in range(count)]
    return [(f"p{start + i}", name) for i, name in enumerate(names)]


def training(size):
    return np.full(size, "train", "<U6")
