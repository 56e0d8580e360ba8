"""The verb `tune`: what it refuses before anything runs, what it says and writes, and one true study."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="needs Optuna: pip install 'lungseg[sweep]'")

from lungseg.__main__ import main
from lungseg.commands import tune
from lungseg.commands.tune import run
from lungseg.config import compose
from lungseg.errors import ConfigError, ResourceError
from lungseg.report.tuning import read_study
from lungseg.tuning.driver import Driver
from tests.tuning.bench import fake

TINY = (
    "data.sources.phantom.n=12", "data.sources.phantom.size=[32,32]", "data.batch_size=2",
    "preprocess.steps.resize.size=[32,32]", "model.features=[4,8]", "trainer.max_epochs=2", "trainer.accelerator=cpu",
    "logger=csv", "n_boot=20",
)  # fmt: skip


def config(folder: Path, *lines: str, run: tuple[str, ...] = TINY) -> dict[str, Any]:
    """The configuration of `tune`, as the command line gives it."""
    given = [f"paths.outputs={folder / 'outputs'}", f"paths.store={folder / 'store'}"]
    passed = ",".join(f"'{line}'" for line in [*run, *given])
    return compose("tune", ["storage=journal", f"run=[{passed}]", *given, *lines])


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the trials be fakes; the key that they read is the learning rate."""

    def command(words: Any) -> list[str]:
        return fake([word.replace("optimizer.lr=", "x=") for word in words])

    def driver(*args: Any, **settings: Any) -> Driver:
        return Driver(*args, **settings, command=command, pause=0.005)

    monkeypatch.setattr("lungseg.tuning.driver.Driver", driver)


RANDOM = ("search.method=random", "search.pruner=none")


def test_the_best_trial_is_told_with_how_to_test_it_and_the_report_is_written(
    tmp_path: Path, fakes: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FAKE", json.dumps({"epochs": 2}))
    caplog.set_level(logging.INFO)
    assert run(config(tmp_path, *RANDOM, "search.trials=7", "workers=2", "name=mine")) == 0
    folder = tmp_path / "outputs" / "tune" / "mine"
    study = read_study(folder)
    values = [trial["values"][0] for trial in study.trials]
    best = study.best()[0]
    assert best["values"][0] == max(values)
    assert f"test it once: python -m lungseg evaluate checkpoint={folder / best['folder']}" in caplog.text
    assert (folder / "report.html").is_file()
    assert caplog.text.count("best: trial") == 1


def test_trials_that_failed_are_listed_and_the_exit_code_says_so(
    tmp_path: Path, fakes: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FAKE", json.dumps({"epochs": 1, "fail": [1]}))
    asked = config(tmp_path, *RANDOM, "search.trials=3", "report=false")
    assert run(asked) == 1
    told = caplog.text
    assert "1 of 3 trials failed:\n  #1  data.sources.phantom.n=12" in told
    assert "exit code 3: DataError: image 1 is broken" in told
    assert "the same command does these again, and nothing else" in told
    monkeypatch.setenv("FAKE", json.dumps({"epochs": 1}))
    assert run(asked) == 0


def test_the_study_is_named_after_search_and_experiment(
    tmp_path: Path, fakes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE", json.dumps({"epochs": 1}))
    run(config(tmp_path, *RANDOM, "search.trials=1", "report=false"))
    assert [path.name for path in (tmp_path / "outputs" / "tune").iterdir()] == ["learning_rate_phantom"]


def test_another_study_of_the_same_name_is_refused(
    tmp_path: Path, fakes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE", json.dumps({"epochs": 1}))
    lines = (*RANDOM, "search.trials=1", "report=false", "name=mine")
    run(config(tmp_path, *lines))
    with pytest.raises(ConfigError, match=r"mine holds another study: seed was 0 and is 4.*name=<another name>"):
        run(config(tmp_path, *lines, "seed=4"))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["workers=0"], "workers=0 is below 1"),
        (["search.trals=2"], r"search\.trals is no key of a search; did you mean `trials`"),
        (["threads=0"], "threads=0 is below 1"),
        (["seed=-1"], "seed=-1 is below 0"),
        (["gpus=0"], r"gpus=0 is no list such as \[0,1\]"),
        (["name=a/b"], "name=a/b is no name of a folder"),
        (["search.space={model.dropot:[0.1,0.2]}"], r"search\.space\.model\.dropot.*did you mean `dropout`"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_made(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run(config(tmp_path, *lines))
    assert list(tmp_path.iterdir()) == []


def test_without_optuna_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("lungseg.tuning.") and name.split(".")[2] != "plan"]:
        if name.split(".")[2] not in ("space", "search"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ResourceError, match=r"pip install 'lungseg\[sweep\]'"):
        tune.run(config(tmp_path))


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Take back what the command line sets up for its messages."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = before


@pytest.mark.slow
@pytest.mark.timeout(400)  # three starts of PyTorch
def test_a_true_study_of_two_trials_at_a_time_then_nothing_is_left_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_logging: None
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.chdir(tmp_path)
    words = [
        "tune",
        "search=loss_grid",
        "search.space.optimizer=null",
        "search.space.loss=[bce,dice]",
        "workers=2",
        *TINY,
    ]
    assert main(words) == 0
    folder = Path("outputs/tune/loss_grid_phantom")
    study = read_study(folder)
    assert [(t["state"], t["params"]["loss"], t["epochs"]) for t in study.trials] == [
        ("complete", "bce", 2), ("complete", "dice", 2),
    ]  # fmt: skip
    facts = [json.loads((folder / trial["folder"] / "data.json").read_text())["split"] for trial in study.trials]
    assert [found["seed"] for found in facts] == [0, 0]
    assert facts[0]["hash"] == facts[1]["hash"]
    for trial in study.trials:
        left = folder / trial["folder"]
        assert (left / "checkpoints" / "best.ckpt").is_file()
        assert not (left / "metrics.json").exists()  # nothing was tested
    assert (folder / "report.html").is_file()
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("trials/*/epochs.csv")}
    assert main(words) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.glob("trials/*/epochs.csv")} == stamps
