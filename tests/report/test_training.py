"""What the epochs say of the cost."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lungseg.report.reader import Run
from lungseg.report.training import best_epoch, seconds_per_epoch


def run(**columns: list[float]) -> Run:
    return Run(Path("x"), epochs=pd.DataFrame({"epoch": [1, 2, 3], **columns}))


def test_the_first_of_the_lowest_losses_is_the_best():
    assert best_epoch(run(**{"val/loss": [0.5, 0.3, 0.3]})) == 2
    assert best_epoch(run(**{"val/loss": [float("nan"), 0.3, 0.2]})) == 3


def test_an_epoch_takes_the_median_of_their_seconds():
    assert seconds_per_epoch(run(seconds=[100.0, 20.0, 22.0])) == 22  # the first includes the start


def test_what_was_not_measured_is_not_known():
    assert best_epoch(run()) is None
    assert best_epoch(run(**{"val/loss": [float("nan")] * 3})) is None
    assert seconds_per_epoch(run()) is None
    assert seconds_per_epoch(Run(Path("x"))) is None
