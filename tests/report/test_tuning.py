"""The report of a study, from fabricated records of a study."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungseg.commands.report import run
from lungseg.errors import DataError, ResourceError
from lungseg.report.html import write_tuning_report
from lungseg.report.tuning import is_study, read_study

RATE = {"key": "optimizer.lr", "kind": "float", "low": 1e-5, "high": 0.1, "log": True, "step": None, "points": None}
DROPOUT = {"key": "model.dropout", "kind": "float", "low": 0.0, "high": 0.5, "log": False, "step": 0.1, "points": None}
LOSS = {"key": "loss", "kind": "choice", "choices": ["bce", "dice", "bce_dice"]}
BATCH = {"key": "data.batch_size", "kind": "int", "low": 2, "high": 16, "log": True, "step": None, "points": None}


ERRORS = {"failed": "DataError: JPCLN007 has no mask", "diverged": "DivergedError: loss nan"}


def write_study(
    folder: Path, *, trials: int = 24, planned: int | None = None, two: bool = False, **record: Any
) -> Path:
    """Write a study whose best is near lr = 0.003: trials 5 and 11 failed, 7 diverged, every fourth was stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    found = []
    for number in range(trials):
        lr, dropout = float(10 ** rng.uniform(-5, -1)), round(float(rng.integers(0, 6)) / 10, 1)
        loss, batch = LOSS["choices"][int(rng.integers(0, 3))], int(rng.integers(2, 17))  # type: ignore[index]
        good = 0.95 - 0.05 * abs(np.log10(lr / 0.003)) - 0.05 * dropout + 0.01 * (loss == "bce_dice")
        curve = [[epoch, round(float(good - 0.5 * np.exp(-epoch / 2)), 5)] for epoch in range(1, 9)]
        state = "failed" if number in (5, 11) else "diverged" if number == 7 else "complete"
        state = "pruned" if state == "complete" and number % 4 == 3 else state
        params = {"optimizer.lr": lr, "model.dropout": dropout, "loss": loss, "data.batch_size": batch}
        found.append(
            {
                "number": number, "state": state, "params": params, "attempt": 1,
                "values": [curve[-1][1], *([1e6 * batch] if two else [])] if state == "complete" else None,
                "overrides": ["experiment=resunet_jsrt", *(f"{k}={v}" for k, v in params.items()), f"seed={number}",
                              "split_seed=0", "test=none", "report=false"],
                "epoch": 8 if state == "complete" else None,
                "epochs": {"complete": 8, "pruned": 4}.get(state),
                "curve": curve if state == "complete" else curve[:4] if state == "pruned" else [],
                "seconds": 12.5 * (1 + number % 3),
                "exit_code": {"failed": 3, "diverged": 5, "pruned": 75}.get(state, 0),
                "error": ERRORS.get(state),
                "folder": f"trials/{number:04d}",
            }
        )  # fmt: skip
    done = [t for t in found if t["state"] == "complete"]
    best = sorted(done, key=lambda t: -t["values"][0])[: 3 if two else 1]
    content = {
        "name": folder.name, "search": "toy", "experiment": "resunet_jsrt", "method": "tpe", "pruner": "median",
        "seed": 0, "planned": trials if planned is None else planned, "monitor": "val/dice",
        "objectives": [{"name": "val/dice", "direction": "max"}, {"name": "macs", "direction": "min"}][: 1 + two],
        "space": [RATE, DROPOUT, LOSS, BATCH], "overrides": ["experiment=resunet_jsrt"], "config_dirs": [],
        "best": [t["number"] for t in best],
        "importance": [{"optimizer.lr": 0.81, "model.dropout": 0.1, "loss": 0.06, "data.batch_size": 0.03}],
        "trials": found, "env": {},
    }  # fmt: skip
    (folder / "tuning.json").write_text(json.dumps({**content, **record}))
    return folder


def page_of(folder: Path) -> str:
    return write_tuning_report(folder, folder).read_text()


