from __future__ import annotations

from pathlib import Path

import pytest

from lungseg import config
from lungseg.config import check, compose, config_dir, verbs
from lungseg.errors import ConfigError


def test_compose_gives_a_plain_resolved_dict_with_the_keys_of_the_program() -> None:
    cfg = compose("train", ["seed=3"], run_dir="outputs/here")
    assert (cfg["verb"], cfg["overrides"], cfg["run_dir"], cfg["seed"]) == ("train", ["seed=3"], "outputs/here", 3)
    assert type(cfg["model"]) is dict
    assert cfg["paths"]["store"] == "outputs/store"  # ${paths.outputs}/store


def test_an_unknown_verb_is_refused_with_the_near_one() -> None:
    with pytest.raises(ConfigError, match="did you mean train"):
        compose("trian")


def test_a_key_that_must_be_given_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"2 problems:\n.*checkpoint is not set.*\n.*input is not set"):
        compose("predict")


def test_check_collects_what_several_keys_decide() -> None:
    with pytest.raises(ConfigError, match="3 problems"):
        check(
            {
                "verb": "train",
                "seed": -1,
                "test": "best",
                "test_parts": [],
                "monitor": "val/loss",
                "monitor_mode": "max",
            }
        )


def test_verbs_are_found_from_their_two_files() -> None:
    for verb, file in verbs().items():
        assert file.stem == verb
        assert (config.PACKAGE / "commands" / f"{verb}.py").is_file()


def test_the_configuration_inside_the_package_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path / "lungseg" / "conf", tmp_path / "conf"):
        folder.mkdir(parents=True)
        (folder / "train.yaml").touch()
    monkeypatch.setattr(config, "PACKAGE", tmp_path / "lungseg")
    assert config_dir() == tmp_path / "lungseg" / "conf"  # as in a wheel
    (tmp_path / "lungseg" / "conf" / "train.yaml").unlink()
    assert config_dir() == tmp_path / "conf"  # as in a clone
    (tmp_path / "conf" / "train.yaml").unlink()
    with pytest.raises(ConfigError, match="installation is damaged"):
        config_dir()


@pytest.mark.parametrize("verb", ["train", "prepare"])
def test_lung_masks_that_are_not_there_are_missed_before_anything_starts(verb: str, tmp_path: Path) -> None:
    (tmp_path / "resunet_jsrt").mkdir()
    lines = ["lungs=lungs_only", f"lung_masks={tmp_path / 'resunet_jrst'}"]
    said = rf"lung_masks=.*/resunet_jrst does not exist; did you mean {tmp_path}/resunet_jsrt\? Give disk, a segm"
    with pytest.raises(ConfigError, match=said):
        compose(verb, lines)
    assert compose(verb, ["lungs=lungs_only", f"lung_masks={tmp_path / 'resunet_jsrt'}"])
    assert compose(verb, lines[1:])  # of the whole picture, which needs none


def test_an_empty_place_of_lung_masks_is_none() -> None:
    with pytest.raises(ConfigError, match="lung_masks is empty; give disk"):
        compose("train", ["lungs=border_only", "lung_masks="])
