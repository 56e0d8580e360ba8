"""Parts of the picture: what is left of the score without lungs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lungseg.report.blocks import Block, Points, Table
from lungseg.report.compare import label_runs
from lungseg.report.reader import Run, read_run
from lungseg.report.shortcut import lungs_mode, share_auroc, shortcut_blocks, shortcut_verdict, survives
from lungseg.stats.bootstrap import Interval

STEPS = {"lungs_only": "LungsOnly", "lung_crop": "LungCrop", "lungs_out": "LungsOut", "border_only": "BorderOnly"}
QUICK: dict[str, Any] = {"n": 12, "n_boot": 5, "embedding": False, "epochs": 2, "name": "shortcut"}


def step(mode: str, **more: Any) -> dict[str, Any]:
    lungs = {"lungs": {"_target_": f"lungseg.data.preprocess.{mode}.{STEPS[mode]}", **more}} if mode in STEPS else {}
    return {"preprocess": {"steps": {**lungs, "resize": {"size": [96, 96]}}}}


@pytest.fixture
def read(make_class_run: Callable[..., Path]) -> Callable[..., Run]:
    def make(folder: str, mode: str, auroc: tuple[float, float, float], **settings: Any) -> Run:
        measured = {"auroc": auroc, "macro_f1": (auroc[0] - 0.1, auroc[1] - 0.1, auroc[2] - 0.1)}
        return read_run(make_class_run(folder, config=step(mode), metrics=measured, **{**QUICK, **settings}))

    return make


def interval(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, math.nan, low, high, 10, 10)


def said(blocks: tuple[Block, ...]) -> list[str]:
    return [text for block in blocks if isinstance(block, Points) for text in block.items]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.61, 0.9, "shown"), (0.6, 0.9, "open"), (0.55, 0.9, "open"), (0.5, 0.7, "none"), (0.4, 0.55, "none"),
        (0.3, 0.45, "open"), (math.nan, math.nan, "open"),
    ],
)  # fmt: skip
def test_a_shortcut_is_shown_above_six_tenths_and_none_where_chance_is_inside(low: float, high: float, verdict: str):
    assert shortcut_verdict(interval(low, high)) == verdict


def test_what_survives_is_a_share_of_what_lies_above_chance():
    assert survives(interval(0.7, 0.7), interval(0.9, 0.9)) == pytest.approx(0.5)
    assert survives(interval(0.4, 0.4), interval(0.9, 0.9)) == 0
    assert math.isnan(survives(interval(0.7, 0.7), interval(0.5, 0.5)))


@pytest.mark.parametrize("mode", ["full", *STEPS])
def test_the_part_of_the_picture_is_told_by_the_step(make_class_run: Callable[..., Path], mode: str):
    assert lungs_mode(read_run(make_class_run(config=step(mode), **QUICK))) == mode


def test_the_part_of_the_picture_may_be_said_in_the_data(make_class_run: Callable[..., Path]):
    data = {"data": {"lungs": "border_only", "classes": ["a", "b"], "sources": {"kermany": {}}}}
    assert lungs_mode(read_run(make_class_run(config=data, classes=("a", "b"), **QUICK))) == "border_only"


def test_a_region_filled_as_the_mask_is_told_apart(make_class_run: Callable[..., Path]):
    run = read_run(make_class_run(config=step("lungs_out", fill="mask"), **QUICK))
    assert lungs_mode(run) == "lungs_out_mask"


def test_a_shortcut_is_shown_with_the_share_that_survives(read: Callable[..., Run]):
    runs = [read("a", "border_only", (0.8, 0.7, 0.9)), read("b", "full", (0.9, 0.85, 0.95))]
    blocks = shortcut_blocks(label_runs(runs))
    assert said(blocks) == [
        "From the frame around the lungs the net reaches an AUROC of 0.800 [0.700, 0.900], where the whole picture "
        "gives 0.900: 75 % of what lies above chance survives without lungs; a shortcut is shown."
    ]
    table = next(block for block in blocks if isinstance(block, Table))
    assert [row[0].sub for row in table.rows] == ["full", "border_only"]
    assert [(row[4].text, row[4].sub, row[5].text) for row in table.rows] == [
        ("0.9000", "[0.8500, 0.9500]", "100 %"),
        ("0.8000", "[0.7000, 0.9000]", "75 %"),
    ]
    assert table.rows[1][3].sub == "[0.6000, 0.8000]"


def test_no_shortcut_is_found_where_the_interval_holds_chance(read: Callable[..., Run]):
    runs = [read("a", "full", (0.9, 0.85, 0.95)), read("b", "border_only", (0.52, 0.45, 0.58))]
    assert said(shortcut_blocks(label_runs(runs)))[0].endswith("no shortcut is found.")


def test_without_the_frame_the_hull_speaks_but_does_not_judge(read: Callable[..., Run]):
    runs = [read("a", "full", (0.9, 0.85, 0.95)), read("b", "lungs_out", (0.8, 0.7, 0.9))]
    (text,) = said(shortcut_blocks(label_runs(runs)))
    assert "75 % of what lies above chance survives without lungs" in text
    assert text.endswith("What it is by the frame alone (border_only) was not tried.")
    assert "shortcut is shown" not in text


def test_seeds_are_rows_of_one_table_and_other_nets_have_their_own(read: Callable[..., Run]):
    other = {"model": {"_target_": "lungseg.models.x.Other"}}
    runs = [
        read("a", "full", (0.9, 0.8, 0.95)), read("b", "border_only", (0.8, 0.7, 0.9)),
        read("c", "border_only", (0.7, 0.65, 0.8), seed=1),
    ]  # fmt: skip
    assert len(said(shortcut_blocks(label_runs(runs)))) == 2
    apart = read_run(runs[0].folder.parent / "b")
    changed = Run(**{**vars(apart), "config": {**apart.config, **other}})
    assert shortcut_blocks(label_runs([runs[0], changed])) == ()


def test_a_run_is_held_against_the_whole_picture_of_its_own_seed(read: Callable[..., Run]):
    runs = [
        read("a", "full", (0.9, 0.8, 0.95)), read("b", "full", (0.7, 0.65, 0.8), seed=1),
        read("c", "border_only", (0.7, 0.65, 0.8), seed=1),
    ]  # fmt: skip
    assert "the whole picture gives 0.700: 100 %" in said(shortcut_blocks(label_runs(runs)))[0]


def test_runs_on_the_whole_picture_have_no_table(read: Callable[..., Run]):
    runs = [read("a", "full", (0.9, 0.8, 0.95)), read("b", "full", (0.9, 0.8, 0.95), seed=1)]
    assert shortcut_blocks(label_runs(runs)) == ()


def test_lungs_alone_say_nothing_of_a_shortcut(read: Callable[..., Run]):
    runs = [read("a", "full", (0.9, 0.8, 0.95)), read("b", "lungs_only", (0.8, 0.7, 0.9))]
    assert said(shortcut_blocks(label_runs(runs))) == [
        "No run looks at the picture without lungs: nothing can be said of a shortcut."
    ]


KEPT = {"normal": 0.65, "bacterial": 0.45, "viral": 0.4}


@pytest.fixture
def kept(make_class_run: Callable[..., Path]) -> Callable[..., Run]:
    """Makes runs whose images keep a share of the picture: that of their class, in part, and chance."""

    def make(
        folder: str, mode: str, *, follows: bool = True, train: dict[str, float] | None = None, **more: Any
    ) -> Run:
        fill = {"fill": "mask"} if mode == "lungs_out_mask" else {}
        steps = step("lungs_out" if fill else mode, **fill)
        path = make_class_run(folder, config=steps, **{**QUICK, "n": 60, "n_boot": 200, **more})
        frame = pd.read_parquet(path / "per_sample.parquet")
        noise = np.random.default_rng(0).normal(0, 0.1, len(frame))
        own = frame["label"].map(KEPT).to_numpy() if follows else 0.5
        frame["kept"] = (own + noise).astype(np.float32)
        frame.to_parquet(path / "per_sample.parquet", index=False)
        told = {name: {"n": 10, "mean": mean, "sd": 0.1} for name, mean in (train or KEPT).items()}
        data = json.loads((path / "data.json").read_text())
        (path / "data.json").write_text(json.dumps({**data, "kept": {"train": told, "test": told}}))
        return read_run(path)

    return make


def test_the_share_that_is_kept_is_a_score_of_its_own(kept: Callable[..., Run]):
    found = share_auroc(kept("a", "border_only"), "test")
    assert found.low > 0.6
    assert not share_auroc(kept("b", "border_only", follows=False), "test").low > 0.5


def test_the_direction_of_the_share_is_that_of_the_training_part(kept: Callable[..., Run]):
    turned = {"normal": 0.4, "bacterial": 0.5, "viral": 0.6}
    right, wrong = (share_auroc(kept(f, "border_only", train=t), "test").mean for f, t in (("a", KEPT), ("b", turned)))
    assert right > 0.6
    assert wrong < 0.4  # each class is taken for its opposite


@pytest.mark.parametrize("lost", ["kept", "train", "column"])
def test_a_share_of_which_too_little_is_known_is_no_score(kept: Callable[..., Run], lost: str):
    run = kept("a", "border_only")
    if lost == "column":
        assert run.samples is not None
        run = Run(**{**vars(run), "samples": run.samples.drop(columns="kept")})
    else:
        data = {"kept": {key: value for key, value in run.data["kept"].items() if key != lost}}
        run = Run(**{**vars(run), "data": {} if lost == "kept" else data})
    assert math.isnan(share_auroc(run, "test").mean)


def test_what_is_left_of_the_picture_stands_by_class(kept: Callable[..., Run], read: Callable[..., Run]):
    runs = [read("a", "full", (0.9, 0.85, 0.95)), kept("b", "border_only"), kept("c", "lungs_only", follows=False)]
    blocks = shortcut_blocks(label_runs(runs))
    table = next(
        block for block in blocks if isinstance(block, Table) and block.caption == "What is left of the picture"
    )
    assert [row[0].sub for row in table.rows] == ["lungs_only", "border_only"]
    assert [(cell.text, cell.sub) for cell in table.rows[1][2:5]] == [(f"{p} %", "sd 10 %") for p in (65, 45, 40)]
    assert float(table.rows[1][5].text) == pytest.approx(share_auroc(runs[1], "test").mean, abs=1e-4)
    assert said(blocks)[-1].startswith("The size of the region that is filled tells the classes apart by itself, with")
    assert "lungs_only" not in said(blocks)[-1]


def test_a_share_by_chance_tells_nothing(kept: Callable[..., Run], read: Callable[..., Run]):
    runs = [read("a", "full", (0.9, 0.85, 0.95)), kept("b", "border_only", follows=False)]
    last = said(shortcut_blocks(label_runs(runs)))[-1]
    assert last.startswith("That the size of the region that is filled tells the classes apart is not shown: AUROC 0.")


def outline(runs: list[Run]) -> list[str]:
    return [text for text in said(shortcut_blocks(label_runs(runs))) if text.startswith("The outline")]


@pytest.mark.parametrize(
    ("hull", "mask", "verdict"),
    [(0.0, 4.0, "it tells of the class"), (4.0, 0.0, "the net does worse with it"), (1.0, 1.0, "is not shown")],
)
def test_the_outline_is_worth_what_it_adds_on_the_same_images(
    kept: Callable[..., Run], hull: float, mask: float, verdict: str
):
    runs = [kept("a", "lungs_out", skill=hull), kept("b", "lungs_out_mask", skill=mask)]
    (text,) = outline(runs)
    assert text.endswith(f"{verdict}.")
    one, other = (run.scores()[0].metric("auroc").mean for run in runs)
    assert f"changes the AUROC by {other - one:+.3f} [".replace("-", "\N{MINUS SIGN}") in text
    assert "on the same 60 images" in text


def test_runs_on_other_images_or_of_other_seeds_are_not_set_against_each_other(kept: Callable[..., Run]):
    hull = kept("a", "lungs_out")
    assert outline([hull, kept("b", "lungs_out_mask", n=50)]) == []
    assert outline([hull, kept("c", "lungs_out_mask", seed=1)]) == []
