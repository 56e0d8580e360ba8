from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lungseg.cli import runs
from lungseg.cli.runs import Outcome, new_folder, newest_unfinished, outcomes_of, stored_overrides, summary
from lungseg.errors import ConfigError, ResourceError


def make_run(folder: Path, overrides: list[str], **status: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "overrides.yaml").write_text(json.dumps(overrides))  # JSON is YAML
    (folder / "status.json").write_text(json.dumps(status))
    return folder


def test_two_runs_of_the_same_second_get_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "STAMP", "same")
    names = [new_folder(tmp_path / "outputs").name for _ in range(3)]
    assert names == ["same", "same-2", "same-3"]


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "outputs").touch()
    with pytest.raises(ResourceError, match=r"set paths\.outputs"):
        new_folder(tmp_path / "outputs" / "phantom")


def test_stored_overrides_leave_out_resume(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", ["seed=3", "resume=x"], state="failed")
    assert stored_overrides(folder) == ["seed=3"]


@pytest.mark.parametrize("name", ["nothing", "empty", "file.ckpt"])
def test_a_folder_that_cannot_be_resumed_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.ckpt").touch()
    with pytest.raises(ConfigError, match="run folder"):
        stored_overrides(tmp_path / name)


def test_the_newest_unfinished_run_with_the_same_overrides_is_found(tmp_path: Path) -> None:
    make_run(tmp_path / "1", ["seed=3"], state="failed")
    wanted = make_run(tmp_path / "2", ["size=small", "seed=3"], state="interrupted")
    make_run(tmp_path / "3", ["seed=3", "size=small"], state="done")
    make_run(tmp_path / "4", ["seed=4", "size=small"], state="failed")
    assert newest_unfinished(tmp_path, ["seed=3", "size=small", "resume=auto"]) == wanted
    assert newest_unfinished(tmp_path, ["seed=5"]) is None


def test_a_run_that_is_still_at_work_is_not_taken_up(tmp_path: Path) -> None:
    make_run(tmp_path / "1", [], state="running")
    hold = (
        "import sys; from pathlib import Path; from lungseg.lock import FolderLock\n"
        "with FolderLock(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(tmp_path / "1")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()  # it holds the lock now
        assert newest_unfinished(tmp_path, []) is None
        other.stdin.close()
    assert newest_unfinished(tmp_path, []) == tmp_path / "1"


def test_a_run_that_was_killed_is_taken_up(tmp_path: Path) -> None:
    killed = make_run(tmp_path / "1", [], state="running", pid=2**22 + 1)  # above the largest process id of Linux
    assert newest_unfinished(tmp_path, []) == killed


def test_outcomes_are_read_from_the_folders_of_a_sweep(tmp_path: Path) -> None:
    make_run(tmp_path / "0", ["seed=0"], state="done", exit_code=0)
    make_run(tmp_path / "10", ["seed=10"], state="failed", exit_code=3, error="DataError: gone")
    (tmp_path / "2").mkdir()  # killed before it wrote anything
    found = outcomes_of(tmp_path)
    assert [outcome.exit_code for outcome in found] == [0, 1, 3]  # folders 0, 2, 10


def test_the_summary_names_the_overrides_of_what_failed() -> None:
    outcomes = [Outcome(("seed=0",), 0), Outcome(("seed=1", "model=x"), 3, "DataError: gone\nmore")]
    assert summary(outcomes) == "1 of 2 jobs failed:\n  #1  seed=1 model=x\n      exit code 3: DataError: gone"
    assert summary(outcomes[:1]) is None
