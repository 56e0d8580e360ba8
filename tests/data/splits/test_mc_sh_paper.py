from __future__ import annotations

import logging

import numpy as np
import pytest

from lungseg.data.sources.mc_sh import McShSource
from lungseg.data.splits.mc_sh_paper import McShPaperSplit
from lungseg.data.table import SamplesTable
from lungseg.errors import DataError


def table(n, masks=True):
    return SamplesTable.from_rows(
        {
            "sample_id": f"s/{i:03d}",
            "subject_id": f"s/{i:03d}",
            "source": "s",
            "image": f"{i:03d}.png",
            "masks": {"lungs": f"masks/{i:03d}.png"} if masks else {},
            "label": None,
            "view": None,
            "sex": None,
            "age": None,
            "spacing_mm": None,
            "official_split": None,
        }
        for i in range(n)
    )


@pytest.mark.parametrize(("rounding", "held"), [("floor", 105), ("ceil", 106)])
def test_704_pairs_give_105_or_106_for_validation(rounding, held):
    parts = McShPaperSplit(rounding=rounding).assign(table(704), 0)
    assert ((parts == "val").sum(), (parts == "train").sum()) == (held, 704 - held)


def test_validation_is_the_beginning_of_numpys_permutation_with_seed_99():
    parts = McShPaperSplit().assign(table(704), 0)
    assert set(np.flatnonzero(parts == "val")) == set(np.random.RandomState(99).permutation(704)[:105])


def test_the_order_of_rows_and_the_seed_of_the_run_do_not_matter():
    samples = table(704)
    order = np.random.default_rng(0).permutation(704)
    parts = McShPaperSplit().assign(samples, 0)
    np.testing.assert_array_equal(McShPaperSplit().assign(samples.take(order), 7), parts[order])


def test_another_number_of_pairs_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        parts = McShPaperSplit().assign(table(20), 0)
    assert (parts == "val").sum() == 3
    assert "the paper's for 704 pairs; here are 20" in caplog.text


def test_samples_without_a_lung_mask_are_refused():
    with pytest.raises(DataError, match="s/000 has no lung mask"):
        McShPaperSplit().assign(table(2, masks=False), 0)


@pytest.mark.data
def test_the_real_set_is_split_105_599(real_data):
    samples = SamplesTable.from_rows(McShSource(search=str(real_data)).index().rows)
    parts = McShPaperSplit().assign(samples, 0)
    assert ((parts == "val").sum(), (parts == "train").sum()) == (105, 599)
