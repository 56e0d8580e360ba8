"""The report of several classification runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lungseg.errors import ConfigError
from lungseg.report.blocks import Block, Figures, Page
from lungseg.report.class_several import several_classes_page
from lungseg.report.html import write_report
from lungseg.report.reader import read_run

MakeRun = Callable[..., Path]
QUICK: dict[str, Any] = {"n": 24, "n_boot": 5, "epochs": 4}


def figures(page: Page, anchor: str) -> list[str]:
    (section,) = (section for section in page.sections if section.anchor == anchor)
    return [figure.name for block in section.blocks if isinstance(block, Figures) for figure in block.items]


def test_runs_stand_side_by_side_with_their_matrices_and_maps(make_class_run: MakeRun):
    runs = [read_run(make_class_run(name, name=name, **QUICK)) for name in ("one", "two")]
    page = several_classes_page(runs)
    assert [section.anchor for section in page.sections] == [
        "results", "paired", "cost", "confusion", "training", "runs",
    ]  # fmt: skip
    assert figures(page, "results") == ["forest_macro_f1_test", "forest_auroc_test"]
    assert figures(page, "confusion") == ["confusion_1", "embedding_1", "confusion_2", "embedding_2"]
    assert figures(page, "training") == [
        "epochs_macro_f1_1", "epochs_macro_f1_2", "epochs_loss_1", "epochs_loss_2",
    ]  # fmt: skip
    assert page.summary.startswith("2 runs of one and two. On 24 test radiographs the macro F1 goes from ")


def test_rates_parts_of_the_picture_and_seeds_have_their_sections(make_class_run: MakeRun):
    border = {"preprocess": {"steps": {"lungs": {"_target_": "x.BorderOnly"}}}}
    runs = [make_class_run(f"r{i}", lr=rate, **QUICK) for i, rate in enumerate((0.001, 0.01, 0.1))]
    runs += [make_class_run("seed", lr=0.01, seed=3, **QUICK), make_class_run("border", config=border, **QUICK)]
    page = several_classes_page([read_run(folder) for folder in runs])
    anchors = [section.anchor for section in page.sections]
    assert {"shortcut", "rates", "repeats"} <= set(anchors)
    assert figures(page, "rates") == ["rates_1"]


def test_different_test_images_are_said(make_class_run: MakeRun):
    runs = [read_run(make_class_run(name, name=name, **{**QUICK, "n": n})) for name, n in (("a", 24), ("b", 30))]
    assert several_classes_page(runs).summary.endswith(
        "They were tested on different images: only the paired differences compare like with like."
    )


def test_runs_without_figures_have_a_page(make_class_run: MakeRun):
    runs = [make_class_run(name, name=name, state="failed", **QUICK) for name in ("a", "b")]
    page = several_classes_page([read_run(folder) for folder in runs])
    assert page.summary.endswith("None has been evaluated.")
    assert len(page.banners) == 2


def test_the_written_page_holds_each_figure_once(make_class_run: MakeRun, tmp_path: Path):
    runs = [make_class_run(name, name=name, **QUICK) for name in ("one", "two")]
    path = write_report(runs, tmp_path / "out")
    names = [figure.stem for figure in (tmp_path / "out" / "figures").iterdir()]
    assert "</html>" in path.read_text()
    assert len(names) == 2 + 4 + 4


def test_segmentations_and_classifications_are_not_mixed(make_class_run: MakeRun, make_run: MakeRun, tmp_path: Path):
    folders = [make_class_run("c", **QUICK), make_run("s", sets={"test": {"jsrt": 4}}, n_boot=5, overlays=False)]
    with pytest.raises(ConfigError, match=r"mixes classifications \(.*/c\) with segmentations \(.*/s\)"):
        write_report(folders, tmp_path / "out")


def blocks(page: Page, anchor: str) -> tuple[Block, ...]:
    (section,) = (section for section in page.sections if section.anchor == anchor)
    return section.blocks


def test_each_matrix_and_its_map_are_a_row_of_their_own(make_class_run: MakeRun):
    runs = [make_class_run("one", embedding=False, **QUICK), make_class_run("two", **QUICK)]
    rows = blocks(several_classes_page([read_run(folder) for folder in runs]), "confusion")
    assert [[figure.name for figure in row.items] for row in rows] == [  # type: ignore[union-attr]
        ["confusion_1"], ["confusion_2", "embedding_2"],
    ]  # fmt: skip


def test_differences_are_said_in_sentences_a_table_and_two_figures(make_class_run: MakeRun):
    runs = [
        read_run(make_class_run(name, name="net", seed=1, draw=draw, **QUICK)) for name, draw in (("a", 1), ("b", 2))
    ]
    page = several_classes_page(runs)
    points, table, drawings = blocks(page, "paired")
    assert [item.partition(":")[0] for item in points.items] == [  # type: ignore[union-attr]
        "Macro F1, test", "AUROC, test", "Macro F1, validation", "AUROC, validation",
    ]  # fmt: skip
    assert len(table.rows) == 2  # type: ignore[union-attr]
    assert figures(page, "paired") == ["paired_macro_f1", "paired_auroc"]
    assert [figure.name for figure in drawings.items] == ["paired_macro_f1", "paired_auroc"]  # type: ignore[union-attr]


def test_runs_that_cannot_be_paired_say_why(make_class_run: MakeRun):
    runs = [make_class_run("a", **QUICK), make_class_run("b", source="nih_chestxray", **QUICK)]
    (text,) = blocks(several_classes_page([read_run(folder) for folder in runs]), "paired")
    assert text.text == "No run can be paired with A mobilenet_v3_large_kermany: no common image."  # type: ignore[union-attr]


def test_images_before_and_after_preprocessing_are_shown_once_for_what_is_the_same(make_class_run: MakeRun):
    other = {"preprocess": {"steps": {"grey": {}, "resize": {}}}}
    runs = [make_class_run(name, pictures=True, **QUICK) for name in ("a", "b")]
    same = blocks(several_classes_page([read_run(folder) for folder in runs]), "images")
    assert [block.kind for block in same] == ["text", "gallery"]
    runs.append(make_class_run("c", pictures=True, config=other, **QUICK))
    apart = blocks(several_classes_page([read_run(folder) for folder in runs]), "images")
    assert [block.kind for block in apart] == ["text", "text", "gallery"] * 2
    assert apart[3].text.startswith("C ")  # type: ignore[union-attr]
    assert "as the net sees it (grey, resize), augmented" in apart[4].text  # type: ignore[union-attr]
