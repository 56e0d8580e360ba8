from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf import OmegaConf

from lungseg.cli.schema import TrainSchema
from lungseg.cli.translate import Origin, sentence
from lungseg.errors import ConfigError


def caught(act: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as found:  # noqa: PT011  the translation is what is tested
        act()
    return found.value


def merged(values: dict[str, Any]) -> Exception:
    return caught(lambda: OmegaConf.merge(OmegaConf.structured(TrainSchema), values))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "data").mkdir(parents=True)
    return tmp_path / "conf"


ORIGIN = Origin("train", [])


class TestWhereAKeyWasSet:
    def test_the_file_and_the_line_are_given(self, folder: Path) -> None:
        file = folder / "train.yaml"
        file.write_text("# first\nseed: 0\nname: x\n")
        origin = Origin("train", [folder], used=lambda: [("", file)])
        assert origin.of("name") == " (conf/train.yaml, line 3)"

    def test_a_key_of_that_name_in_another_node_is_not_meant(self, folder: Path) -> None:
        file = folder / "train.yaml"
        file.write_text("model:\n  size: 1\ndata:\n  size: 2\n")
        origin = Origin("train", [folder], used=lambda: [("", file)])
        assert origin.of("data.size") == " (conf/train.yaml, line 4)"

    def test_text_that_only_looks_like_the_key_is_not_meant(self, folder: Path) -> None:
        file = folder / "train.yaml"
        file.write_text("note: 'give seed: 3'\nseed: 0\n")
        origin = Origin("train", [folder], used=lambda: [("", file)])
        assert origin.of("seed") == " (conf/train.yaml, line 2)"

    def test_a_file_of_a_group_speaks_of_its_own_package(self, folder: Path) -> None:
        file = folder / "data" / "mine.yaml"
        file.write_text("batch_size: 4\n")
        origin = Origin("train", [folder], used=lambda: [("data", file)])
        assert origin.of("data.batch_size") == " (conf/data/mine.yaml, line 1)"
        assert origin.of("batch_size") == ""

    def test_the_file_that_was_merged_last_is_named(self, folder: Path) -> None:
        first, last = folder / "a.yaml", folder / "b.yaml"
        first.write_text("seed: 1\n")
        last.write_text("\nseed: 2\n")
        origin = Origin("train", [folder], used=lambda: [("", first), ("", last)])
        assert origin.of("seed") == " (conf/b.yaml, line 2)"

    @pytest.mark.parametrize("given", ["data", "data.size"])
    def test_what_the_command_line_set_came_from_no_file(self, folder: Path, given: str) -> None:
        file = folder / "train.yaml"
        file.write_text("data: {size: 2}\n")
        assert Origin("train", [folder], {given}, lambda: [("", file)]).of("data.size") == ""

    def test_a_key_that_no_file_has_came_from_none(self, folder: Path) -> None:
        file = folder / "train.yaml"
        file.write_text("seed: 0\n")
        assert Origin("train", [folder], used=lambda: [("", file)]).of("seed.deep") == ""

    def test_an_empty_file_sets_nothing(self, folder: Path) -> None:
        file = folder / "train.yaml"
        file.write_text("# only a comment\n")
        assert Origin("train", [folder], used=lambda: [("", file)]).of("seed") == ""


class TestWhoAskedForAChoice:
    @pytest.mark.parametrize("line", ["- model: unet", "- override /model: unet  # wide", "- optional model: 'unet'"])
    def test_the_line_of_the_defaults_list_is_named(self, folder: Path, line: str) -> None:
        (folder / "train.yaml").write_text(f"defaults:\n  - _self_\n  {line}\n")
        assert Origin("train", [folder]).asking("model", "unet") == "conf/train.yaml, line 3"

    def test_a_longer_choice_is_another_one(self, folder: Path) -> None:
        (folder / "train.yaml").write_text("defaults:\n  - model: unet_wide\n")
        assert Origin("train", [folder]).asking("model", "unet") == ""


class TestSentences:
    def test_a_mistyped_root_key_gets_the_near_one(self) -> None:
        assert sentence(merged({"sede": 1}), ORIGIN) == "`sede` is no key of train; did you mean `seed`?"

    def test_a_mistyped_key_of_a_node_gets_its_place(self) -> None:
        assert (
            sentence(merged({"paper": {"ky": "x"}}), ORIGIN) == "`paper.ky` is no key of `paper`; did you mean `key`?"
        )

    def test_a_key_unlike_all_gets_the_whole_list(self) -> None:
        assert sentence(merged({"paths": {"zzz": "x"}}), ORIGIN).endswith(
            ", which has: data, outputs, store, cache, cache_gb, results"
        )

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"seed": "abc"}, "seed=abc is not a whole number"),
            ({"report": "maybe"}, "report=maybe is not true or false"),
            ({"paper": {"reported": {"dice": "good"}}}, "paper.reported.dice=good is not a number"),
        ],
    )
    def test_a_value_of_another_type_is_told_with_what_is_wanted(self, values: dict[str, Any], said: str) -> None:
        assert sentence(merged(values), ORIGIN) == said

    def test_an_override_is_named_before_what_is_wrong_with_it(self) -> None:
        error = merged({"sede": 1})
        assert sentence(error, ORIGIN, "+sede=1").startswith("+sede=1: `sede` is no key")

    def test_our_own_errors_keep_their_words(self) -> None:
        assert sentence(ConfigError("seed=1: no"), ORIGIN, "seed=1") == "seed=1: no"
        assert sentence(ConfigError("no"), ORIGIN, "seed=1") == "seed=1: no"

    def test_a_broken_file_is_named_with_its_line(self, folder: Path) -> None:
        file = folder / "broken.yaml"
        file.write_text("a: 1\nb: [1\n")
        with file.open() as text:
            error = caught(lambda: yaml.safe_load(text))
        # the bracket of line 2 is still open where the file ends, on line 3
        said = sentence(error, Origin("train", [folder]))
        assert said == "conf/broken.yaml, line 3: this is no YAML: expected ',' or ']', but got '<stream end>'"

    def test_a_choice_that_is_not_there_gets_the_near_one_and_the_list(self) -> None:
        error = MissingConfigException(
            "In 'train': Could not find 'model/unett'\n\nAvailable options in 'model':\n\tresunet\n\tunet\n"
            "Config search path:\n\tprovider=main"
        )
        said = sentence(error, ORIGIN, "model=unett")
        assert said == "model=unett: there is no model=unett; did you mean unet? There are: resunet, unet"

    def test_the_file_that_asks_for_a_missing_choice_is_named(self, folder: Path) -> None:
        (folder / "train.yaml").write_text("defaults:\n  - model: unett\n")
        error = MissingConfigException("In 'train': Could not find 'model/unett'\n")
        assert sentence(error, Origin("train", [folder])) == "conf/train.yaml, line 2: there is no model=unett"

    def test_taking_out_what_is_not_there_is_told(self) -> None:
        error = ConfigCompositionException("Could not delete from config. 'callbacks.x' does not exist.")
        said = "~callbacks.x: there is no `callbacks.x` to take out"
        assert sentence(error, ORIGIN, "~callbacks.x") == said

    def test_an_interpolation_of_nothing_names_its_key(self) -> None:
        cfg = OmegaConf.create({"model": {"width": "${nothing}"}})
        error = caught(lambda: OmegaConf.to_container(cfg, resolve=True))
        assert sentence(error, ORIGIN) == "model.width: Interpolation key 'nothing' not found"

    def test_what_is_not_known_is_told_in_one_line(self) -> None:
        assert sentence(ValueError("first\nsecond"), ORIGIN) == "first"
