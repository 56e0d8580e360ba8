"""Paper against ours."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from lungseg.report.blocks import Points, Section, Table, Text
from lungseg.report.paper import load_paper, paper_section, verdict
from lungseg.report.reader import read_run
from lungseg.stats.bootstrap import Interval

REPORTED = {"accuracy": 0.981, "dice": 0.9622, "iou": 0.9276, "loss": 0.1915}
PRINTED = {"key": "resunet", "row": "epoch 20", "reported": REPORTED}


def _texts(section: Section | None) -> str:
    assert section is not None
    said = []
    for block in section.blocks:
        if isinstance(block, Text):
            said.append(block.text)
        elif isinstance(block, Points):
            said += [block.title, *block.items]
        elif isinstance(block, Table):
            said.append(block.note)
    return "\n".join(said)


def _table(section: Section | None) -> Table:
    assert section is not None
    return next(block for block in section.blocks if isinstance(block, Table))


def test_the_paper_prints_twenty_rows_that_agree_with_themselves():
    paper = load_paper("resunet")
    assert paper is not None
    assert paper.epochs is not None
    assert paper.epochs["epoch"].to_list() == list(range(1, 21))
    # IoU averaged over batches is never below the IoU of the averaged Dice, J = D / (2 - D), beyond rounding
    implied = paper.epochs["dice"] / (2 - paper.epochs["dice"])
    assert (paper.epochs["iou"] - implied).between(0, 0.0115).all()
    # row 19 is the right way round: the loss is the small one
    assert (paper.epochs["loss"] < paper.epochs["accuracy"]).all()


def test_a_key_without_figures_gives_none():
    assert load_paper("nothing") is None
    assert load_paper("../resunet") is None


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.95, "outside, ours is higher"), (0.965, "inside our interval"), (0.98, "outside, ours is lower")],
    ids=["below", "inside", "above"],
)
def test_the_verdict_says_where_the_printed_figure_lies(value: float, said: str):
    assert verdict(value, Interval(0.965, 0.01, 0.96, 0.97, 50, 50))[0] == said


def test_the_verdict_owns_up_to_what_was_not_measured():
    assert verdict(0.9, Interval(math.nan, math.nan, math.nan, math.nan, 0, 0))[0] == "not measured"
    assert verdict(0.9, Interval(0.9, math.nan, math.nan, math.nan, 1, 1))[0] == "no interval"


def test_an_experiment_without_reported_figures_says_that_there_are_none(make_run: Callable[..., Path]):
    section = paper_section(read_run(make_run()))
    assert "has no figures for this experiment (resunet_jsrt)" in _texts(section)
    assert not any(isinstance(block, Table) for block in (section.blocks if section else ()))


def test_an_experiment_of_no_paper_has_no_such_section(make_run: Callable[..., Path]):
    assert paper_section(read_run(make_run(paper={}))) is None


def test_a_test_on_other_data_is_not_held_against_the_paper(make_run: Callable[..., Path]):
    run = read_run(make_run(verb="evaluate", sets={"test": {"shenzhen": 9}}, paper=PRINTED))
    section = paper_section(run)
    assert "has no figures for Shenzhen" in _texts(section)
    assert not any(isinstance(block, Table) for block in (section.blocks if section else ()))


def test_validation_is_labelled_as_validation(make_run: Callable[..., Path]):
    run = read_run(make_run(sets={"val": {"jsrt": 30}}, paper=PRINTED))
    section = paper_section(run)
    assert "30 validation radiographs" in _texts(section)
    assert "no figure here is a test result" in _texts(section)
    assert [column.title for column in _table(section).columns][3] == "Ours, validation"


def test_the_difference_is_ours_minus_the_paper(make_run: Callable[..., Path]):
    run = read_run(make_run(paper=PRINTED))
    main = run.main()
    assert main is not None
    dice = next(row for row in _table(paper_section(run)).rows if row[0].text == "Dice")
    said = float(dice[4].text.replace("\N{MINUS SIGN}", "-"))
    assert said == pytest.approx(main.metric("dice").mean - 0.9622, abs=6e-5)


def test_our_loss_is_shown_times_four(make_run: Callable[..., Path]):
    run = read_run(make_run(paper=PRINTED))
    assert run.epochs is not None
    loss = next(row for row in _table(paper_section(run)).rows if row[0].text == "Loss")
    assert float(loss[2].text) == pytest.approx(4 * run.epochs["train/loss"].iloc[-1], abs=6e-5)
    assert loss[2].sub == "mean × 4"


def test_a_reduced_run_is_said_to_be_one(make_run: Callable[..., Path]):
    said = _texts(paper_section(read_run(make_run(paper=PRINTED, parameters=812_033, epochs=8))))
    assert "Its net has 812,033 parameters; the paper’s has 13,043,009 or 13,040,705." in said
    assert "It was set to 8 epochs; the paper trains for 20." in said


def test_a_full_run_departs_from_nothing(make_run: Callable[..., Path]):
    assert "recipe in full" not in _texts(paper_section(read_run(make_run(paper=PRINTED))))


def test_a_paper_that_lungseg_does_not_know_is_still_compared(make_run: Callable[..., Path]):
    other = {"key": "other", "reported": {"dice": 0.9}, "note": "Said elsewhere."}
    section = paper_section(read_run(make_run(paper=other)))
    assert _table(section).rows[0][1].text == "0.9000"
    assert "Said elsewhere." in _texts(section)
