"""Several processes give what one process gives."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import torch

from lungseg import distributed
from tests.ranks import chosen, exchange, plain_task, together, trained, trained_classes
from tests.toy import toy_data


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return tmp_path_factory.mktemp("stores")


def same(one: dict[str, float], other: dict[str, float], within: float) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert other[name] == pytest.approx(value, abs=within, nan_ok=True), name


def test_alone_everything_is_given_back():
    rows = torch.ones(3, 2)

    assert distributed.processes() == 1
    assert distributed.is_first()
    assert distributed.join(rows) is rows
    assert distributed.gather("x") == ["x"]
    assert distributed.any_says(True)
    assert not distributed.any_says(False)


def test_processes_exchange_rows_of_any_number_and_objects(tmp_path):
    found = together(exchange, 3, tmp_path)

    assert [each["first"] for each in found] == [True, False, False]
    for each in found:
        assert each["processes"] == 3
        assert each["gathered"] == [{"rank": 0}, {"rank": 1}, {"rank": 2}]
        assert each["joined"] == [[10, 11], [20, 21], [22, 23]]
        assert each["empty"] == (0, 3)
        assert not each["none"]
        assert each["last"]


@pytest.fixture(scope="module")
def one(stores, tmp_path_factory):
    """One process with 12 images a step; 17 train, so the last step has 5; 7 are tested."""
    return together(trained, 1, tmp_path_factory.mktemp("one"), stores / "a", tmp_path_factory.mktemp("run"), 24, 7, 12)


@pytest.mark.parametrize("world", [2, 3, 4])
def test_training_and_results_are_those_of_one_process(world, one, stores, tmp_path):
    found = together(trained, world, tmp_path / "passed", stores / "a", tmp_path / "run", 24, 7, 12)

    for each in found:
        assert len(each["epochs"]) == 2
        for ours, theirs in zip(each["epochs"], one[0]["epochs"], strict=True):
            same(theirs, ours, 1e-6)
        for name, value in one[0]["weights"].items():
            torch.testing.assert_close(each["weights"][name], value, rtol=0, atol=1e-6)
    pd.testing.assert_frame_equal(found[0]["frame"], one[0]["frame"], rtol=0, atol=1e-6)
    assert all(each["frame"] is None for each in found[1:])
    assert found[0]["running"]["loss_count"] == one[0]["running"]["loss_count"]


def test_the_same_weights_have_the_same_results_to_twelve_digits(stores, tmp_path):
    """Without a step between, not even the order of sums in a gradient differs."""
    whole = together(trained, 1, tmp_path / "p1", stores / "a", tmp_path / "r1", 24, 7, 12, 0)
    found = together(trained, 3, tmp_path / "p3", stores / "a", tmp_path / "r3", 24, 7, 12, 0)

    pd.testing.assert_frame_equal(found[0]["frame"], whole[0]["frame"], rtol=0, atol=1e-12)


def test_a_step_with_fewer_images_than_processes_counts_each_once(stores, tmp_path):
    whole = together(trained, 1, tmp_path / "p1", stores / "b", tmp_path / "r1", 17, 4, 12)  # 13 train: 12 + 1
    found = together(trained, 4, tmp_path / "p4", stores / "b", tmp_path / "r4", 17, 4, 12)

    for ours, theirs in zip(found[3]["epochs"], whole[0]["epochs"], strict=True):
        same(theirs, ours, 1e-6)


def test_labels_and_their_thresholds_are_those_of_one_process(stores, tmp_path):
    whole = together(trained_classes, 1, tmp_path / "p1", stores / "c", tmp_path / "r1", 23, 7, 6)
    found = together(trained_classes, 3, tmp_path / "p3", stores / "c", tmp_path / "r3", 23, 7, 6)

    for each in found:
        for ours, theirs in zip(each["epochs"], whole[0]["epochs"], strict=True):
            same(theirs, ours, 1e-6)
        assert each["thresholds"].keys() == whole[0]["thresholds"].keys()
        for name, threshold in whole[0]["thresholds"].items():
            assert each["thresholds"][name].threshold == pytest.approx(threshold.threshold, abs=1e-6)
    pd.testing.assert_frame_equal(found[0]["frame"], whole[0]["frame"], rtol=0, atol=1e-6)


def test_the_postprocessing_chosen_is_that_of_one_process(stores, tmp_path):
    whole = together(chosen, 1, tmp_path / "p1", stores / "a", tmp_path / "r1", 24, 7)[0]

    for each in together(chosen, 2, tmp_path / "p2", stores / "a", tmp_path / "r2", 24, 7):
        assert (each.threshold, each.steps, each.n) == (whole.threshold, whole.steps, whole.n)
        assert each.dice == pytest.approx(whole.dice, abs=1e-12)


def test_a_sample_without_a_share_counts_nowhere(stores):
    data, task = toy_data(stores / "a", n=24, val=7, batch_size=3), plain_task()
    batch = next(iter(data.train_dataloader()))
    batch = data.on_after_batch_transfer(batch, 0)

    loss = task.training_step({**batch, "share": 0.0}, 0)

    assert loss.item() == 0
    assert math.isnan(task.mean_loss())
