"""Drawings."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lungseg.report.figures import (
    MOST_DOTS,
    curve_figures,
    distribution_figure,
    forest_figure,
    multiple_figures,
    validation_figure,
)
from lungseg.report.paper import load_paper
from lungseg.report.reader import Run, read_run
from lungseg.stats.bootstrap import Interval

EPOCHS = pd.DataFrame({"epoch": [1, 2], "train/loss": [0.5, 0.4], "train/dice": [0.8, 0.9], "val/dice": [np.nan, 0.85]})


def _samples(n: int) -> pd.DataFrame:
    values = np.linspace(0.9, 1, n)
    ids = [f"p{i}" for i in range(n)]
    return pd.DataFrame({"part": "test", "structure": "lungs", "source": "jsrt", "subject_id": ids, "dice": values})


def test_loss_and_dice_are_drawn_and_the_last_values_said():
    figures = curve_figures(EPOCHS, None)
    assert [figure.name for figure in figures] == ["curve_loss", "curve_dice"]
    assert figures[1].caption == "Dice by epoch. Last: training 0.9000, validation 0.8500."


def test_the_papers_rows_are_drawn_beside_with_its_loss_divided():
    loss, dice = curve_figures(EPOCHS, load_paper("resunet"))
    assert "paper ÷ 4" in loss.svg
    assert ">paper<" in dice.svg


def test_a_single_epoch_is_drawn():
    assert len(curve_figures(EPOCHS.head(1), None)) == 2


def test_epochs_without_values_give_no_figure():
    assert curve_figures(pd.DataFrame({"epoch": [1], "train/loss": [np.nan]}), None) == []


def test_colours_of_the_page_are_variables_and_those_of_the_file_are_not():
    figure = curve_figures(EPOCHS, None)[0]
    assert "var(--first)" in figure.svg
    assert not re.search(r"#[0-9a-f]{6}\b(?!\")", figure.svg.replace("#ffffff", ""))
    assert "var(" not in figure.plain


def test_a_drawing_in_the_page_asks_for_nothing_from_outside():
    svg = curve_figures(EPOCHS, None)[0].svg
    assert "http" not in svg
    assert "<style" not in svg
    assert "font-family" not in svg


def test_the_same_values_give_the_same_bytes():
    assert curve_figures(EPOCHS, None) == curve_figures(EPOCHS, None)


@pytest.mark.parametrize(("n", "dots"), [(MOST_DOTS, True), (MOST_DOTS + 1, False)], ids=["few", "many"])
def test_dots_are_drawn_while_they_can_be_told_apart(n: int, dots: bool):
    figure = distribution_figure(_samples(n), "test", "lungs", n_boot=20)
    assert figure is not None
    assert (figure.svg.count("<use") >= MOST_DOTS) is dots
    assert f"n = {n}" in figure.svg


def test_one_image_and_equal_images_are_drawn():
    assert distribution_figure(_samples(1), "test", "lungs") is not None
    assert distribution_figure(_samples(5).assign(dice=1.0), "test", "lungs", n_boot=20) is not None


def test_a_part_without_defined_dice_is_not_drawn():
    assert distribution_figure(_samples(3).assign(dice=np.nan), "test", "lungs") is None
    assert distribution_figure(_samples(3), "val", "lungs") is None


def test_names_are_escaped_and_not_read_as_formulas():
    found = forest_figure([("A <b>$x_1$", Interval(0.9, 0.1, 0.8, 1.0, 5, 5))], "Dice", "forest")
    assert found is not None
    assert "A &lt;b&gt;$x_1$" in found.svg


def test_rows_without_a_mean_are_not_drawn():
    nan = float("nan")
    assert forest_figure([("A", Interval(nan, nan, nan, nan, 0, 0))], "Dice", "forest") is None


def test_validation_curves_need_two_runs(make_run: Callable[..., Path]):
    runs = {"A": read_run(make_run("a")), "B": read_run(make_run("b"))}
    assert validation_figure({"A": runs["A"]}) is None
    assert validation_figure(runs) is not None


def _run(dice: list[float]) -> Run:
    frame = pd.DataFrame({"epoch": range(1, len(dice) + 1), "train/dice": dice, "val/dice": dice})
    return Run(Path("r"), epochs=frame)


def test_each_run_has_a_drawing_on_one_scale():
    figures = multiple_figures({"A": _run([0.5, 0.9]), "B": _run([0.7, 0.8])})
    assert [figure.name for figure in figures] == ["epochs_1", "epochs_2"]
    assert figures[0].caption == "A: Dice by epoch. Last: training 0.9000, validation 0.9000."
    ticks = [re.findall(r">(0\.\d+)<", figure.svg) for figure in figures]
    assert ticks[0] == ticks[1] != []


def test_a_poor_first_epoch_does_not_press_the_curves_together():
    figures = multiple_figures({"A": _run([0.01, *[0.95] * 20]), "B": _run([0.9, *[0.95] * 20])})
    # nine tenths of the values lie above 0.9: the scale begins near there, and not at 0
    assert min(float(tick) for tick in re.findall(r">(0\.\d+)<", figures[0].svg)) >= 0.85


@pytest.mark.parametrize(
    "runs", [{"A": _run([0.5, 0.9])}, {"A": _run([0.5]), "B": _run([0.6])}], ids=["one", "one-epoch"]
)
def test_curves_that_compare_nothing_are_not_drawn(runs: dict[str, Run]):
    assert multiple_figures(runs) == ()


def test_losses_that_span_much_have_a_logarithmic_scale():
    epochs = pd.DataFrame({"epoch": [1, 2, 3], "train/loss": [1.0, 0.5, 0.4], "val/loss": [2e7, 300.0, 1.2]})
    (loss,) = curve_figures(epochs, None, (("loss", "Loss"),))
    assert "on a logarithmic scale" in loss.caption
    assert {"1", "1e+06"} <= set(re.findall(r">([^<>]+)</text>", loss.svg))
    (plain,) = curve_figures(epochs.assign(**{"val/loss": 1.0}), None, (("loss", "Loss"),))
    assert "logarithmic" not in plain.caption


def test_the_losses_of_several_runs_share_a_logarithmic_scale_where_one_spans_much(make_class_run: Callable[..., Path]):
    runs = {}
    for name, highest in (("a", 1.2), ("b", 4000.0)):
        folder = make_class_run(name, n=12, n_boot=5, epochs=4)
        epochs = pd.read_csv(folder / "epochs.csv")
        epochs.loc[0, "val/loss"] = highest
        epochs.to_csv(folder / "epochs.csv", index=False)
        runs[name] = read_run(folder)
    drawn = multiple_figures(runs, "loss")
    ticks = [re.findall(r">(1|10|100|1000)</text>", figure.svg) for figure in drawn]
    assert ticks[0] == ticks[1]
    assert "1000" in ticks[0]
