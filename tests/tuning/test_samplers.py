from __future__ import annotations

import warnings
from typing import Any

import pytest

pytest.importorskip("optuna", reason="needs Optuna: pip install 'lungseg[sweep]'")

import optuna

from lungseg.tuning.samplers import make_pruner, make_sampler
from tests.tuning.bench import search_of


def draw(search: Any, number: int, *, seed: int = 0) -> dict[str, Any]:
    study = optuna.create_study(sampler=make_sampler(search, seed=seed, number=number))
    return dict(study.ask({parameter.key: parameter.distribution() for parameter in search.space}).params)


def test_a_random_trial_is_drawn_by_its_number_alone() -> None:
    search = search_of(space={"x": {"low": 0.0, "high": 1.0}, "y": {"low": 1e-5, "high": 1.0, "log": True}})
    assert draw(search, 3) == draw(search, 3)
    found = [draw(search, number)["x"] for number in range(40)]
    assert len(set(found)) == 40
    assert 0.3 < sum(found) / 40 < 0.7  # the mean of 40 draws from 0 to 1 is 0.5 with a standard deviation of 0.046
    assert draw(search, 3, seed=1) != draw(search, 3)


def test_a_cell_is_given_by_its_number() -> None:
    search = search_of(method="grid", trials=None, space={"a": ["p", "q"], "b": {"low": 1, "high": 2}})
    assert [draw(search, number) for number in (0, 1, 2)] == [
        {"a": "p", "b": 1}, {"a": "p", "b": 2}, {"a": "q", "b": 1},
    ]  # fmt: skip


def test_tpe_learns_and_is_the_same_again() -> None:
    search = search_of(method="tpe", trials=30, startup=8)

    def course() -> list[float]:
        study = optuna.create_study(direction="maximize")
        for number in range(30):
            study.sampler = make_sampler(search, seed=0, number=number)
            trial = study.ask({"x": search.space[0].distribution()})
            study.tell(trial, 1 - (trial.params["x"] - 0.3) ** 2)
        return [trial.params["x"] for trial in study.trials]

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = course()
    assert course() == found
    early, late = (sum(abs(x - 0.3) for x in part) / 8 for part in (found[:8], found[-8:]))
    assert late < 0.5 * early


@pytest.mark.parametrize("kind", ["none", "median", "percentile", "hyperband"])
def test_every_pruner_is_made_without_a_warning(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert make_pruner(search_of(pruner=kind), epochs=9)
        assert make_pruner(search_of(pruner=kind), epochs=None)


@pytest.mark.parametrize(("warmup", "first"), [(0, 1), (2, 3)])
def test_the_epochs_of_the_warm_up_are_never_judged(warmup: int, first: int) -> None:
    search = search_of(pruner="median", pruner_startup=1, pruner_warmup=warmup)
    study = optuna.create_study(direction="maximize", pruner=make_pruner(search, epochs=9))
    good, bad = study.ask(), study.ask()
    for epoch in range(1, 6):
        good.report(1.0, epoch)
    study.tell(good, 1.0)
    judged = []
    for epoch in range(1, 6):
        bad.report(0.0, epoch)
        judged.append(bad.should_prune())
    assert judged.index(True) + 1 == first
