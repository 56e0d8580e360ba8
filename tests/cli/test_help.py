from __future__ import annotations

from pathlib import Path

import pytest

from lungseg.cli.help import WIDTH, about, overview, root_keys, rows, told
from lungseg.config import config_dir, verbs
from lungseg.errors import ConfigError


def test_the_overview_tells_every_verb_group_and_experiment() -> None:
    text = overview()
    conf = config_dir()
    for verb in verbs():
        assert f"\n  {verb} " in text
    for group in ("model", "loss", "split", "size", "sweep", "debug"):
        assert f"\n  {group} " in text
    for file in (conf / "experiment").glob("*.yaml"):
        # a long name has a line of its own
        assert f"\n  {file.stem} " in text or f"\n  {file.stem}\n" in text


@pytest.mark.parametrize("text", [overview(), about("train"), about("predict"), about("data")], ids=str.split)
def test_help_fits_a_narrow_terminal(text: str) -> None:
    assert max(len(line) for line in text.splitlines()) <= WIDTH


def test_the_users_own_choices_are_listed(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\n# My own idea\nname: mine\n")
    assert "My own idea" in overview([tmp_path])


def test_the_help_of_a_verb_tells_its_keys_with_values() -> None:
    text = about("train")
    assert "seed=0" in text
    assert "resume=null" in text
    assert "lungseg predict checkpoint=... input=..." in about("predict")


def test_help_about_nothing_known_suggests_the_near_name() -> None:
    with pytest.raises(ConfigError, match="did you mean evaluate"):
        about("evalute")


def test_the_first_comment_that_is_no_package_line_is_what_a_file_tells(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("# @package _global_\n# Says what\nkey: 1\n# not this\n")
    assert told(file) == "Says what"
    file.write_text("key: 1\n# not this\n")
    assert told(file) == ""


def test_root_keys_are_read_as_text(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        "# Verb\ndefaults:\n  - _self_\n  - model: resunet\n  - optional data: phantom\n\nseed: 0  # of it\n"
    )
    assert root_keys(file) == ({"seed": ("0", "of it")}, {"model": "resunet", "data": "phantom"})


def test_rows_stand_in_two_columns() -> None:
    assert rows({"a": "one", "bcd": "two"}) == ["  a    one", "  bcd  two"]
