"""Choosing on the validation part: what is searched, what is refused, and that the test part plays no part."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lungseg import checkpoint
from lungseg.callbacks.postprocess_choice import PostprocessChoice
from lungseg.errors import ConfigError
from lungseg.postprocess.chain import Postprocess
from lungseg.postprocess.threshold import Threshold
from tests.toy import phantom_config, toy_data, toy_task, toy_tester


class Bright(torch.nn.Module):
    """Logits that are above 0 where the image is above 0.3: too much, since discs are above 0.58."""

    def forward(self, image):
        return 10 * (image - 0.3)


def nothing(masks: np.ndarray) -> np.ndarray:
    """A step that spoils every mask."""
    return np.zeros_like(masks)


def same(masks: np.ndarray) -> np.ndarray:
    return masks


@pytest.fixture
def setting(tmp_path):
    data = toy_data(tmp_path / "store", n=8, val=3)
    task = toy_task()
    task.model = Bright()
    trainer, _ = toy_tester(tmp_path / "run")
    trainer.callbacks.clear()
    trainer.test(task, datamodule=data, verbose=False)  # attaches the datamodule
    return trainer, task


def chosen(setting, steps, search):
    return PostprocessChoice(postprocess=Postprocess(steps), search=search).choose(*setting)


def test_the_threshold_is_the_one_with_the_best_validation_dice(setting):
    found = chosen(setting, {"threshold": Threshold()}, ["threshold"])
    # noise ends at 80 / 255 = 0.31 and discs begin at 150 / 255 = 0.59, but for the averages at their edges
    assert 0.55 <= found.threshold <= 0.95
    assert found.candidates["threshold"] == found.dice
    plain = chosen(setting, {"threshold": Threshold()}, [])
    assert found.dice > plain.dice
    assert found.n == 3


def test_a_step_that_spoils_the_masks_is_left_out_and_one_that_does_nothing_stays(setting):
    steps = {"threshold": Threshold(), "same": same, "nothing": nothing}
    found = chosen(setting, steps, ["same", "nothing"])
    assert found.steps == ("threshold", "same")
    assert found.threshold is None
    assert set(found.candidates) == {
        "threshold + same + nothing", "threshold + same", "threshold + nothing", "threshold",
    }  # fmt: skip
    assert found.candidates["threshold + nothing"] == 0


def test_a_step_that_is_not_searched_stays_whatever_it_does(setting):
    assert chosen(setting, {"threshold": Threshold(), "nothing": nothing}, ["threshold"]).steps == (
        "threshold", "nothing",
    )  # fmt: skip


def test_it_leaves_the_trainer_as_it_was(setting):
    chosen(setting, {"threshold": Threshold()}, ["threshold"])
    assert setting[0].callbacks == []


def test_a_mistyped_step_suggests_the_near_one():
    with pytest.raises(ConfigError, match=r"postprocess\.search names 'treshold'.*did you mean threshold"):
        PostprocessChoice(postprocess=Postprocess({"threshold": Threshold()}), search=["treshold"])


def test_a_first_step_without_a_value_cannot_be_searched():
    with pytest.raises(ConfigError, match=r"names 'otsu', the step that makes masks"):
        PostprocessChoice(postprocess=Postprocess({"otsu": lambda p: p > p.mean()}), search=["otsu"])


def test_without_a_validation_part_there_is_nothing_to_choose_on(tmp_path, setting):
    trainer, task = setting
    trainer.datamodule._codes[:] = 1  # all train
    with pytest.raises(ConfigError, match="needs a validation part"):
        chosen((trainer, task), {"threshold": Threshold()}, ["threshold"])


@pytest.mark.usefixtures("one_process")
def test_a_run_keeps_its_choice_in_the_tested_checkpoint_and_tests_with_it(tmp_path):
    from lungseg.commands import train

    folder = tmp_path / "run"
    train.run(phantom_config("train", folder, "postprocess=chosen"))
    said = json.loads((folder / "postprocess.json").read_text())
    value = said["steps"]["threshold"]["value"]
    loaded = checkpoint.load(folder)
    assert loaded.record["config"]["postprocess"]["steps"] == said["steps"]
    assert loaded.record["threshold"] == value
    assert json.loads((folder / "metrics.json").read_text())["threshold"] == value
    assert said["part"] == "val"
    assert set(said["candidates"].values()) != {0}


def test_choosing_and_testing_on_one_part_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"postprocess\.search=.*chooses on the validation part"):
        phantom_config("train", tmp_path / "run", "postprocess=chosen", "test_parts=[val]")
