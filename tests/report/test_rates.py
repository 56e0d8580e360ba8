"""The learning-rate ablation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lungseg.report.compare import label_runs
from lungseg.report.rates import rate_figures
from lungseg.report.reader import Run, read_run

QUICK: dict[str, Any] = {"n": 12, "n_boot": 5, "embedding": False, "epochs": 2, "name": "efficientnet_b1_covid"}


@pytest.fixture
def runs(make_class_run: Callable[..., Path]) -> Callable[..., list[Run]]:
    def make(rates: list[float], **settings: Any) -> list[Run]:
        return [
            read_run(
                make_class_run(f"r{i}", lr=rate, metrics={"macro_f1": (0.5 + i / 10, 0.4, 0.9)}, **QUICK, **settings)
            )
            for i, rate in enumerate(rates)
        ]

    return make


def test_three_rates_are_an_ablation(runs: Callable[..., list[Run]]):
    (figure,) = rate_figures(label_runs(runs([0.01, 0.001, 0.1])))
    assert figure.caption.endswith("0.001: 0.600, 0.01: 0.500, 0.1: 0.700.")
    assert ">0.001<" in figure.svg


def test_two_rates_are_none(runs: Callable[..., list[Run]]):
    assert rate_figures(label_runs(runs([0.01, 0.001]))) == ()


def test_runs_that_differ_in_more_than_the_rate_are_none(make_class_run: Callable[..., Path]):
    found = [
        read_run(make_class_run(f"r{i}", lr=rate, config={"model": {"_target_": f"x.Net{i}"}}, **QUICK))
        for i, rate in enumerate([0.01, 0.001, 0.1])
    ]
    assert rate_figures(label_runs(found)) == ()
