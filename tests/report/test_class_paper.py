"""The columns of the classification paper."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lungseg.report import paper as paper_module
from lungseg.report.blocks import Block, Points, Table, Text
from lungseg.report.class_paper import class_paper_blocks
from lungseg.report.compare import label_runs
from lungseg.report.paper import load_paper
from lungseg.report.reader import read_run

QUICK: dict[str, Any] = {"n": 12, "n_boot": 5, "embedding": False}
MOBILE = {"key": "cxr_classification", "row": "MobileNet on Pneumonia"}
FIGURES = {"f1": 0.804, "seconds": 75, "best_epoch": 42}


def table(blocks: tuple[Block, ...]) -> Table:
    return next(block for block in blocks if isinstance(block, Table))


def test_twelve_rows_are_printed_with_their_columns_and_notes():
    paper = load_paper("cxr_classification")
    assert paper is not None
    assert len(paper.rows) == 12
    assert all(set(row.figures) == {"f1", "seconds", "best_epoch"} and row.note for row in paper.rows)
    assert paper.row("EfficientNet transfer learning on X-Ray 8").figures["f1"] == 0.457
    assert paper.row("EfficientNet transfer learning on X-Ray 8").recipe.stated["model.weights"] == "imagenet"
    assert [row.recipe.parameters[0] for row in paper.rows[::4]] == [21_286_211, 21_286_211, 21_288_263]


def test_every_figure_of_the_paper_file_is_a_number():
    found = yaml.safe_load((paper_module.FOLDER / "cxr_classification.yaml").read_text(encoding="utf-8"))
    assert all(isinstance(value, int | float) for row in found["printed"] for value in row["figures"].values())


def test_a_run_stands_beside_the_papers_columns(make_class_run: Callable[..., Path]):
    measured = {"macro_f1": (0.79, 0.75, 0.83)}
    run = read_run(make_class_run(paper={**MOBILE, "reported": FIGURES}, metrics=measured, **QUICK))
    found = table(class_paper_blocks({"A": run}))
    assert [(column.group, column.title) for column in found.columns] == [
        ("", "Run"), ("F1", "Paper"), ("F1", "Ours"), ("F1", "Difference"), ("Seconds per epoch", "Paper"),
        ("Seconds per epoch", "Ours"), ("Best epoch", "Paper"), ("Best epoch", "Ours"), ("", "Ours is of"),
    ]  # fmt: skip
    (row,) = found.rows
    assert [cell.text for cell in row[:6]] == ["A", "0.804", "0.7900", "−0.0140", "75", "24.5"]
    assert (row[0].sub, row[2].sub, row[3].sub) == ("MobileNet on Pneumonia", "[0.7500, 0.8300]", "inside")
    assert (row[6].text, row[7].sub) == ("42", "of 12")
    assert row[8].sub == "departs from the recipe"  # 12 epochs instead of 100
    assert "Not among these runs" not in found.note


def test_several_runs_name_the_rows_that_are_missing_and_say_a_note_once(make_class_run: Callable[..., Path]):
    runs = [
        read_run(make_class_run(f"r{i}", name=f"r{i}", paper={**MOBILE, "row": row, "reported": FIGURES}, **QUICK))
        for i, row in enumerate(["MobileNet on Pneumonia", "ResNet on Pneumonia"])
    ]
    blocks = class_paper_blocks(label_runs(runs))
    assert re.search(r"Not among these runs: EfficientNet on Pneumonia, .* on X-Ray 8\.", table(blocks).note)
    notes = [block.items for block in blocks if isinstance(block, Points) and block.title.endswith("these rows")]
    assert len(notes[0]) == 1
    assert notes[0][0].startswith("MobileNet on Pneumonia and ResNet on Pneumonia: The paper's split is at random")


def test_a_run_that_was_not_evaluated_has_its_row(make_class_run: Callable[..., Path]):
    run = read_run(make_class_run(state="failed", paper={**MOBILE, "reported": FIGURES}, **QUICK))
    (row,) = table(class_paper_blocks({"A": run})).rows
    assert (row[1].text, row[2].text, row[-1].text) == ("0.804", "–", "not evaluated")


def test_an_experiment_without_printed_figures_says_so(make_class_run: Callable[..., Path]):
    run = read_run(make_class_run(paper=MOBILE, **QUICK))
    (text,) = class_paper_blocks({"A": run})
    assert isinstance(text, Text)
    assert text.text.endswith("has no figures for this experiment: there is nothing to compare with.")


@pytest.mark.parametrize("paper", [None, {"key": None}])
def test_no_paper_is_no_section(make_class_run: Callable[..., Path], paper: Any):
    assert class_paper_blocks({"A": read_run(make_class_run(paper=paper, **QUICK))}) == ()
