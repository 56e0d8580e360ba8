"""Label conventions in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lungseg.report.convention import (
    convention_fact,
    conventions,
    conventions_tested,
    conventions_trained,
    crossed,
    mixed,
)
from lungseg.report.reader import Run

WITHOUT, WITH = "without_heart", "with_heart"


def run(
    verb: str = "train", tested: tuple[str, ...] = ("jsrt",), trained: tuple[str, ...] = ("jsrt",), **facts: Any
) -> Run:
    parts = {"test": {source: {"lungs": {"n": 1, "metrics": {}}} for source in ("all", *tested)}}
    return Run(
        Path("r"),
        status={"verb": verb, "state": "done"},
        data={"convention": facts.get("convention")},
        metrics={"parts": parts, "trained_on": list(trained), "trained_convention": facts.get("trained_convention")},
    )


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (WITH, {"a": WITH, "b": WITH}),
        ({"a": WITH, "c": WITHOUT}, {"a": WITH}),
        ({"a": None, "b": WITHOUT}, {"b": WITHOUT}),
        ("", {}),
        (None, {}),
        (["with_heart"], {}),
    ],
    ids=["one-for-all", "by-source", "unknown-source", "empty", "none", "damaged"],
)
def test_a_convention_is_read_in_any_of_its_forms(value: object, found: dict[str, str]):
    assert conventions(value, ["a", "b"]) == found


@pytest.mark.parametrize(
    ("convention", "said"),
    [
        ({"jsrt": WITHOUT, "mc_sh": WITHOUT}, "lungs without the part behind the heart"),
        (
            {"jsrt": WITHOUT, "mc_sh": WITH},
            "JSRT: lungs without the part behind the heart; MC+SH: lungs with the part behind the heart",
        ),
        ({"jsrt": None, "mc_sh": None}, ""),
        ("", ""),
    ],
    ids=["one", "two", "unknown", "empty"],
)
def test_the_convention_of_a_runs_data_is_said_in_brief(convention: object, said: str):
    run = Run(Path("r"), data={"sources": {"jsrt": {}, "mc_sh": {}}, "convention": convention})
    assert convention_fact(run) == said


def test_a_training_run_was_trained_on_the_convention_of_its_data():
    found = run(convention={"jsrt": WITHOUT})
    assert conventions_trained(found) == conventions_tested(found) == {"jsrt": WITHOUT}


def test_an_evaluation_knows_the_trained_convention_from_its_metrics_only():
    found = run("evaluate", tested=("v7_darwin",), convention={"v7_darwin": WITH}, trained_convention={"jsrt": WITHOUT})
    assert conventions_trained(found) == {"jsrt": WITHOUT}
    assert conventions_trained(run("evaluate", convention={"jsrt": WITH})) == {}


def test_a_test_against_the_other_convention_is_said_in_words():
    found = run("evaluate", tested=("v7_darwin",), convention={"v7_darwin": WITH}, trained_convention={"jsrt": WITHOUT})
    said = crossed(found)
    assert "include the part of the lungs behind the heart. The net was trained on others: the masks of JSRT" in said
    assert "leave out the part of the lungs behind the heart" in said


@pytest.mark.parametrize(
    "facts",
    [
        {"convention": WITHOUT, "trained_convention": WITHOUT},
        {"convention": WITHOUT, "trained_convention": None},
        {"convention": None, "trained_convention": WITHOUT},
    ],
    ids=["the-same", "trained-unknown", "tested-unknown"],
)
def test_the_same_or_an_unknown_convention_is_no_difference(facts: dict[str, Any]):
    assert crossed(run("evaluate", tested=("montgomery",), **facts)) == ""


def test_a_net_trained_on_both_conventions_is_at_home_in_both():
    both = {"jsrt": WITHOUT, "v7_darwin": WITH}
    assert crossed(run(tested=("jsrt", "v7_darwin"), trained=("jsrt", "v7_darwin"), convention=both)) == ""


def test_mixed_training_is_said_in_words():
    both = {"jsrt": WITHOUT, "v7_darwin": WITH, "montgomery": WITHOUT}
    said = mixed(run(trained=tuple(both), convention=both))
    assert said.startswith(
        "This run was trained on masks of two conventions: the masks of JSRT and Montgomery leave out"
    )


def test_training_on_one_convention_is_not_mixed():
    assert mixed(run(trained=("jsrt", "montgomery"), convention=WITHOUT)) == ""


def test_a_convention_that_the_report_has_no_words_for_is_named():
    said = mixed(run(trained=("a", "b"), convention={"a": WITHOUT, "b": "field_only"}))
    assert "the masks of b follow the convention field_only" in said
