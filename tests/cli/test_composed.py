from __future__ import annotations

import dataclasses

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError

from lungseg.cli.composed import Composed, plain


def test_interpolations_are_resolved() -> None:
    cfg = OmegaConf.create({"paths": {"outputs": "out", "store": "${paths.outputs}/store"}, "name": "x"})
    assert plain(cfg, "train", None)["paths"] == {"outputs": "out", "store": "out/store"}


def test_containers_are_plain_to_the_bottom() -> None:
    cfg = OmegaConf.create({"paths": {"outputs": "out"}, "model": {"features": [8, {"a": [1]}]}})
    found = plain(cfg, "train", "here")["model"]["features"]
    assert (type(found), type(found[1]), type(found[1]["a"])) == (list, dict, list)


def test_the_given_folder_is_the_runs() -> None:
    cfg = OmegaConf.create({"paths": {"outputs": "out"}, "name": "x"})
    assert plain(cfg, "train", "outputs/here")["run_dir"] == "outputs/here"


@pytest.mark.parametrize(
    ("root", "folder"),
    [
        ({"name": "x"}, "out/x/not_started"),
        ({"name": "???"}, "out/report/not_started"),
        ({"name": None}, "out/report/not_started"),
        ({}, "out/report/not_started"),
    ],
    ids=["named", "open", "null", "no-name"],
)
def test_a_stand_in_for_the_folder_is_named_after_the_run_or_else_the_verb(root: dict[str, str], folder: str) -> None:
    cfg = OmegaConf.create({"paths": {"outputs": "out"}, **root})
    assert plain(cfg, "report", None)["run_dir"] == folder


def test_the_composed_configuration_can_refer_to_the_folder() -> None:
    cfg = OmegaConf.create({"paths": {"outputs": "out"}, "logger": {"dir": "${run_dir}/tb", "of": "${verb}"}})
    assert plain(cfg, "train", "r")["logger"] == {"dir": "r/tb", "of": "train"}
    assert cfg.run_dir == "r"  # what Hydra hands to the job has it too


def test_a_typed_configuration_takes_the_keys_of_the_program() -> None:
    cfg = OmegaConf.create({"paths": {"outputs": "out"}})
    OmegaConf.set_struct(cfg, True)
    assert plain(cfg, "check", None)["verb"] == "check"


def test_a_reference_to_nothing_is_an_error() -> None:
    cfg = OmegaConf.create({"paths": {"outputs": "out"}, "a": "${b}"})
    with pytest.raises(InterpolationKeyError, match="'b' not found"):
        plain(cfg, "train", None)


def test_what_was_composed_cannot_be_exchanged() -> None:
    composed = Composed({"seed": 0}, ["seed=0"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        composed.multirun = True  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("disk", "disk"),
        ("/runs/a", "/runs/a"),
        ("runs/a", "{here}/runs/a"),
        ("~/a", "{home}/a"),
        ("", ""),
        (None, None),
    ],
)
def test_the_place_of_lung_masks_can_be_found_from_any_folder(given, kept, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/her")
    expected = kept and kept.format(here=tmp_path, home="/home/her")
    target = "lungseg.data.preprocess.lungs_only.LungsOnly"
    steps = {"lungs": {"_target_": target, "masks": "${lung_masks}"}, "grey": None, "own": {"masks": "left"}}
    cfg = OmegaConf.create({"paths": {"outputs": "o"}, "lung_masks": given, "preprocess": {"steps": steps}})
    found = plain(cfg, "train", None)
    assert (found["lung_masks"], found["preprocess"]["steps"]["lungs"]["masks"]) == (expected, expected)
    assert found["preprocess"]["steps"]["own"]["masks"] == "left"
