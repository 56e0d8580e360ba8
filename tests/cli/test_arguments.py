from __future__ import annotations

from pathlib import Path

import pytest

from lungseg.cli.arguments import read
from lungseg.errors import ConfigError


def test_words_are_sorted_into_verb_overrides_and_flags() -> None:
    request = read(["-m", "--config-dir", "my", "evaluate", "parts=[val]", "~data", "--cfg=job"])
    assert (request.verb, request.overrides) == ("evaluate", ["parts=[val]", "~data"])
    assert request.flags == ["--config-dir", "my", "--cfg", "job"]
    assert (request.multirun, request.shows, request.config_dirs) == (True, True, [Path("my")])


def test_train_is_the_verb_when_none_is_given() -> None:
    assert read(["seed=1"]).verb == "train"


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["help"]])
def test_help_is_asked_in_three_ways(words: list[str]) -> None:
    assert read(words).help == ""


@pytest.mark.parametrize("words", [["train", "--help"], ["--help", "train"], ["help", "train"]])
def test_help_may_be_asked_about_a_verb(words: list[str]) -> None:
    assert read(words).help == "train"


def test_help_may_be_asked_about_a_group_which_is_no_verb() -> None:
    # `model` alone would be refused as an unknown verb
    assert read(["model", "--help"]).help == "model"


def test_no_help_is_asked_by_a_plain_command_line() -> None:
    assert read(["train", "seed=1"]).help is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mutlirun"], "did you mean --multirun"),
        (["--config-name", "x"], "the verb"),
        (["--experimental-rerun=x"], "resume="),
        (["--config-dir"], "wants a value"),
        (["train", "evaluate"], "no key=value"),
        (["--zzz"], "see: lungseg --help"),
    ],
)
def test_wrong_flags_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(words)


def test_a_mistyped_verb_is_refused_with_the_near_one() -> None:
    with pytest.raises(ConfigError, match="did you mean predict"):
        read(["perdict", "checkpoint=x"])


def test_short_flags_are_handed_over_by_their_long_names() -> None:
    # -m is ours to act on, so Hydra gets it later and not here
    assert read(["-cd", "a", "-c", "job", "-p", "model", "-r", "-m"]).flags == [
        "--config-dir", "a", "--cfg", "job", "--package", "model", "--run",
    ]  # fmt: skip


def test_a_value_after_an_equals_sign_may_hold_another_one() -> None:
    assert read(["--config-dir=my=folder"]).config_dirs == [Path("my=folder")]


def test_a_home_folder_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert read(["--config-dir", "~/my"]).config_dirs == [Path("/home/someone/my")]


def test_info_takes_the_word_behind_it_only_when_it_knows_it() -> None:
    known, other = read(["--info", "plugins"]), read(["--info", "evaluate"])
    assert (known.flags, known.verb) == (["--info", "plugins"], "train")
    assert (other.flags, other.verb) == (["--info"], "evaluate")


def test_a_value_with_a_dash_belongs_to_its_key() -> None:
    assert read(["seed=-1"]).overrides == ["seed=-1"]


def test_the_version_is_asked_without_any_verb() -> None:
    request = read(["--version"])
    assert (request.version, request.shows, request.flags) == (True, False, [])
