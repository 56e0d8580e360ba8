"""Worst cases, and images before and after preprocessing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from lungseg.report.blocks import Gallery, Text
from lungseg.report.class_pictures import example_blocks, worst_pictures
from lungseg.report.reader import read_run

MakeRun = Callable[..., Path]


def of_case(folder: Path, **values: object) -> str:
    """Give the worst image other values, and return title and caption of its picture."""
    frame = pd.read_parquet(folder / "per_sample.parquet")
    entry = next(each for each in json.loads((folder / "overlays/index.json").read_text()) if each["part"] == "test")
    for name, value in values.items():
        frame.loc[frame["sample_id"] == entry["sample_id"], name] = value
    frame.to_parquet(folder / "per_sample.parquet")
    (_, gallery), notes = worst_pictures(read_run(folder), "test")
    assert isinstance(gallery, Gallery)
    assert notes == []
    assert gallery.items[0].alt.startswith("Radiograph test")
    name = entry["sample_id"].partition("/")[2]
    said = f"{gallery.items[0].title} | {gallery.items[0].caption}"
    return said.replace(f", loss {entry['loss']:.2f}. {name}", "")


def test_a_case_says_what_is_true_and_what_was_predicted_with_their_probabilities(make_class_run: MakeRun):
    values = {"t_normal": 1.0, "t_viral": 0.0, "t_bacterial": 0.0, "p_normal": 0.041, "p_viral": 0.9}
    assert of_case(make_class_run(n=24, n_boot=5, pictures=True), **values, predicted="viral") == (
        "normal | predicted viral 0.90 (normal 0.04)"
    )


@pytest.mark.parametrize(
    ("true", "predicted", "said"),
    [
        ("a|b", "b|c", "a, b | predicted c 0.90, b 0.60 (a 0.20)"),
        ("a", "", "a | predicted none (a 0.20)"),
        ("", "c", "none of the labels | predicted c 0.90"),
        ("a|b|c|d", "", "a, b, c and 1 other | predicted none (c 0.90, b 0.60, a 0.20 and 1 other)"),
    ],
)
def test_labels_are_said_by_those_that_were_missed(make_class_run: MakeRun, true: str, predicted: str, said: str):
    folder = make_class_run(n=24, n_boot=5, kind="multilabel", classes=tuple("abcd"), pictures=True)
    values = {f"t_{name}": float(name in true.split("|")) for name in "abcd"}
    chances = {"p_a": 0.2, "p_b": 0.6, "p_c": 0.9, "p_d": 0.1}
    assert of_case(folder, **values, **chances, predicted=predicted) == said


def test_without_the_images_rows_the_loss_is_said(make_class_run: MakeRun):
    folder = make_class_run(n=24, n_boot=5, pictures=True)
    (folder / "per_sample.parquet").unlink()
    (_, gallery), _ = worst_pictures(read_run(folder), "test")
    assert isinstance(gallery, Gallery)
    assert gallery.size == "small"
    assert gallery.items[0].title.startswith("Loss ")
    assert gallery.items[0].caption.startswith("test")


def test_only_the_worst_of_the_part_are_shown(make_class_run: MakeRun):
    run = read_run(make_class_run(n=24, n_boot=5, pictures=True))
    (_, gallery), _ = worst_pictures(run, "val")
    assert isinstance(gallery, Gallery)
    assert [Path(each.path).name for each in gallery.items] == [f"val_worst_{place}.png" for place in (1, 2, 3)]
    assert worst_pictures(run, "train") == ([], [])


def test_examples_say_their_panels_and_the_steps_between(make_class_run: MakeRun):
    config = {"preprocess": {"steps": {"grey": {}, "equalize": {}, "blur": {}, "resize": {}}}}
    (text, gallery), notes = example_blocks(read_run(make_class_run(n=24, n_boot=5, pictures=True, config=config)))
    assert isinstance(text, Text)
    assert isinstance(gallery, Gallery)
    assert text.text == (
        "Training images. From left to right: as read, as the net sees it (grey, equalize, blur, resize), augmented."
    )
    assert [(each.title, each.caption) for each in gallery.items] == [
        ("normal", "train0001"), ("bacterial", "train0002"), ("viral", "train0003"),
    ]  # fmt: skip
    assert gallery.items[0].alt == (
        "Training radiograph train0001 of normal: as read, as the net sees it and augmented"
    )
    assert (gallery.size, notes) == ("wide", [])


def test_of_several_sets_each_example_names_its_own(make_class_run: MakeRun):
    folder = make_class_run(n=24, n_boot=5, pictures=True)
    listed = json.loads((folder / "examples/index.json").read_text())
    listed[0] |= {"source": "nih_chestxray", "sample_id": "nih_chestxray/a"}
    (folder / "examples/index.json").write_text(json.dumps(listed))
    (_, gallery), _ = example_blocks(read_run(folder))
    assert isinstance(gallery, Gallery)
    assert gallery.items[0].caption == "a, NIH ChestX-ray"


@pytest.mark.parametrize("entry", [{"file": "../x.png"}, {"file": "examples/1.png", "panels": 3, "class": None}])
def test_an_index_of_another_kind_does_no_harm(make_class_run: MakeRun, entry: dict[str, object]):
    folder = make_class_run(n=24, n_boot=5, pictures=True)
    (folder / "examples/index.json").write_text(json.dumps([entry]))
    blocks, notes = example_blocks(read_run(folder))
    assert bool(blocks) is not bool(notes)
