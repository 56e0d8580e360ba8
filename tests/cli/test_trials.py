"""Overrides of tune's command line that are meant for its trials."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungseg.cli.arguments import read
from lungseg.cli.composition import Composer
from lungseg.cli.trials import gathered
from lungseg.config import config_dir
from lungseg.errors import ConfigError


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer("tune", config_dir())


def config(composer: Composer, *words: str) -> dict[str, object]:
    return composer.compose(gathered(read(["tune", *words]), composer)).config


def test_what_tune_has_no_key_for_is_given_to_the_trials(composer: Composer) -> None:
    found = config(
        composer, "search=loss_grid", "experiment=resunet_jsrt", "seed=3", "model.features=[4,8]", "workers=2",
        "~logger", "size=small", "data.sources.jsrt.root='/a b'",
    )  # fmt: skip
    assert found["run"] == [
        "experiment=resunet_jsrt", "model.features=[4,8]", "~logger", "size=small", "data.sources.jsrt.root='/a b'",
    ]  # fmt: skip
    assert (found["seed"], found["workers"]) == (3, 2)


def test_folders_are_given_to_both(composer: Composer) -> None:
    found = config(composer, "paths.outputs=elsewhere")
    assert found["run"] == ["paths.outputs=elsewhere"]
    assert found["paths"]["outputs"] == "elsewhere"  # type: ignore[index]


def test_keys_of_the_search_need_no_plus_and_keys_of_its_space_may_be_new(composer: Composer) -> None:
    found = config(composer, "search.pruner_startup=2", "search.space.model.dropout={low:0.0,high:0.5}")["search"]
    assert found["pruner_startup"] == 2  # type: ignore[index]
    assert found["space"]["model"] == {"dropout": {"low": 0.0, "high": 0.5}}  # type: ignore[index]


def test_a_list_that_is_given_is_joined(composer: Composer) -> None:
    assert config(composer, "run=['loss=dice','seed=1']", "model=unet")["run"] == ["loss=dice", "seed=1", "model=unet"]


def test_further_folders_of_yaml_files_reach_the_trials(composer: Composer, tmp_path: Path) -> None:
    request = read(["tune", "--config-dir", str(tmp_path)])
    assert composer.compose(gathered(request, composer)).config["config_dirs"] == [str(tmp_path)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["workrs=2"], "did you mean `workers`"),
        (["search=learning_rat"], "did you mean search=learning_rate"),
        (["resume=outputs/x"], "the same command goes on with the study"),
        (["-m", "loss=bce,dice"], "takes no -m; for all combinations give search.method=grid"),
    ],
)
def test_mistakes_are_those_of_tune(composer: Composer, words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config(composer, *words)
