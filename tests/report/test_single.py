"""The report of one run, before it is written."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lungseg.report.blocks import Folded, Gallery, Points, Table, Text
from lungseg.report.reader import Run, read_run
from lungseg.report.single import banners, single_page, summary


def anchors(run: Run) -> list[str]:
    return [section.anchor for section in single_page(run).sections]


@pytest.fixture(scope="module")
def run(small_run: Path) -> Run:
    """Six test images of JSRT, three epochs."""
    return read_run(small_run)


def test_a_whole_run_has_its_sections_in_order(run: Run):
    # no paper figures are given, nothing is missing, and six images are too few for subgroups to be scored
    found = [anchor for anchor in anchors(run) if anchor not in {"paper", "subgroups"}]
    assert found == ["results", "cases", "setup", "training", "environment"]


def test_a_folder_with_nothing_in_it_still_says_what_is_missing():
    page = single_page(Run(Path("gone"), notes=("metrics.json is missing.",)))
    assert page.sections[0].blocks == (
        Text("There are no results: the run folder has no metrics that can be read.", tone="muted"),
    )
    assert page.sections[-1].blocks == (Points(("metrics.json is missing.",)),)
    assert page.tiles == ()


def test_a_predict_run_is_not_asked_for_results():
    run = Run(Path("p"), status={"verb": "predict", "state": "done"})
    assert "results" not in anchors(run)
    assert summary(run).endswith("a predict run has no reference masks to be scored against.")


def test_the_title_may_be_given(run: Run):
    assert single_page(run, title="Mine").title == "Mine"
    assert single_page(run).title == "resunet_jsrt"


def test_an_evaluation_elsewhere_names_the_sets(make_run: Callable[..., Path]):
    sets = {"test": {"montgomery": 4, "shenzhen": 6}}
    page = single_page(read_run(make_run(verb="evaluate", sets=sets, overlays=False, n_boot=20)))
    assert page.title == "resunet_jsrt on Montgomery and Shenzhen"
    assert page.summary.startswith(
        "ResUNet, trained on JSRT, was evaluated. On 10 test radiographs of 10 patients (Montgomery and Shenzhen)"
    )


def test_the_summary_says_what_was_run_on_what_and_how_good_it_is(run: Run):
    found = run.main()
    assert found is not None
    dice = found.metric("dice")
    # 174 training radiographs stand in data.json; the mean and its interval in metrics.json
    assert summary(run) == (
        "ResUNet was trained for 3 epochs on JSRT (174 training radiographs). On 6 test radiographs of 6 patients it "
        f"outlines the lungs with a mean Dice of {dice.mean:.4f} (95 % interval {dice.low:.4f} to {dice.high:.4f})."
    )


def test_what_was_not_evaluated_is_said_not_to_be(run: Run):
    assert summary(dataclasses.replace(run, metrics={})).endswith("radiographs). It has not been evaluated.")


def test_counts_that_are_damaged_are_left_out_of_the_summary(run: Run):
    data = {**run.data, "split": {"counts": ["174"]}}
    assert summary(dataclasses.replace(run, data=data)).startswith("ResUNet was trained for 3 epochs on JSRT. On 6")


def test_a_run_that_ended_well_has_no_banner(run: Run):
    assert banners(run) == ()


def test_training_on_labels_that_contradict_each_other_has_a_banner(make_run: Callable[..., Path]):
    both = {"jsrt": "without_heart", "v7_darwin": "with_heart"}
    (banner,) = banners(read_run(make_run(trained_on=tuple(both), convention=both, overlays=False, n_boot=20)))
    assert banner.tone == "warn"
    assert banner.text.startswith("This run was trained on masks of two conventions")


def test_results_against_other_labels_say_so_before_the_table(make_run: Callable[..., Path]):
    facts = {"convention": {"v7_darwin": "with_heart"}, "trained_convention": {"jsrt": "without_heart"}}
    sets = {"test": {"v7_darwin": 5}}
    run = read_run(make_run(verb="evaluate", sets=sets, overlays=False, n_boot=20, **facts))
    first = single_page(run).sections[0].blocks[0]
    assert isinstance(first, Text)
    assert first.text.startswith("The labels of test and training differ")


def test_outlines_have_a_table_of_their_own(make_run: Callable[..., Path]):
    run = read_run(make_run(overlays=False, n_boot=20, metrics={"hd95_mm": 4.2, "assd_mm": 1.1}))
    captions = [block.caption for block in single_page(run).sections[0].blocks if isinstance(block, Table)]
    assert captions == ["Test part, lungs", "Test part, lungs: pixels", "Test part, lungs: outlines and probabilities"]


def test_of_several_structures_the_summary_tells_their_mean(make_run: Callable[..., Path]):
    folder = make_run(structures=("lungs", "heart"), overlays=False, n_boot=20)
    metrics = json.loads((folder / "metrics.json").read_text())
    for structures in metrics["parts"]["test"].values():
        mean = copy.deepcopy(structures["heart"])
        mean["metrics"]["dice"] |= {"mean": 0.875, "low": 0.85, "high": 0.9}
        structures["mean"] = mean
    (folder / "metrics.json").write_text(json.dumps(metrics))
    said = "it outlines 2 structures with a mean Dice of 0.8750 (95 % interval 0.8500 to 0.9000)."
    assert single_page(read_run(folder)).summary.endswith(said)


@pytest.mark.parametrize(
    ("status", "said", "tone"),
    [
        ({"state": "failed", "seconds": 192}, "This run failed after 3 min 12 s. Below is what it left.", "bad"),
        ({"state": "failed", "error": "a\nb"}, "This run failed. a b. Below is what it left.", "bad"),
        ({"state": "failed", "error": "Why?"}, "This run failed. Why? Below is what it left.", "bad"),
        (
            {"state": "interrupted", "exit_code": 75},
            "This run was interrupted. Exit code 75. Below is what it left.",
            "warn",
        ),
        ({"state": "asleep"}, "This run is asleep. Below is what it left.", "warn"),
        (
            {},
            "How this run ended is not known: its status.json cannot be read. Below is what it left.",
            "warn",
        ),
    ],
    ids=["time", "error", "error-with-its-own-mark", "exit-code", "another-state", "no-status"],
)
def test_a_run_that_did_not_end_well_says_so(status: dict[str, object], said: str, tone: str):
    assert banners(Run(Path("r"), status=status)) == (Text(said, tone=tone),)  # type: ignore[arg-type]


def test_one_structure_has_tiles_for_three_metrics_and_the_missed(run: Run):
    assert [tile.label for tile in single_page(run).tiles] == ["Dice · test", "IoU · test", "accuracy · test", "missed"]


def test_missed_images_make_their_tile_a_warning(run: Run):
    parts = {"test": {"all": {"lungs": {"n": 6, "n_missed": 2, "metrics": {}}}}}
    (tile,) = single_page(dataclasses.replace(run, metrics={"parts": parts})).tiles
    assert (tile.value, tile.sub, tile.tone) == ("2", "of 6 test images", "warn")


def test_several_structures_have_a_tile_each(run: Run):
    entry = {"n": 6, "metrics": {"dice": {"mean": 0.5, "sd": 0, "low": None, "high": None, "n": 6}}}
    parts = {"test": {"all": {"lungs": entry, "heart": entry}}}
    tiles = single_page(dataclasses.replace(run, metrics={"parts": parts}, samples=None)).tiles
    assert [(tile.label, tile.value) for tile in tiles] == [
        ("Dice, lungs · test", "0.5000"),
        ("Dice, heart · test", "0.5000"),
    ]


def test_validation_figures_without_a_test_are_labelled(run: Run):
    parts = {"val": run.metrics["parts"]["test"]}
    page = single_page(dataclasses.replace(run, metrics={"parts": parts}))
    assert page.sections[0].blocks[0] == Text("These are validation figures: this run has no test part.", tone="warn")


def test_the_cases_are_the_overlays_of_the_folder(run: Run):
    cases = next(section for section in single_page(run).sections if section.anchor == "cases")
    galleries = [block for block in cases.blocks if isinstance(block, Gallery)]
    # one picture each of the worst, the median and the best
    assert sum(len(gallery.items) for gallery in galleries) == 3


def test_the_whole_configuration_stands_folded_at_the_end_of_the_environment(run: Run):
    environment = next(section for section in single_page(run).sections if section.anchor == "environment")
    last = environment.blocks[-1]
    assert isinstance(last, Folded)
    assert last.text == (run.folder / "config.yaml").read_text().strip()
