from __future__ import annotations

from typing import Any

import pytest

from lungseg.errors import ConfigError
from lungseg.tuning.search import Objective, read_search

SPACE = {"a": {"low": 0.0, "high": 1.0}}


def test_what_is_not_given_is_usual() -> None:
    search = read_search({"name": "toy", "space": SPACE})
    assert (search.method, search.trials, search.objectives, search.pruner.kind) == ("tpe", 20, (), "none")


def test_a_grid_has_as_many_trials_as_cells_unless_fewer_are_asked_for() -> None:
    node = {"method": "grid", "space": {"a": [1, 2], "b": [1, 2, 3]}}
    assert [read_search({**node, "trials": n}).trials for n in (None, 4, 100)] == [6, 4, 6]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methd": "grid"}, r"search\.methd is no key of a search; did you mean `method`\?"),
        ({"method": "randm"}, r"search\.method=randm is none of tpe, random, grid; did you mean random\?"),
        ({"pruner": "mean"}, r"search\.pruner=mean is none of none, median.*did you mean median\?"),
        ({"trials": 0}, r"search\.trials=0 is no whole number from 1 on"),
        ({"trials": True}, r"search\.trials=true is no whole number"),
        ({"percentile": 101}, r"search\.percentile=101 is no number from 0 to 100"),
        ({"objectives": ["val/dice"]}, r"search\.objectives=\[val/dice\] is no map"),
        ({"objectives": {"test/dice": "max"}}, "test/dice may not be one: only values of the validation part choose"),
        ({"objectives": {"val/dice": "up"}}, "val/dice: up is neither max nor min"),
        ({"objectives": {"val/loss": "max"}}, "val/loss is best at its minimum; give val/loss: min"),
        ({"objectives": {"val/dice": "max", "macs": "min"}, "pruner": "median"}, "cannot weigh 2 objectives"),
        ({"objectives": {"macs": "min"}, "pruner": "median"}, "needs a value of every epoch, and macs is none"),
    ],
)
def test_a_wrong_search_is_refused_by_its_key(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_search({"space": SPACE, **changes})


@pytest.mark.parametrize(("direction", "better"), [("max", (True, False)), ("min", (False, True))])
def test_better_is_more_or_less_and_never_equal(direction: str, better: tuple[bool, bool]) -> None:
    objective = Objective("val/x", direction)
    assert (objective.better(2, 1), objective.better(1, 2), objective.better(1, 1)) == (*better, False)
