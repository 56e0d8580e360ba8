from __future__ import annotations

import json
from pathlib import Path

import pytest

from lungseg.cli.sweeps import Sweep, keep, left, stored
from lungseg.errors import ConfigError


def job(folder: Path, state: str | None, overrides: list[str]) -> Path:
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("first sitting\n")
    if state:
        (folder / "overrides.yaml").write_text(json.dumps(overrides))
        (folder / "status.json").write_text(json.dumps({"state": state}))
    return folder


def test_a_sweep_is_written_down_once(tmp_path: Path) -> None:
    assert stored(tmp_path) is None
    sweep = Sweep(("seed=0,1", "loss=bce"), multirun=True)
    keep(tmp_path, sweep)
    keep(tmp_path, Sweep(("seed=5",), multirun=False))
    assert stored(tmp_path) == sweep


@pytest.mark.parametrize("text", ["{", "[]", "multirun: true"])
def test_a_damaged_record_is_named_with_the_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "sweep.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"sweep\.yaml is damaged.*hydra\.sweep\.dir="):
        stored(tmp_path)


@pytest.mark.parametrize(
    ("state", "resumable", "found"),
    [
        (None, True, "nothing"),
        ("done", True, "done"),
        ("done", False, "done"),
        ("interrupted", True, "unfinished"),
        ("running", True, "unfinished"),
        ("interrupted", False, "nothing"),
        ("failed", True, "nothing"),
        ("diverged", True, "nothing"),
    ],
)
def test_what_an_earlier_sitting_left(tmp_path: Path, state: str | None, resumable: bool, found: str) -> None:
    folder = job(tmp_path / "3", state, ["seed=1", "++model.dropout=0.1"])
    assert left(folder, ["model.dropout=0.1", "seed=1"], resumable=resumable) == found
    aside = state is not None and found == "nothing"
    assert (tmp_path / ".failed" / "3_1" / "status.json").exists() == aside
    assert (folder / "status.json").exists() == (state is not None and not aside)
    assert (folder / "log.txt").exists()


def test_every_failed_attempt_is_kept(tmp_path: Path) -> None:
    folder = job(tmp_path / "0", "failed", ["seed=1"])
    left(folder, ["seed=1"], resumable=True)
    (folder / "overrides.yaml").write_text('["seed=1"]')
    left(folder, ["seed=1"], resumable=True)
    assert sorted(path.name for path in (tmp_path / ".failed").iterdir()) == ["0_1", "0_2"]
    assert (tmp_path / ".failed" / "0_1" / "log.txt").read_text() == "first sitting\n"


def test_the_job_of_another_sweep_is_not_touched(tmp_path: Path) -> None:
    folder = job(tmp_path / "0", "failed", ["seed=1"])
    with pytest.raises(ConfigError, match=r"holds another job: seed \(seed=1 before\), loss \(not given before\)"):
        left(folder, ["seed=2", "loss=dice"], resumable=True)
    assert (folder / "status.json").exists()
