from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from lungseg.cli.problems import grammar_problem, quoted, raise_all, split
from lungseg.errors import ConfigError


@pytest.mark.parametrize(
    "text",
    ["plain", "Lung (1) epoch=3", "it's", "a\\", "a\\\\", "c:\\dir\\'x'", "[1, {2: 3", "", "a,b"],
)
def test_hydra_reads_a_quoted_text_as_it_was(text: str) -> None:
    assert OverridesParser.create().parse_override(f"key={quoted(text)}").value() == text


def test_no_problem_raises_nothing() -> None:
    raise_all([])


def test_one_problem_is_told_as_it_is() -> None:
    with pytest.raises(ConfigError) as caught:
        raise_all(["seed=abc is wrong"])
    assert str(caught.value) == "seed=abc is wrong"


def test_a_problem_that_comes_twice_is_told_once() -> None:
    with pytest.raises(ConfigError) as caught:
        raise_all(["a", "b", "a"])
    assert str(caught.value) == "2 problems:\n  - a\n  - b"


def test_ten_problems_are_told_and_the_rest_counted() -> None:
    with pytest.raises(ConfigError) as caught:
        raise_all(f"p{i}" for i in range(12))
    first, *lines = str(caught.value).splitlines()
    assert first == "12 problems:"
    assert lines == [*(f"  - p{i}" for i in range(10)), "  - and 2 more"]


@pytest.mark.parametrize("problems", [["one"], ["one", "two"], ["one", "two", "three"]])
def test_an_error_is_taken_apart_into_its_problems(problems: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        raise_all(problems)
    assert split(caught.value) == problems


def test_a_word_without_equals_sign_is_no_override() -> None:
    assert grammar_problem("tarin", ValueError()) == "`tarin` is no verb and no key=value"


def test_the_reason_is_the_grammars_first_line() -> None:
    text = grammar_problem("name=[1", ValueError("No viable alternative\nsecond line"))
    assert text == "name=[1: no viable alternative; to take the value as it is, quote it twice: \"name='[1'\""


def test_an_error_without_words_still_gives_a_reason() -> None:
    assert grammar_problem("a=b", ValueError()).startswith("a=b: cannot be read; ")
