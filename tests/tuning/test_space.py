from __future__ import annotations

from typing import Any

import pytest

from lungseg.errors import ConfigError
from lungseg.tuning.space import MOST_CELLS, Parameter, grid_of, read_space


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"low": 1e-5, "high": 0.1, "log": True}, Parameter("k", "float", 1e-5, 0.1, True)),
        ({"low": 1, "high": 4}, Parameter("k", "int", 1, 4, False, 1)),
        ({"low": 1, "high": 4, "type": "float"}, Parameter("k", "float", 1, 4)),
        ({"low": 2, "high": 64, "log": True}, Parameter("k", "int", 2, 64, True)),
        ({"low": 0.0, "high": 0.5, "step": 0.1}, Parameter("k", "float", 0.0, 0.5, False, 0.1)),
        (["a", None, 3], Parameter("k", "choice", choices=("a", "null", "3"))),
    ],
    ids=["log", "whole", "whole-as-float", "whole-log", "step", "list"],
)
def test_a_range_is_read(spec: Any, expected: Parameter) -> None:
    assert read_space({"k": spec}, "space") == (expected,)


@pytest.mark.parametrize(
    "node",
    [{"a.b.c": [1, 2]}, {"a": {"b.c": [1, 2]}}, {"a": {"b": {"c": [1, 2]}}}],
    ids=["dots", "mixed", "maps"],
)
def test_keys_stand_with_dots_or_as_maps(node: Any) -> None:
    assert [parameter.key for parameter in read_space(node, "space")] == ["a.b.c"]


def test_a_key_set_to_null_is_no_longer_varied() -> None:
    assert [p.key for p in read_space({"a": {"b": None, "c": [1, 2]}, "d": None}, "space")] == ["a.c"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"low": 2, "high": 1}, "space.k: low=2 is not below high=1"),
        ({"low": 0.0, "high": 1.0, "log": True}, "log=true needs a low above 0, and it is 0.0"),
        ({"low": 1, "hihg": 2}, r"space.k.hihg is no part of a range; did you mean `high`\?"),
        ({"low": 1, "high": float("inf")}, "space.k.high=inf is no number"),
        ({"low": True, "high": 2}, "space.k.low=true is no number"),
        ({"low": 0.0, "high": 1.0, "step": 0.3}, "steps of 0.3 from 0 do not reach 1; give high=0.9"),
        ({"low": 0.1, "high": 1.0, "step": 0.1, "log": True}, "log and step exclude each other"),
        ({"low": 0.0, "high": 1.0, "type": "int"}, "type=int, but an end or the step is no whole number"),
        ({"low": 0, "high": 4, "type": "real"}, "type=real is neither int nor float"),
        ({"low": 0, "high": 4, "points": 1}, "points=1 is no whole number from 2 on"),
        ([1], "must list two values or more"),
        ([1, 2, 1], "each once"),
        (3, r"space.k=3 is no range: give \{low"),
    ],
)
def test_a_wrong_range_is_refused_by_its_key(spec: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_space({"k": spec}, "space")


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigError, match=r"(?s)2 problems.*space\.a.*space\.b"):
        read_space({"a": 3, "b": 4, "c": [1, 2]}, "space")


def test_a_key_given_twice_and_an_empty_space_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"space\.a\.b is given twice"):
        read_space({"a.b": [1, 2], "a": {"b": [3, 4]}}, "space")
    with pytest.raises(ConfigError, match="space is empty"):
        read_space({}, "space")


@pytest.mark.parametrize(
    ("spec", "cells"),
    [
        ({"low": 1e-4, "high": 1e-2, "log": True, "points": 3}, (1e-4, 1e-3, 1e-2)),
        ({"low": 0.0, "high": 1.0, "points": 3}, (0.0, 0.5, 1.0)),
        ({"low": 0.0, "high": 0.3, "step": 0.1}, (0.0, 0.1, 0.2, 0.3)),
        ({"low": 1, "high": 3}, (1, 2, 3)),
        ({"low": 1, "high": 4, "points": 9}, (1, 2, 3, 4)),  # .375 apart: a whole number stands once
        (["a", "b"], ("a", "b")),
    ],
)
def test_cells_of_a_grid(spec: Any, cells: tuple[Any, ...]) -> None:
    assert read_space({"k": spec}, "space")[0].cells() == cells


def test_the_last_key_of_a_grid_changes_first() -> None:
    space = read_space({"a": [1, 2], "b": {"low": 5, "high": 6}}, "space")
    assert grid_of(space, "space") == [{"a": a, "b": b} for a in ("1", "2") for b in (5, 6)]


def test_a_grid_without_end_or_beyond_reason_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"space\.k has no end of values for a grid: give points"):
        grid_of(read_space({"k": {"low": 0.0, "high": 1.0}}, "space"), "space")
    with pytest.raises(ConfigError, match=rf"a grid may have {MOST_CELLS:,}"):
        grid_of(read_space({"k": {"low": 0, "high": 10**9}}, "space"), "space")


@pytest.mark.parametrize(
    ("parameter", "value", "line"),
    [
        (Parameter("a.b", "float", 0, 1), 0.1 + 0.2, "a.b=0.3"),
        (Parameter("a.b", "float", 1e-9, 1), 1e-7, "a.b=1e-07"),
        (Parameter("a.b", "int", 1, 9), 4, "a.b=4"),
        (Parameter("loss", "choice", choices=("bce",)), "bce", "loss=bce"),
    ],
)
def test_a_value_as_an_override(parameter: Parameter, value: Any, line: str) -> None:
    assert parameter.override(value) == line


def test_a_listed_text_comes_back_as_the_text_it_was() -> None:
    from lungseg.cli.composition import Composer
    from lungseg.config import config_dir

    texts = ["it's", "a b", "x=y", "true", "3", "1e-3", "a,b", "[1]", "plain", ""]
    parameter = read_space({"k": texts}, "space")[0]
    parsed = Composer("train", config_dir()).parse([parameter.override(choice) for choice in parameter.choices])
    assert [override.value() for override in parsed] == texts


def test_ranges_as_optuna_has_them() -> None:
    of = pytest.importorskip("optuna.distributions", reason="needs Optuna: pip install 'lungseg[sweep]'")
    node = {"a": {"low": 1e-3, "high": 1.0, "log": True}, "b": {"low": 0, "high": 8, "step": 4}, "c": [1, "x"]}
    assert [parameter.distribution() for parameter in read_space(node, "space")] == [
        of.FloatDistribution(1e-3, 1.0, log=True),
        of.IntDistribution(0, 8, step=4),
        of.CategoricalDistribution(["1", "x"]),
    ]
