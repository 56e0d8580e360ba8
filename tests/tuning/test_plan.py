"""Every key of a search is held against the configuration of its trials before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lungseg.config import config_dir
from lungseg.errors import ConfigError
from lungseg.tuning.plan import Plan, make_plan
from lungseg.tuning.search import Objective, read_search

RATE = {"optimizer.lr": {"low": 1e-4, "high": 1e-2, "log": True}}


def plan(space: dict[str, Any], *lines: str, **search: Any) -> Plan:
    found = read_search({"name": "toy", "method": "random", "trials": 3, "space": space, **search})
    return make_plan(found, lines, config_dir(), [], seed=7)


def test_a_trial_is_its_overrides_its_values_and_its_seed() -> None:
    made = plan(RATE, "experiment=phantom", "model.features=[4,8]")
    assert made.overrides({"optimizer.lr": 0.001}, 5) == [
        "experiment=phantom", "model.features=[4,8]", "optimizer.lr=0.001", "seed=12", "split_seed=7", "test=none",
        "report=false",
    ]  # fmt: skip
    assert made.command({"optimizer.lr": 0.001}, 5, Path("out/a b"))[-1] == "hydra.run.dir='out/a b'"
    assert made.resuming(Path("out/x")) == ["train", "resume='out/x'"]


def test_without_objectives_the_runs_monitor_is_sought() -> None:
    made = plan(RATE, "monitor=val/loss", "monitor_mode=min")
    assert made.search.objectives == (Objective("val/loss", "min"),)


def test_the_epochs_of_a_trial_are_known_unless_they_are_varied() -> None:
    assert plan(RATE, "trainer.max_epochs=4").epochs == 4
    assert plan({"trainer.max_epochs": {"low": 2, "high": 4}}).epochs is None


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"optimizer.lrr": {"low": 0.1, "high": 0.2}}, r"search\.space\.optimizer\.lrr.*did you mean `lr`"),
        ({"model.dropot": [0.1, 0.2]}, r"search\.space\.model\.dropot.*did you mean `dropout`"),
        ({"losss": ["bce", "dice"]}, r"search\.space\.losss=bce.*did you mean `loss`"),
        ({"loss": ["bce", "dicee"]}, r"search\.space\.loss=dicee: no such choice; did you mean loss=dice"),
        ({"trainer.max_epochs": {"low": 0.5, "high": 2.5}}, r"search\.space\.trainer\.max_epochs=0\.5"),
        ({"model.init_skip": ["conv", "convv"]}, r"search\.space\.model\.init_skip=convv"),
        ({"data.batch_size": {"low": 0, "high": 4}}, r"search\.space\.data\.batch_size=0 is below 1"),
    ],
)
def test_a_key_or_value_that_no_trial_would_take_is_named(space: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(space)


def test_a_wrong_key_is_told_once_although_every_key_is_tried_beside_it() -> None:
    with pytest.raises(ConfigError) as caught:
        plan({"optimizer.lrr": [0.1, 0.2], "loss": ["bce", "dice"], "model.dropout": [0.1, 0.2, 0.3]})
    assert str(caught.value).count("lrr") <= 4
    assert "model.dropout" not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["seed", "split_seed", "test", "report", "name", "resume", "hydra.run.dir", "paths.store"]
)
def test_keys_that_are_no_matter_of_learning_cannot_be_varied(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"search\.space\.{key}: cannot be varied"):
        plan({key: ["1", "2"]})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("seed=3", "seed: no override of a trial"),
        ("test=best", "only the validation part may choose"),
        ("sweep=seeds", "sweep: no override of a trial"),
        ("optimizer.lr=0.1", "is varied, and given as optimizer.lr=... too"),
        ("modle=resunet", "did you mean `model`"),
    ],
)
def test_overrides_that_no_trial_may_have_are_refused(line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(RATE, line)


def test_an_objective_against_the_runs_monitor_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"val/dice: min, but monitor_mode=max"):
        plan(RATE, objectives={"val/dice": "min"})


def test_two_studies_are_told_apart_by_what_their_trials_learn_and_not_by_where() -> None:
    one = plan(RATE, "experiment=phantom").settings()
    assert plan(RATE, "experiment=phantom", "paths.outputs=elsewhere").settings() == one
    assert plan(RATE, "experiment=phantom", "model.features=[4,8]").settings() != one
    assert plan({**RATE, "loss": ["bce", "dice"]}, "experiment=phantom").settings() != one
