"""The report of several runs, before it is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from lungseg.report.blocks import Figures, Page, Points, Table, Text
from lungseg.report.reader import Run, read_run
from lungseg.report.several import several_page

QUICK = {"sets": {"test": {"jsrt": 6}}, "n_boot": 20, "overlays": False, "epochs": 3}


@pytest.fixture
def read(make_run: Callable[..., Path]) -> Callable[..., Run]:
    def make(folder: str, **settings: object) -> Run:
        return read_run(make_run(folder, **{**QUICK, **settings}))

    return make


def scored(name: str, mean: float, *, n: int = 6) -> Run:
    """A run of which nothing but its score is known."""
    entry = {"n": n, "metrics": {"dice": {"mean": mean, "sd": 0.0, "low": mean, "high": mean, "n": n}}}
    return Run(
        Path(name),
        config={"name": name},
        status={"verb": "train", "state": "done"},
        metrics={"parts": {"test": {"all": {"lungs": entry}, "jsrt": {"lungs": entry}}}, "trained_on": ["jsrt"]},
    )


def section(page: Page, anchor: str) -> tuple[object, ...]:
    return next((found.blocks for found in page.sections if found.anchor == anchor), ())


def test_runs_of_one_name_are_titled_by_it():
    assert several_page([scored("a", 0.5), scored("a", 0.6)]).title == "2 runs of a"


def test_runs_of_several_names_are_compared():
    assert several_page([scored("a", 0.5), scored("b", 0.6)]).title == "2 runs compared"


def test_the_title_may_be_given():
    assert several_page([scored("a", 0.5), scored("b", 0.6)], title="Mine").title == "Mine"


def test_more_than_five_names_are_not_all_told():
    page = several_page([scored(name, 0.5) for name in "abcdef"])
    assert page.summary.startswith("6 runs of a, b, c, d and e and others.")


def test_the_summary_goes_from_the_worst_to_the_best():
    page = several_page([scored("a", 0.9), scored("b", 0.7), scored("c", 0.8)])
    assert page.summary.endswith("the mean Dice of the lungs goes from 0.7000 (B b) to 0.9000 (A a).")


def test_one_run_with_a_score_is_not_a_range():
    page = several_page([scored("a", 0.9), Run(Path("b"), config={"name": "b"}, status={"state": "failed"})])
    assert page.summary.endswith("is 0.9000 (A a); the others were not evaluated.")


def test_runs_that_were_not_evaluated_are_said_not_to_be():
    nothing = Run(Path("a"), config={"name": "a"}, status={"state": "done"})
    assert several_page([nothing, nothing]).summary == "2 runs of a. None has been evaluated."


def test_a_mean_that_is_not_defined_is_no_score():
    assert several_page([scored("a", float("nan"))] * 2).summary.endswith("None has been evaluated.")


def test_tests_on_different_images_are_not_put_in_order(read: Callable[..., Run]):
    page = several_page([read("a"), read("b", name="other", sets={"test": {"montgomery": 5}})])
    assert "They were tested on different images" in page.summary


def test_folds_are_summed_up_over_all_their_images(read: Callable[..., Run]):
    page = several_page([read(str(fold), fold=fold) for fold in range(2)])
    # two folds of six images each
    assert "Each test radiograph belongs to one of them; over all 12 the mean Dice of the lungs is" in page.summary


def test_banners_name_the_run_that_did_not_end_well():
    failed = Run(Path("b"), config={"name": "b"}, status={"state": "failed", "error": "out of memory"})
    (banner,) = several_page([scored("a", 0.9), failed]).banners
    assert banner == Text("B b: This run failed. out of memory. Below is what it left.", tone="bad")


def test_the_difference_is_said_in_words(read: Callable[..., Run]):
    page = several_page([read("a", dice=0.9), read("b", name="other", dice=0.99)])
    points = section(page, "paired")[0]
    assert isinstance(points, Points)
    assert points.items[0].startswith("Lungs, test: B other is better than A resunet_jsrt by 0.")


def test_runs_without_a_common_image_have_nothing_to_pair(read: Callable[..., Run]):
    page = several_page([read("a"), read("b", name="other", sets={"test": {"montgomery": 5}})])
    said = Text("No run shares an image with A resunet_jsrt: there is nothing to pair.", tone="muted")
    assert section(page, "paired") == (said,)


def test_different_grids_are_warned_of():
    a, b = scored("a", 0.5), scored("b", 0.6)
    a, b = (
        dataclasses.replace(run, metrics={**run.metrics, "grid": grid})
        for run, grid in ((a, "published"), (b, "network"))
    )
    warning = section(several_page([a, b]), "results")[0]
    assert warning == Text("These runs were scored on different grids (network and published).", tone="warn")


def test_papers_have_a_section_with_their_tables(read: Callable[..., Run]):
    paper = {"key": "dual_encoder", "row": "U-Net", "reported": {"dice": 0.957}}
    page = several_page([read("a", name="a", paper=paper), read("b", name="b", paper={})])
    table = section(page, "paper")[0]
    assert isinstance(table, Table)
    assert [row[0].text for row in table.rows] == ["A a"]


def test_what_the_runs_cost_has_a_section(read: Callable[..., Run]):
    page = several_page([read("a"), read("b", name="other")])
    table = section(page, "cost")[0]
    assert isinstance(table, Table)
    assert [row[0].text for row in table.rows] == ["A resunet_jsrt", "B other"]


def test_a_run_tested_against_other_labels_is_named(read: Callable[..., Run]):
    facts = {"convention": {"v7_darwin": "with_heart"}, "trained_convention": {"jsrt": "without_heart"}}
    elsewhere = read("b", name="b", verb="evaluate", sets={"test": {"v7_darwin": 5}}, **facts)
    said = section(several_page([read("a", name="a"), elsewhere]), "results")[-1]
    assert isinstance(said, Text)
    assert said.text.startswith("B b: The labels of test and training differ")


def test_every_run_has_its_curves_on_one_scale(read: Callable[..., Run]):
    blocks = section(several_page([read("a"), read("b", name="other")]), "training")
    assert [len(block.items) for block in blocks if isinstance(block, Figures)] == [1, 2]


def test_repeated_runs_are_listed(read: Callable[..., Run]):
    points = section(several_page([read("0", seed=0), read("1", seed=1)]), "repeats")[0]
    assert isinstance(points, Points)
    assert points.items == ("resunet_jsrt: A resunet_jsrt, seed 0 and B resunet_jsrt, seed 1.",)


def test_a_note_names_the_run_whose_folder_has_the_gap():
    gap = dataclasses.replace(scored("b", 0.5), notes=("env.json is missing.",))
    page = several_page([scored("a", 0.5), gap])
    assert section(page, "gaps") == (Points(("B b: env.json is missing.",)),)


def test_sections_without_content_are_left_out():
    page = several_page([scored("a", 0.5), scored("b", 0.6)])
    # one set, no per-sample table, no epochs, different names, no notes
    assert [found.anchor for found in page.sections] == ["results", "runs"]
