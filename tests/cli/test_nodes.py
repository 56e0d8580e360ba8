"""What is read of a composed configuration, judged by signatures and by the files that are shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lungseg.cli.nodes import no_key, problems_of, shipped_values, shown

LOSS = "lungseg.losses.bce.BCELoss"
FILES = {
    "data/default.yaml": "defaults: [x]\nbatch_size: 4\nrate: 0.5\nflag: true\nnames: [a]\nroot: null\nsources: {}\n",
    "data/other.yaml": "batch_size: 8\nsources:\n  jsrt: {root: x}\n",
    "data/global.yaml": "# @package _global_\nseed: 3\n",
    "loss/bce.yaml": f"_target_: {LOSS}\n",
    "callbacks/default.yaml": f"first:\n  _target_: {LOSS}\n",
}


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conf")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def told(conf: Path, config: dict[str, Any]) -> list[str]:
    return [f"{key}{text}" for key, text in problems_of(config, conf)]


def test_a_configuration_as_shipped_has_no_problem(conf: Path) -> None:
    config = {"data": {"batch_size": 4, "rate": 0.5, "flag": True, "names": ["a"]}, "loss": {"_target_": LOSS}}
    assert told(conf, config) == []


def test_keys_that_are_no_group_are_the_schemas_business(conf: Path) -> None:
    assert told(conf, {"seed": "abc", "nothing": {"a": 1}}) == []


class TestTargets:
    def test_an_argument_that_is_not_there_gets_the_near_one(self, conf: Path) -> None:
        assert told(conf, {"loss": {"_target_": LOSS, "pos_wieght": 1.0}}) == [
            f"loss.pos_wieght is no argument of {LOSS}; did you mean `pos_weight`?"
        ]

    def test_an_argument_unlike_all_gets_the_list(self, conf: Path) -> None:
        assert told(conf, {"loss": {"_target_": LOSS, "zzz": 1.0}}) == [
            f"loss.zzz is no argument of {LOSS}, which has: pos_weight, label_smoothing"
        ]

    def test_a_value_of_another_type_is_told(self, conf: Path) -> None:
        (text,) = told(conf, {"loss": {"_target_": LOSS, "pos_weight": "heavy"}})
        assert text.startswith("loss.pos_weight=heavy is of type str")

    def test_a_class_that_is_not_there_is_told_at_its_key(self, conf: Path) -> None:
        (text,) = told(conf, {"loss": {"_target_": f"{LOSS}s"}})
        assert text.startswith(f"loss._target_={LOSS}s")
        assert LOSS in text.removeprefix(f"loss._target_={LOSS}s")

    @pytest.mark.parametrize("target", [None, "???"])
    def test_an_open_target_is_told(self, conf: Path, target: str | None) -> None:
        assert told(conf, {"loss": {"_target_": target}}) == ["loss._target_ is not set"]

    def test_hydras_own_keys_are_no_arguments(self, conf: Path) -> None:
        assert told(conf, {"loss": {"_target_": LOSS, "_partial_": True, "_convert_": "all"}}) == []

    def test_a_mistyped_key_of_hydra_gets_the_near_one(self, conf: Path) -> None:
        (text,) = told(conf, {"loss": {"_target_": LOSS, "_partal_": True}})
        assert text.endswith("did you mean `_partial_`?")

    def test_a_target_inside_a_list_inside_an_argument_is_checked(self, conf: Path) -> None:
        inner = [{"deep": {"_target_": LOSS, "zzz": 1}}]
        found = told(conf, {"loss": {"_target_": "lungseg.nowhere_known", "parts": {"list": inner}}})
        assert any(text.startswith("loss.parts.list.0.deep.zzz is no argument") for text in found)


class TestPlainNodes:
    def test_a_key_that_no_shipped_file_has_gets_the_near_one(self, conf: Path) -> None:
        assert told(conf, {"data": {"batch_sise": 4}}) == [
            "data.batch_sise is no key of `data`; did you mean `batch_size`?"
        ]

    def test_a_node_below_is_judged_by_the_files_too(self, conf: Path) -> None:
        assert told(conf, {"data": {"sources": {"zzz": {"root": "x"}}}}) == [
            "data.sources.zzz is no key of `data.sources`, which has: jsrt"
        ]

    @pytest.mark.parametrize(
        ("key", "value", "said"),
        [
            ("batch_size", "many", "=many is a text, not a whole number (such as 4)"),
            ("batch_size", True, "=true is a truth value, not a whole number (such as 4)"),
            ("names", "a", "=a is a text, not a list (such as ['a'])"),
            ("flag", 1, "=1 is a whole number, not a truth value (such as True)"),
        ],
    )
    def test_a_value_of_another_kind_is_told(self, conf: Path, key: str, value: Any, said: str) -> None:
        assert told(conf, {"data": {key: value}}) == [f"data.{key}{said}"]

    def test_a_whole_number_may_stand_for_a_number(self, conf: Path) -> None:
        assert told(conf, {"data": {"rate": 1}}) == []

    def test_a_shipped_null_says_nothing_about_the_kind(self, conf: Path) -> None:
        assert told(conf, {"data": {"root": "a/folder"}}) == []

    def test_an_object_of_the_users_own_may_be_added(self, conf: Path) -> None:
        assert told(conf, {"callbacks": {"mine": {"_target_": LOSS}}}) == []

    def test_an_entry_without_a_target_builds_nothing(self, conf: Path) -> None:
        assert told(conf, {"callbacks": {"first": {}}}) == [
            "callbacks.first has no `_target_`: the chosen group has no such entry, so nothing is built"
        ]


def test_shipped_values_are_gathered_over_the_files_of_a_group(conf: Path) -> None:
    # default.yaml gives 4 and other.yaml 8; the defaults list and the file of another package say nothing
    found = shipped_values(conf, "data")
    assert found["batch_size"] == [4, 8]
    assert not {"defaults", "seed"} & set(found)


def test_shipped_values_of_a_node_below_are_found(conf: Path) -> None:
    assert shipped_values(conf, "data.sources.jsrt") == {"root": ["x"]}


def test_nothing_is_shipped_for_an_unknown_group(conf: Path) -> None:
    assert shipped_values(conf, "nothing") == {}


def test_the_keys_are_listed_when_none_is_near() -> None:
    assert no_key("data", "zzz", {"a": 1, "b": 2}) == " is no key of `data`, which has: a, b"


@pytest.mark.parametrize(
    ("value", "text"),
    [(False, "false"), (None, "null"), ([True, None, 1.5], "[true,null,1.5]"), ({"a": [1]}, "{a:[1]}"), ("x", "x")],
)
def test_a_value_is_shown_as_the_command_line_has_it(value: Any, text: str) -> None:
    assert shown(value) == text