def test_the_page_names_the_best_what_mattered_and_what_failed(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "toy_resunet_jsrt")
    page = page_of(folder)
    best = read_study(folder).best()[0]
    for said in (
        "22 trials of 24 planned have ended, of resunet_jsrt by TPE",
        f"The highest validation Dice is {best['values'][0]:.4f}, of trial {best['number']}",
        "2 trials failed; the same command does them again", *ERRORS.values(),
        f"evaluate checkpoint={folder}/trials/{best['number']:04d}", "optimizer.lr  81 %", "by factors",
        "looks better on the validation part than it is",
    ):  # fmt: skip
        assert said in page, said
    names = {path.stem for path in (folder / "figures").iterdir()}
    assert {"history_0", "trial_curves", "parallel_0", "importance_val_dice", "slice_0", "slice_3"} <= names


def test_the_command_of_the_best_trial_is_one_that_a_shell_takes_and_that_tests(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "a")
    record = json.loads((folder / "tuning.json").read_text())
    record["trials"][record["best"][0]]["overrides"] = ["model.features=[4,8]", "seed=1", "test=none", "report=false"]
    (folder / "tuning.json").write_text(json.dumps(record))
    text = write_tuning_report(folder, folder).with_suffix(".md").read_text()
    assert "python -m lungseg 'model.features=[4,8]' seed=1\n" in text


def test_two_objectives_show_their_front(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "a", two=True)
    page = page_of(folder)
    assert (
        "3 trials are not beaten in all of validation Dice (high) and multiply-accumulates (low) by any other" in page
    )
    names = {path.stem for path in (folder / "figures").iterdir()}
    assert {"front", "history_0", "history_1", "parallel_0", "parallel_1"} <= names


def test_the_best_stands_first_and_the_failed_last(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path / "a"))
    states = [trial["state"] for trial in study.ranked()]
    assert states == sorted(states, key=["complete", "pruned", "diverged", "failed"].index)
    values = [trial["values"][0] for trial in study.ranked() if trial["values"]]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("trials", [0, 1, 2, 3])
def test_a_study_that_has_just_begun_has_a_page(tmp_path: Path, trials: int) -> None:
    folder = write_study(tmp_path / "a", trials=trials, planned=24, importance=[])
    page = page_of(folder)
    assert f"{24 - trials} trials are missing; the same command does them" in page
    assert ("None has finished" in page) == (trials == 0)


def test_a_list_of_values_that_are_all_equal_can_be_drawn(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "a", trials=4)
    record = json.loads((folder / "tuning.json").read_text())
    for trial in record["trials"]:
        trial["values"] = [0.5] if trial["values"] else None
    (folder / "tuning.json").write_text(json.dumps(record))
    assert "parallel" in page_of(folder) or (folder / "figures" / "parallel_0.svg").is_file()


def test_the_page_refers_to_nothing_outside_itself(tmp_path: Path) -> None:
    page = page_of(write_study(tmp_path / "a"))
    assert not re.search(r"https?:|wss?:|@import", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_verb_report_knows_the_folder_of_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_study(tmp_path / "a")
    assert is_study(folder)
    assert not is_study(tmp_path)
    cfg = {"runs": str(folder), "output": None, "title": "Mine", "paths": {"outputs": str(tmp_path)}}
    assert run(cfg) == 0
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    assert "<h1>Mine</h1>" in (folder / "report.html").read_text()


@pytest.mark.parametrize("text", ["{", "{}", '{"objectives": []}', "[]"], ids=["cut", "empty", "none", "list"])
def test_a_damaged_record_is_named_with_the_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "tuning.json").write_text(text)
    with pytest.raises(DataError, match=r"tuning\.json is damaged.*The same tune command writes it again"):
        write_tuning_report(tmp_path, tmp_path)


def test_a_page_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "a")
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="cannot be written"):
        write_tuning_report(folder, tmp_path / "file" / "report.html")
