from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from lungseg.annotations import fits, mismatch
from lungseg.signatures import Module, signature

NET = "lungseg.models.resunet.ResUNet"
HERE = Module("toy", Path("toy.py"), {"Kind": ast.parse("Literal['a', 'b']", mode="eval").body})


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        ("int", 3, True),
        ("int", True, False),  # a truth value is no count
        ("int", 3.0, False),
        ("float", 3, True),
        ("float", "abc", False),
        ("bool", 1, False),
        ("str", 3, False),
        ("str | None", None, True),
        ("Optional[int]", "abc", False),
        ("Union[int, str]", "abc", True),
        ("Sequence[int]", [1, 2], True),
        ("Sequence[int]", ["a"], False),
        ("Sequence[int]", 3, False),
        ("tuple[int, int]", [1], False),
        ("tuple[int, ...]", [1, 2, 3], True),
        ("Mapping[str, float]", {"a": 1}, True),
        ("Mapping[str, float]", {"a": "b"}, False),
        ("Literal['x', 'y']", "x", True),
        ("Literal['x', 'y']", "z", False),
        ("'int'", "z", False),
        ("Kind", "a", True),
        ("Kind", "c", False),
        ("Somewhere", "c", True),  # not told by the source
        ("Any", "c", True),
        ("Path", "c", True),
        ("int", "???", True),
        ("int", {"_target_": "a.b"}, True),
    ],
)
def test_a_value_fits_an_annotation(annotation: str, value: Any, expected: bool) -> None:
    assert fits(ast.parse(annotation, mode="eval").body, HERE, value) is expected


@pytest.mark.parametrize(
    ("target", "argument", "value", "message"),
    [
        (NET, "init_skip", "convv", "is none of conv, conv_bn, same; did you mean conv?"),
        (NET, "features", 3, "is of type int, not Sequence[int]"),
        ("torch.optim.Adam", "lr", "fast", "is of type str, not float | Tensor"),
        ("lightning.Trainer", "max_epochs", "abc", "is of type str, not int | None"),
        ("lightning.Trainer", "deterministic", "wrn", "is none of warn, a bool; did you mean warn?"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_wanted(target: str, argument: str, value: Any, message: str) -> None:
    found = signature(target)
    assert found is not None
    assert mismatch(found.arguments[argument], value) == message


def test_a_number_where_text_is_wanted_says_how_to_quote_it() -> None:
    found = signature("lungseg.data.sources.base.Source")
    assert found is not None
    assert "quote it twice" in str(mismatch(found.arguments["root"], 2024))
