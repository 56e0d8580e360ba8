"""Finding run folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungseg.errors import ConfigError
from lungseg.report.finder import find_runs


def _run(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "status.json").write_text("{}")
    return folder


def test_a_run_folder_is_found_as_it_is(tmp_path: Path):
    run = _run(tmp_path / "a")
    assert find_runs(str(run)) == [run]


def test_a_sweep_gives_its_runs_in_natural_order(tmp_path: Path):
    for place in (10, 2, 0):
        _run(tmp_path / "sweep" / str(place))
    (tmp_path / "sweep" / "notes").mkdir()
    assert [run.name for run in find_runs(tmp_path / "sweep")] == ["0", "2", "10"]


def test_a_list_keeps_its_order_and_names_each_run_once(tmp_path: Path):
    a, b = _run(tmp_path / "a"), _run(tmp_path / "b")
    assert find_runs([b, a, str(b)]) == [b, a]


def test_a_glob_finds_runs(tmp_path: Path):
    runs = [_run(tmp_path / "2026" / name) for name in ("a1", "a2")]
    _run(tmp_path / "2026" / "b")
    assert find_runs(f"{tmp_path}/2026/a*") == runs


def test_a_folder_inside_a_run_is_not_searched_further(tmp_path: Path):
    outer = _run(tmp_path / "a")
    _run(outer / "inner")
    assert find_runs(tmp_path) == [outer]


@pytest.mark.parametrize("runs", [[], "", [""]], ids=["no item", "empty", "empty item"])
def test_naming_nothing_is_refused(runs: list[str] | str):
    with pytest.raises(ConfigError, match="names no run folder"):
        find_runs(runs)


def test_a_missing_folder_is_refused_with_the_near_name(tmp_path: Path):
    _run(tmp_path / "resunet_jsrt")
    with pytest.raises(ConfigError, match=r"is not there .did you mean .*resunet_jsrt.*a run folder is what"):
        find_runs(tmp_path / "resunet_jrst")


def test_a_folder_without_runs_is_refused_and_its_content_named(tmp_path: Path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "weights.pt").touch()
    with pytest.raises(ConfigError, match=r"is not a run folder and holds none \(in it: weights.pt\)"):
        find_runs(tmp_path / "x")


def test_a_file_of_a_run_is_refused_with_the_run_it_belongs_to(tmp_path: Path):
    run = _run(tmp_path / "a")
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "best.ckpt").touch()
    with pytest.raises(ConfigError, match=r"is a file, not a folder.*runs=.*a$"):
        find_runs(run / "checkpoints" / "best.ckpt")


def test_a_glob_without_runs_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="nothing matches it"):
        find_runs(f"{tmp_path}/a*")
