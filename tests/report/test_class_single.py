"""The report of one classification run."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lungseg.report.blocks import Figures, Page, Table
from lungseg.report.class_single import class_page
from lungseg.report.html import write_report
from lungseg.report.reader import read_run

MakeRun = Callable[..., Path]
PAPER = {
    "key": "cxr_classification", "row": "MobileNet on Pneumonia",
    "reported": {"f1": 0.804, "seconds": 75, "best_epoch": 42},
}  # fmt: skip
PIECES = ["config.yaml", "data.json", "model.json", "metrics.json", "epochs.csv", "per_sample.parquet", "split.parquet",
          "embedding.parquet", "env.json", "examples/index.json", "examples/1.png", "overlays/index.json"]  # fmt: skip


def anchors(page: Page) -> list[str]:
    return [section.anchor for section in page.sections]


def figures(page: Page) -> list[str]:
    blocks = [block for section in page.sections for block in section.blocks]
    return [figure.name for block in blocks if isinstance(block, Figures) for figure in block.items]


def test_a_page_has_a_section_for_all_that_is_there(make_class_run: MakeRun):
    page = class_page(read_run(make_class_run(paper=PAPER, pictures=True)))
    assert anchors(page) == [
        "results", "paper", "worst", "images", "setup", "training", "subgroups", "environment",
    ]  # fmt: skip
    assert figures(page) == [
        "confusion_test", "embedding", "roc_test", "precision_recall_test", "reliability_test", "curve_loss",
        "curve_macro_f1",
    ]  # fmt: skip
    assert page.sections[0].blocks[-1].caption == "Neighbours on the map"  # type: ignore[union-attr]


def test_the_highest_losses_are_pictures_and_a_table_where_there_are_none(make_class_run: MakeRun):
    kinds = []
    for name, pictures in (("with", True), ("without", False)):
        page = class_page(read_run(make_class_run(name, n=24, n_boot=5, pictures=pictures)))
        (worst,) = (section for section in page.sections if section.anchor == "worst")
        kinds.append([block.kind for block in worst.blocks])
    assert kinds == [["text", "gallery"], ["table"]]


def test_a_picture_that_is_missing_is_a_gap(make_class_run: MakeRun):
    folder = make_class_run(n=24, n_boot=5, pictures=True)
    (folder / "examples/2.png").unlink()
    (folder / "overlays/test_worst_1.png").write_bytes(b"no picture")
    (gaps,) = (section for section in class_page(read_run(folder)).sections if section.anchor == "gaps")
    assert gaps.blocks[0].items == (  # type: ignore[union-attr]
        "overlays/test_worst_1.png was left out: it is damaged.",
        "examples/2.png was left out: it is missing.",
    )


def test_without_results_the_map_is_shown_all_the_same(make_class_run: MakeRun):
    folder = make_class_run(n=24, n_boot=5)
    (folder / "metrics.json").unlink()
    assert "embedding" in figures(class_page(read_run(folder)))


def test_the_summary_says_how_good_it_is(make_class_run: MakeRun):
    run = read_run(make_class_run())
    main = run.main()
    assert main is not None
    f1 = main.metric("macro_f1")
    assert class_page(run).summary == (
        "MobileNetV3Large was trained for 12 epochs on Kermany pneumonia (4,000 training radiographs). On 90 test "
        "radiographs of 45 patients it tells apart normal, bacterial and viral with a macro F1 of "
        f"{f1.mean:.4f} (95 % interval {f1.low:.4f} to {f1.high:.4f}) and a mean AUROC of "
        f"{main.metric('auroc').mean:.4f}."
    )


def test_a_net_that_sees_a_part_of_the_picture_says_so(make_class_run: MakeRun):
    steps = {"preprocess": {"steps": {"lungs": {"_target_": "lungseg.data.preprocess.border_only.BorderOnly"}}}}
    assert "It sees the frame around the lungs." in class_page(read_run(make_class_run(config=steps))).summary


def test_labels_have_counts_instead_of_a_confusion_matrix(make_class_run: MakeRun):
    page = class_page(read_run(make_class_run(kind="multilabel", known=0.9)))
    assert "confusion_test" not in figures(page)
    tables = [block.caption for block in page.sections[0].blocks if isinstance(block, Table)]
    assert "Test part, predictions of each label" in tables


def test_the_epochs_leave_out_the_f1_of_each_class(make_class_run: MakeRun):
    page = class_page(read_run(make_class_run()))
    (training,) = (section for section in page.sections if section.anchor == "training")
    titles = [column.title for block in training.blocks if isinstance(block, Table) for column in block.columns]
    assert "Macro F1" in titles
    assert not any("viral" in title for title in titles)


def test_without_a_test_part_the_figures_are_called_validation(make_class_run: MakeRun):
    page = class_page(read_run(make_class_run(parts=("val",))))
    assert "roc_val" in figures(page)
    assert any("validation figures" in getattr(block, "text", "") for block in page.sections[0].blocks)


def test_a_failed_run_shows_its_curves(make_class_run: MakeRun):
    page = class_page(read_run(make_class_run(state="failed", embedding=False)))
    assert page.summary.endswith("It has not been evaluated.")
    assert figures(page) == ["curve_loss", "curve_macro_f1"]


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_the_written_page_refers_to_nothing_outside_and_says_all_in_markdown(make_class_run: MakeRun, kind: str):
    folder = make_class_run(kind=kind, paper=PAPER, pictures=True)
    page = write_report([folder], folder).read_text()
    text = (folder / "report.md").read_text()
    assert not re.search(r"https?:|wss?:|@import", page)
    shown = re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
    assert set(re.findall(r"0\.\d{4}", text)) == set(re.findall(r"0\.\d{4}", shown))
    links = re.findall(r"\]\(<?([^)>]+)>?\)", text)
    assert links
    assert all((folder / link).is_file() for link in links)


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("damage", ["missing", "truncated", "another kind"])
def test_no_damage_stops_the_report(class_run: Path, tmp_path: Path, piece: str, damage: str):
    folder = shutil.copytree(class_run, tmp_path / "run")
    content = (folder / piece).read_bytes()
    if damage == "missing":
        (folder / piece).unlink()
    else:
        damaged: dict[str, Any] = {"truncated": content[: 2 * len(content) // 3], "another kind": b"[[1], {}, null]\n"}
        (folder / piece).write_bytes(damaged[damage])
    assert "</html>" in write_report([folder], folder).read_text()


def test_names_of_classes_cannot_become_markup(make_class_run: MakeRun):
    folder = make_class_run(classes=("<b>x</b>", "a|b", "c_$d$"), n=30)
    page = write_report([folder], folder).read_text()
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
