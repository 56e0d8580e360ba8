"""Each paper's table with our runs in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lungseg.report.blocks import Block, Points, Table
from lungseg.report.compare import label_runs
from lungseg.report.paper_tables import paper_blocks
from lungseg.report.reader import Run, read_run

COMPARE = {"dice": ["soft_dice", "dice"], "recall": "recall_pooled"}
FIRST = {"key": "dual_encoder", "row": "U-Net", "reported": {"recall": 0.875, "dice": 0.957}, "compare": COMPARE}
SECOND = {"key": "dual_encoder", "row": "U-Net with MobileNetV2", "reported": {"dice": 0.966}, "note": "Said of ours."}
QUICK: dict[str, Any] = {"sets": {"test": {"mc_sh": 6}}, "trained_on": ("mc_sh",), "n_boot": 20, "overlays": False}
RECIPE = {
    "trainer": {"max_epochs": 60}, "data": {"batch_size": 16, "sources": {"mc_sh": {}}},
    "loss": {"_target_": "lungseg.losses.dice.DiceLoss"}, "model": {"_target_": "lungseg.models.unet.UNet"},
    "scheduler": {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau"},
}  # fmt: skip


@pytest.fixture
def read(make_run: Callable[..., Path]) -> Callable[..., Run]:
    def make(folder: str, paper: dict[str, Any], **settings: object) -> Run:
        settings = {"epochs": 60, "config": RECIPE, "parameters": 31_043_521, **QUICK, **settings}
        return read_run(make_run(folder, name=folder, paper=paper, **settings))

    return make


def table(blocks: tuple[Block, ...]) -> Table:
    return next(block for block in blocks if isinstance(block, Table))


def points(blocks: tuple[Block, ...], title: str) -> tuple[str, ...]:
    return next((block.items for block in blocks if isinstance(block, Points) and block.title == title), ())


def test_a_row_of_the_paper_is_a_line_for_each_metric(read: Callable[..., Run]):
    run = read("a", FIRST, metrics={"soft_dice": 0.95, "recall_pooled": 0.9})
    blocks = paper_blocks(label_runs([run]))
    dice, recall = table(blocks).rows
    main = run.main()
    assert main is not None
    # 0.9500 - 0.957 = -0.0070 and the interval of 0.01 to either side reaches to 0.96
    assert [cell.text for cell in dice][:5] == ["A a", "Dice", "0.957", "0.9500", "−0.0070"]
    assert (dice[0].sub, dice[3].sub, dice[4].sub) == ("U-Net", "[0.9400, 0.9600]", "inside")
    assert (dice[5].text, dice[5].sub) == (f"{main.metric('dice').mean:.4f}", "Dice")
    # 0.9000 - 0.875 = +0.0250 and the interval begins at 0.89
    assert [cell.text for cell in recall][:5] == ["", "Recall", "0.875", "0.9000", "+0.0250"]
    assert (recall[0].sub, recall[4].sub, recall[4].tone) == ("6 test images", "outside", "good")


def test_several_measures_may_stand_beside_ours(read: Callable[..., Run]):
    compare = {"dice": ["soft_dice", "recall_pooled", "nsd"]}
    paper = {**FIRST, "reported": {"dice": 0.957}, "compare": compare}
    run = read("a", paper, metrics={"recall_pooled": 0.9, "nsd": 0.8})
    (dice,) = table(paper_blocks(label_runs([run]))).rows
    assert (dice[5].text, dice[5].sub) == ("0.9000", "recall, pooled; NSD 0.8000")


def test_the_table_says_which_of_our_metrics_stand_for_the_printed_ones(read: Callable[..., Run]):
    note = table(paper_blocks(label_runs([read("a", FIRST)]))).note
    assert "Ours is soft" in note
    assert "for Dice;" in note
    assert "for Recall." in note


def test_printed_rows_without_a_run_are_named(read: Callable[..., Run]):
    note = table(paper_blocks(label_runs([read("a", FIRST)]))).note
    said = "Not among these runs: U-Net with MobileNetV2, U-Net with InceptionResNetV2 and Proposed network."
    assert note.endswith(said)


def test_a_run_in_full_is_not_said_to_depart(read: Callable[..., Run]):
    blocks = paper_blocks(label_runs([read("a", FIRST)]))
    assert points(blocks, "Not the recipe in full") == ()
    assert not any("departs" in row[0].sub for row in table(blocks).rows)


def test_a_reduced_run_is_marked_in_the_table_and_explained_below(read: Callable[..., Run]):
    net = {"_target_": "lungseg.models.unet_mobilenet_v2.UNetMobileNetV2", "weights": "imagenet"}
    config = {**RECIPE, "model": net, "trainer": {"max_epochs": 8}}
    small = {"model": {"input_size": [128, 128]}, "epochs": 8, "config": config}
    blocks = paper_blocks(label_runs([read("a", FIRST), read("b", SECOND, parameters=10_069_249, **small)]))
    assert points(blocks, "Not the recipe in full") == (
        "B b: It was set to 8 epochs; the paper trains for 60. Its input size is 128 x 128; the full recipe’s, where "
        "the paper states none, is 256 x 256.",
    )
    # one line only, so that all that is said of the run stands on it
    assert table(blocks).rows[2][0].sub == "U-Net with MobileNetV2, 6 test images, departs from the recipe"


def test_the_notes_of_the_rows_and_of_the_experiments_follow(read: Callable[..., Run]):
    blocks = paper_blocks(label_runs([read("a", FIRST), read("b", SECOND)]))
    first, second, own = points(blocks, "What to know about these rows")
    assert first.startswith("U-Net: Dice 0.957 implies an IoU of 0.9175")
    assert second.startswith("U-Net with MobileNetV2: Dice 0.966 implies an IoU of 0.9342")
    assert own == "B b: Said of ours."


def test_a_note_that_all_share_is_said_once_of_all(read: Callable[..., Run]):
    blocks = paper_blocks(
        label_runs([read("a", {**FIRST, "note": "Of both."}), read("b", {**SECOND, "note": "Of both."})])
    )
    assert points(blocks, "What to know about these rows")[-1] == "Of both."


def test_every_paper_has_a_table_of_its_own(read: Callable[..., Run]):
    other = {"key": "covid_segmentation", "row": "FCNN", "reported": {"mdice": 0.92}, "compare": {"mdice": "dice"}}
    blocks = paper_blocks(label_runs([read("a", FIRST), read("b", other), read("c", SECOND)]))
    captions = [block.caption for block in blocks if isinstance(block, Table)]
    assert captions == [
        "An Amalgamated Deep Learning Approach for Lung Segmentation using X-Ray Images, Table 1",
        "Lung Radiography Segmentation, Table 2",
    ]


def test_runs_without_printed_figures_or_on_other_data_have_no_table(read: Callable[..., Run]):
    none = read("a", {"key": "dual_encoder", "reported": {}})
    other = read("b", FIRST, verb="evaluate", sets={"test": {"shenzhen": 4}})
    assert paper_blocks(label_runs([none, other])) == ()


def test_a_run_that_was_not_evaluated_has_dashes(read: Callable[..., Run]):
    (dice, _) = table(paper_blocks(label_runs([read("a", FIRST, state="failed")]))).rows
    assert [cell.text for cell in dice] == ["A a", "Dice", "0.957", "–", "–", ""]


def test_validation_figures_are_labelled(read: Callable[..., Run]):
    note = table(paper_blocks(label_runs([read("a", FIRST, sets={"val": {"mc_sh": 6}})]))).note
    assert "no figure here is a test result" in note
