"""The verb `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lungseg.commands.report import run
from lungseg.errors import ConfigError


def _config(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    return {"runs": None, "output": None, "title": None, "paths": {"outputs": str(tmp_path / "outputs")}, **changes}


def _run(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "status.json").write_text('{"verb": "predict", "state": "done"}')
    return folder


def test_one_run_is_reported_in_its_own_folder_and_the_path_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = _run(tmp_path / "a")
    assert run(_config(tmp_path, runs=str(folder))) == 0
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"


def test_several_runs_are_reported_in_a_folder_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    runs = [str(_run(tmp_path / name)) for name in ("a", "b")]
    run(_config(tmp_path, runs=runs))
    page = Path(capsys.readouterr().out.strip())
    assert page.is_file()
    assert page.parent.parent == tmp_path / "outputs" / "reports"


def test_output_and_title_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    page = tmp_path / "mine.html"
    run(_config(tmp_path, runs=str(_run(tmp_path / "a")), output=str(page), title="Mine"))
    assert "<h1>Mine</h1>" in page.read_text()


@pytest.mark.parametrize("runs", [None, "", "???", []], ids=["null", "empty", "missing", "no item"])
def test_no_runs_is_refused_with_what_to_say(tmp_path: Path, runs: Any):
    with pytest.raises(ConfigError, match=r"runs is not set.*report runs=outputs/<run>"):
        run(_config(tmp_path, runs=runs))
