"""Paper against ours."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from lungseg.report.blocks import Points, Section, Table, Text
from lungseg.report.paper import Row, compared, load_paper, paper_section, verdict
from lungseg.report.reader import Run, read_run
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


def test_a_printed_figure_may_lie_outside_by_its_rounding():
    ours = Interval(0.965, 0.01, 0.962, 0.968, 50, 50)
    # two decimals: 0.97 stands for anything from 0.965 to 0.975, and 0.968 is among it
    assert verdict(0.97, ours, rounding=0.005) == ("inside our interval, as rounded", "good")
    assert verdict(0.974, ours, rounding=0.005)[0] == "outside, ours is lower"


@pytest.mark.parametrize(("value", "tone"), [(0.01, "warn"), (0.05, "good")], ids=["ours-is-higher", "ours-is-lower"])
def test_of_an_error_less_is_better(value: float, tone: str):
    assert verdict(value, Interval(0.03, 0.01, 0.02, 0.04, 50, 50), lower=True)[1] == tone


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
    run = read_run(make_run(paper=PRINTED, trained_on=("mc_sh",), sets={"val": {"mc_sh": 9}}))
    assert "recipe in full" not in _texts(paper_section(run))


@pytest.mark.parametrize("key", ["dual_encoder", "covid_segmentation", "res_cr_net"])
def test_the_notes_of_a_row_are_arithmetic_on_its_figures(key: str):
    paper = load_paper(key)
    assert paper is not None
    for row in paper.rows:
        # IoU of the averaged Dice, J = D / (2 - D); Dice of a Tanimoto, D = 2T / (1 + T); F1 = 2PR / (P + R); the
        # largest Dice that a recall allows, precision being 1: 2R / (1 + R); Dice of the lungs alone at a share a of
        # right pixels and a fraction f of lung: 1 - (1 - a) / 2f
        figures = row.figures
        dice = figures.get("dice", figures.get("mdice", 0.0))
        if key == "dual_encoder":
            p, r = figures["precision"], figures["recall"]
            implied = [f"{value:.4f}" for value in (dice / (2 - dice), 2 * p * r / (p + r), 2 * r / (1 + r))]
        elif key == "covid_segmentation":
            implied = [f"{dice / (2 - dice):.3f}"]
        else:
            t = figures["tanimoto"]
            alone = [1 - (1 - dice) / (2 * fraction) for fraction in (0.25, 0.30)]
            implied = [f"{value:.3f}" for value in (2 * t / (1 + t), *alone)]
        assert [value for value in implied if value not in row.note] == []


def test_the_error_of_deeplab_fits_its_iou_better_than_its_dice():
    paper = load_paper("covid_segmentation")
    assert paper is not None
    row = paper.row("DeepLab")
    # FP + FN = 2f (1 - D) of all pixels, so that the error gives the fraction f of lung
    of_iou = 2 * 0.95 / 1.95
    assert round(row.figures["mse"] / (2 * (1 - of_iou)), 3) == 0.195
    assert round(row.figures["mse"] / (2 * (1 - row.figures["mdice"])), 3) == 0.125
    assert "19 %" in row.note
    assert "12 %" in row.note


def test_a_row_lays_its_recipe_over_the_papers():
    paper = load_paper("res_cr_net")
    assert paper is not None
    row = paper.row("V7")
    assert row.recipe.stated["trainer.max_epochs"] == 100
    assert row.recipe.stated["preprocess.steps.resize.size"] == [300, 340]
    assert row.recipe.parameters == (47_189,)
    assert paper.row("none such") == Row("none such", {}, "", paper.recipe)


PROPOSED = {
    "key": "dual_encoder", "row": "Proposed network", "note": "How ours is measured.",
    "reported": {"dice": 0.984, "loss": 0.017}, "compare": {"dice": ["soft_dice", "dice"]},
}  # fmt: skip


def test_the_nearest_metric_is_compared_and_others_are_set_beside_it(make_run: Callable[..., Path]):
    run = read_run(make_run(paper=PROPOSED, metrics={"soft_dice": 0.95}))
    main = run.main()
    assert main is not None
    nearest, beside, _ = _table(paper_section(run)).rows
    # 0.9500 - 0.984
    assert [cell.text for cell in nearest] == ["Dice", "0.984", "0.9500", "−0.0340", "outside, ours is lower"]
    assert nearest[0].sub == "ours: soft Dice"
    said = f"{main.metric('dice').mean:.4f}"
    assert [cell.text for cell in beside] == ["", "", said, "", "another measure, set beside it"]


def test_the_loss_is_that_of_the_epoch_whose_checkpoint_was_tested(make_run: Callable[..., Path]):
    run = read_run(make_run(paper=PROPOSED))
    assert run.epochs is not None
    loss = _table(paper_section(run)).rows[-1]
    # the checkpoint is of epoch 17
    assert float(loss[2].text) == pytest.approx(run.epochs["val/loss"].iloc[16], abs=6e-5)


def test_the_row_and_the_experiment_add_their_notes(make_run: Callable[..., Path]):
    said = _texts(paper_section(read_run(make_run(paper=PROPOSED))))
    assert "This row: Dice 0.984 implies an IoU of at least 0.9685" in said
    assert "How ours is measured." in said


def test_the_measure_is_the_metric_of_the_same_name_unless_said_otherwise():
    run = Run(Path("r"), config={"paper": {"compare": {"dice": ["a", "b"], "iou": "c", "f1": []}}})
    found = [compared(run, name) for name in ("dice", "iou", "f1", "recall")]
    assert found == [("a", "b"), ("c",), ("f1",), ("recall",)]


def test_figures_of_a_test_part_are_not_said_to_have_none(make_run: Callable[..., Path]):
    paper = {"key": "covid_segmentation", "row": "FCNN", "reported": {"mdice": 0.92}}
    said = _texts(paper_section(read_run(make_run(paper=paper, sets={"val": {"jsrt": 9}}))))
    assert "This part is validation: no figure here is a test result." in said


def test_a_paper_that_lungseg_does_not_know_is_still_compared(make_run: Callable[..., Path]):
    other = {"key": "other", "reported": {"dice": 0.9}, "note": "Said elsewhere."}
    section = paper_section(read_run(make_run(paper=other)))
    assert _table(section).rows[0][1].text == "0.9000"
    assert "Said elsewhere." in _texts(section)
