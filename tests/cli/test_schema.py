from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, ValidationError

from lungseg.cli import schema
from lungseg.cli.schema import SCHEMAS, TrainSchema, names, register
from lungseg.config import config_dir, verbs


def test_every_verb_has_a_schema() -> None:
    assert set(SCHEMAS) == set(verbs())


def package(group: str) -> str:
    """Return the key that the files of a group stand below."""
    for file in sorted((config_dir() / group).glob("*.yaml")):
        first = file.read_text(encoding="utf-8").partition("\n")[0]
        if first.startswith("# @package ") and not first.endswith("_"):
            return first.removeprefix("# @package ")
    return group


@pytest.mark.parametrize("verb", SCHEMAS)
def test_a_root_file_states_every_key_of_its_schema_and_no_other(verb: str) -> None:
    file = config_dir() / f"{verb}.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    groups = {package(next(iter(entry))) for entry in content.pop("defaults") if isinstance(entry, dict)}
    typed = {entry.name for entry in fields(SCHEMAS[verb])}
    assert set(content) <= typed
    assert typed - set(content) <= groups  # the rest comes from the group of that name


@pytest.mark.parametrize("verb", SCHEMAS)
def test_a_root_file_lists_its_schema_first(verb: str) -> None:
    content = yaml.safe_load((config_dir() / f"{verb}.yaml").read_text(encoding="utf-8"))
    assert content["defaults"][0] == f"{verb}_schema"


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(ValidationError, match="abc"):
        OmegaConf.merge(OmegaConf.structured(TrainSchema), {"seed": "abc"})


def test_a_key_that_is_not_typed_is_refused() -> None:
    with pytest.raises(ConfigKeyError, match="sede"):
        OmegaConf.merge(OmegaConf.structured(TrainSchema), {"sede": 1})


def test_a_group_may_hold_anything_or_nothing() -> None:
    merged = OmegaConf.merge(OmegaConf.structured(TrainSchema), {"model": {"a": [1]}, "scheduler": None})
    assert (merged.model.a[0], merged.scheduler) == (1, None)


def test_printed_figures_are_numbers_under_any_name() -> None:
    merged = OmegaConf.merge(OmegaConf.structured(TrainSchema), {"paper": {"reported": {"dice": 1}}})
    assert merged.paper.reported.dice == 1.0


def test_names_of_a_schema_hold_those_that_all_verbs_share() -> None:
    # `paths` is VerbSchema's; the others stand in CheckSchema
    assert names("CheckSchema") == ["paths", "output", "sheet", "data"]


def test_an_unknown_schema_has_no_names() -> None:
    assert names("Path") == []


def test_registered_schemas_are_found_by_the_name_in_the_root_files() -> None:
    register()
    stored = {Path(name).stem for name in ConfigStore.instance().list("")}
    assert {f"{verb}_schema" for verb in schema.SCHEMAS} <= stored
