"""In what a run departs from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lungseg.report.reader import Run
from lungseg.report.recipe import Recipe, departures


def run(*, config: dict[str, Any] | None = None, **more: Any) -> Run:
    return Run(Path("r"), config=config or {}, **more)


def test_a_run_set_to_the_recipe_departs_from_nothing():
    config = {"trainer": {"max_epochs": 60}, "loss": {"_target_": "lungseg.losses.dice.DiceLoss"}, "scheduler": None}
    recipe = Recipe(stated={"trainer.max_epochs": 60}, chosen={"loss": "DiceLoss", "scheduler": None})
    assert departures(run(config=config), recipe) == []


@pytest.mark.parametrize(
    ("config", "key", "theirs", "said"),
    [
        ({"trainer": {"max_epochs": 1}}, "trainer.max_epochs", 60, "It was set to 1 epoch; the paper trains for 60."),
        ({"data": {"batch_size": 4}}, "data.batch_size", 16, "Its batch size is 4; the paper’s is 16."),
        (
            {"preprocess": {"steps": {"resize": {"size": [128, 128]}}}},
            "preprocess.steps.resize.size",
            [300, 340],
            "Its input size is 128 x 128; the paper’s is 300 x 340.",
        ),
        (
            {"augment": {"_target_": "lungseg.data.augment.none.NoAugmentation"}},
            "augment",
            "KerasAffine",
            "Its augmentation is NoAugmentation; the paper’s is KerasAffine.",
        ),
        (
            {"data": {"sources": {"shenzhen": {}, "jsrt": {}, "mc_sh": None}}},
            "data.sources",
            ["mc_sh"],
            "Its data set is JSRT and Shenzhen; the paper’s is MC+SH.",
        ),
        ({"scheduler": None}, "scheduler", "StepLR", "Its schedule is none; the paper’s is StepLR."),
        ({"model": {"depth": 4}}, "model.depth", 5, "Its `model.depth` is 4; the paper’s is 5."),
    ],
    ids=["epochs", "number", "size", "object", "sources", "null", "a-key-without-a-name"],
)  # fmt: skip
def test_a_departure_is_said_in_words(config: dict[str, Any], key: str, theirs: Any, said: str):
    assert departures(run(config=config), Recipe(stated={key: theirs})) == [said]


def test_what_the_paper_does_not_state_is_not_called_the_papers():
    found = departures(run(config={"optimizer": {"lr": 0.1}}), Recipe(chosen={"optimizer.lr": 0.001}))
    assert found == ["Its learning rate is 0.1; the full recipe’s, where the paper states none, is 0.001."]


def test_what_the_run_folder_does_not_tell_is_no_departure():
    assert departures(run(), Recipe(stated={"trainer.max_epochs": 60, "loss": "DiceLoss"}, images={"test": 5})) == []


def test_the_size_is_that_of_the_nets_input():
    # a crop before the net: the step of the config says less than model.json
    config = {"preprocess": {"steps": {"resize": {"size": [256, 256]}}}}
    small = run(config=config, model={"input_size": [128, 128]})
    (said,) = departures(small, Recipe(stated={"preprocess.steps.resize.size": [256, 256]}))
    assert said.startswith("Its input size is 128 x 128")


def test_a_run_that_stopped_early_says_so():
    stopped = run(config={"trainer": {"max_epochs": 60}}, epochs=pd.DataFrame({"epoch": [1, 2, 3]}))
    assert departures(stopped, Recipe()) == ["It stopped after epoch 3 of 60."]


@pytest.mark.parametrize(
    ("limit", "limited"),
    [(2, True), (0.5, True), (1, True), (1.0, False), (0.0, False), (None, False)],
    ids=["batches", "share", "one-batch", "all", "off", "not-set"],
)
def test_a_part_of_the_images_is_a_departure(limit: float | None, limited: bool):
    found = departures(run(config={"trainer": {"limit_train_batches": limit}}), Recipe())
    assert found == ([f"It saw only a part of its images: trainer.limit_train_batches={limit}."] if limited else [])


def test_another_size_of_the_net_is_a_departure():
    assert departures(run(model={"parameters": 12}), Recipe(parameters=(1000, 2000))) == [
        "Its net has 12 parameters; the paper’s has 1,000 or 2,000."
    ]


def test_other_numbers_of_images_are_departures_part_by_part():
    data = {"split": {"counts": {"train": 1, "val": 48, "test": 0}}}
    found = departures(run(data=data), Recipe(images={"train": 904, "val": 48, "test": 20}))
    assert found == [
        "Its training part holds 1 image; the paper’s 904.",
        "Its test part holds 0 images; the paper’s 20.",
    ]
