from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from lungseg import __version__
from lungseg.__main__ import main
from lungseg.errors import DataError, PreemptedError

Run = Callable[[dict[str, Any]], int]


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str, Run], list[dict[str, Any]]]]:
    """Put a function in the place of a verb's module, and work in an empty folder; gives the configurations it saw."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/lungseg", "as", "typed"])
    for name in ("LUNGSEG_DATA", "LUNGSEG_STORE", "WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)

    def install(name: str, run: Run) -> list[dict[str, Any]]:
        seen: list[dict[str, Any]] = []

        def wrapped(cfg: dict[str, Any]) -> int:
            seen.append({**cfg, "argv": list(sys.argv)})
            return run(cfg)

        monkeypatch.setitem(sys.modules, f"lungseg.commands.{name}", SimpleNamespace(run=wrapped))
        return seen

    yield install
    for handler in root.handlers:
        if handler not in before[0]:
            handler.close()
    root.handlers[:], root.level = before


def record(cfg: dict[str, Any], state: str = "done") -> int:
    """Leave what a run leaves."""
    folder = Path(cfg["run_dir"])
    (folder / "overrides.yaml").write_text(yaml.safe_dump(cfg["overrides"]))
    (folder / "status.json").write_text(json.dumps({"state": state, "exit_code": 0 if state == "done" else 1}))
    return 0


def lungseg(*words: str, cwd: Path) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run the program in a process of its own; gives also its CPU time in seconds."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "lungseg", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "NO_COLOR": "1"},
    )
    after = os.times()
    return done, after.children_user + after.children_system - before.children_user - before.children_system


# --- in processes of their own: few, since each costs its start


@pytest.fixture(scope="module")
def hydra_seconds() -> float:
    """CPU seconds of importing Hydra alone (0.2 on a quiet core): a measure of quick on any machine."""
    code = "import hydra, time; print(time.process_time())"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    return min(float(run.stdout) for run in runs)


def test_help_is_quick_and_imports_neither_torch_nor_hydra(hydra_seconds: float) -> None:
    code = (
        "import sys, time\nfrom lungseg.__main__ import main\nassert main(['--help']) == 0\n"
        "assert not {'torch', 'hydra', 'omegaconf', 'yaml', 'numpy'} & set(sys.modules), sorted(sys.modules)\n"
        "print(time.process_time(), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stderr) < hydra_seconds
    assert "resunet_jsrt" in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(["trian"], "did you mean train?", id="verb"),
        pytest.param(["modle=resunet"], "did you mean `model`?", id="key"),
        pytest.param(["model=resunett"], "did you mean model=resunet?", id="choice"),
        pytest.param(["model.dropot=0.1"], "did you mean `dropout`?", id="argument"),
        pytest.param(["-m", "model.init_skip=conv,convv"], "did you mean conv?", id="value-in-a-sweep"),
    ],
)
def test_a_mistake_exits_2_soon_and_makes_no_folder(
    tmp_path: Path, words: list[str], told: str, hydra_seconds: float
) -> None:
    done, seconds = lungseg(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    # Hydra costs 0.18 s on a quiet core, so this is the second that is promised
    assert seconds < 5.5 * hydra_seconds
    assert list(tmp_path.iterdir()) == []


def test_completion_knows_verbs_groups_and_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", "lungseg train model=res")
    done, _ = lungseg("-sc", "query=bash", cwd=tmp_path)
    assert done.stdout.split() == ["model=res_cr_net", "model=resnet34", "model=resunet"]


# --- in this process


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lungseg {__version__}\n"


def test_a_run_gets_its_configuration_and_a_folder_of_its_own(verb: Any, tmp_path: Path) -> None:
    seen = verb("train", lambda _: 0)
    assert main(["seed=3", "model.dropout=0.1"]) == 0
    assert main(["seed=3"]) == 0  # in the same second
    cfg = seen[0]
    assert (cfg["seed"], cfg["model"]["dropout"], cfg["resume"]) == (3, 0.1, None)
    assert cfg["run_dir"].startswith("outputs/phantom/")
    assert cfg["run_dir"] != seen[1]["run_dir"]
    assert (tmp_path / cfg["run_dir"] / "log.txt").is_file()
    assert not (tmp_path / cfg["run_dir"] / ".hydra").exists()


def test_several_processes_get_the_verb_the_overrides_and_the_folder(
    verb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[list[str], int]] = []
    monkeypatch.setattr("lungseg.cli.processes.run", lambda words, count, go_on: started.append((list(words), count)))
    seen = verb("train", lambda _: 0)
    assert main(["train", "seed=3", "model.dropout=0.1", "trainer.devices=2"]) == 0
    assert not seen
    (words, count) = started[0]
    assert count == 2
    assert words[:-2] == ["train", "seed=3", "++model.dropout=0.1", "trainer.devices=2"]
    assert (words[-2].partition("=")[0], words[-1]) == ("hydra.run.dir", "hydra.mode=RUN")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert main(words) == 0
    assert f"hydra.run.dir='{seen[0]['run_dir']}'" == words[-2]
    assert len(started) == 1


def test_a_failure_of_several_processes_is_told_once_and_kept(
    verb: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lungseg.cli.processes import Failure

    monkeypatch.setattr("lungseg.cli.processes.run", lambda words, count, go_on: Failure(3, "DataError: broken", 0.0))
    verb("train", lambda _: 0)
    assert main(["trainer.devices=2"]) == 3
    assert capsys.readouterr().err.count("DataError: broken") == 1
    (status,) = Path("outputs/phantom").glob("*/status.json")
    assert json.loads(status.read_text())["error"] == "DataError: broken"


def test_lightning_sees_no_hydra_whose_folder_it_would_add(verb: Any) -> None:
    from hydra.core.hydra_config import HydraConfig

    verb("train", lambda _: int(HydraConfig.initialized()))
    assert main([]) == 0


def test_an_error_for_the_user_is_one_red_line_with_the_traceback_in_the_log(
    verb: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(cfg: dict[str, Any]) -> int:
        raise DataError("no masks in data/jsrt")

    seen = verb("train", fail)
    assert main([]) == 3
    assert capsys.readouterr().err == "DataError: no masks in data/jsrt\n"
    folder = Path(seen[0]["run_dir"])
    assert "Traceback" in (folder / "log.txt").read_text()
    assert json.loads((folder / "status.json").read_text())["exit_code"] == 3


def test_an_unexpected_error_shows_the_traceback_and_exits_1(verb: Any, capsys: pytest.CaptureFixture[str]) -> None:
    verb("train", lambda _: 1 // 0)
    assert main([]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_an_interrupt_exits_130(verb: Any) -> None:
    def stop(cfg: dict[str, Any]) -> int:
        raise KeyboardInterrupt

    verb("train", stop)
    assert main([]) == 130


@pytest.mark.parametrize("name", ["doctor", "report", "check", "prepare"])
def test_a_verb_that_writes_no_run_leaves_no_folder(verb: Any, tmp_path: Path, name: str) -> None:
    seen = verb(name, lambda _: 0)
    needed = {"report": ["runs=outputs/x"]}.get(name, [])
    assert main([name, *needed]) == 0
    assert seen[0]["run_dir"].startswith("outputs/")
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_cannot_be_made_exits_4(verb: Any, tmp_path: Path) -> None:
    verb("train", lambda _: 0)
    (tmp_path / "outputs").touch()
    assert main([]) == 4


def test_a_failed_job_does_not_stop_a_sweep_and_is_named(verb: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def fail_once(cfg: dict[str, Any]) -> int:
        if cfg["batch_size"] == 2:
            raise DataError("broken image")
        return record(cfg)

    seen = verb("evaluate", fail_once)
    assert main(["evaluate", "-m", "batch_size=1,2,3", "checkpoint=a", "report=false"]) == 1
    assert [cfg["batch_size"] for cfg in seen] == [1, 2, 3]
    folders = [Path(cfg["run_dir"]) for cfg in seen]
    assert [folder.name for folder in folders] == ["0", "1", "2"]
    assert {folder.parent.parent for folder in folders} == {Path("outputs/sweeps")}
    assert len({folder.parent for folder in folders}) == 1
    err = capsys.readouterr().err
    assert "1 of 3 jobs failed:\n  #1  batch_size=2 checkpoint=a report=False\n      exit code 3: DataError" in err
    assert json.loads((folders[1] / "status.json").read_text())["state"] == "failed"


def test_a_sweep_group_runs_every_seed_and_writes_one_report(verb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[list[Path], Path]] = []
    html = SimpleNamespace(write_report=lambda runs, output: calls.append((list(runs), output)))
    monkeypatch.setitem(sys.modules, "lungseg.report.html", html)
    seen = verb("train", record)
    assert main(["sweep=seeds"]) == 0
    assert [cfg["seed"] for cfg in seen] == [0, 1, 2]
    assert [folder.name for folder in calls[0][0]] == ["0", "1", "2"]
    assert calls[0][1].parent == Path("outputs/sweeps")
    # one job again: as another rank of it, and resumed; both alone
    assert main(["train", *seen[1]["overrides"], f"hydra.run.dir='{seen[1]['run_dir']}'", "hydra.mode=RUN"]) == 0
    assert main([f"resume={seen[2]['run_dir']}"]) == 0
    assert [cfg["seed"] for cfg in seen[3:]] == [1, 2]
    assert [cfg["run_dir"] for cfg in seen[3:]] == [cfg["run_dir"] for cfg in seen[1:3]]


def test_a_sweep_that_was_broken_off_is_taken_up_where_it_stood(
    verb: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of five jobs the second fails, the fourth is stopped and the fifth never begins."""
    mended = False

    def work(cfg: dict[str, Any]) -> int:
        if cfg["seed"] == 1 and not mended:
            raise DataError("broken image")
        if cfg["seed"] == 3 and not mended:
            record(cfg, "interrupted")
            raise PreemptedError("saved")
        return record(cfg)

    seen = verb("train", work)
    assert main(["-m", "seed=0,1,2,3,4", "model.dropout=0.1", "report=false"]) == 75
    sweep = Path(seen[0]["run_dir"]).parent
    assert f"Only what is missing is done by: python -m lungseg resume={sweep}" in capsys.readouterr().err
    mended = True
    del seen[:]
    assert main([f"resume={sweep}"]) == 0
    assert [cfg["seed"] for cfg in seen] == [1, 3, 4]
    assert {Path(cfg["run_dir"]).parent for cfg in seen} == {sweep}
    assert [cfg["model"]["dropout"] for cfg in seen] == [0.1] * 3
    assert [cfg["resume"] for cfg in seen] == [None, str((sweep / "3").absolute()), None]
    assert f"resume='{(sweep / '3').absolute()}'" in seen[1]["overrides"]
    assert (sweep / ".failed" / "1_1" / "status.json").is_file()
    del seen[:]
    assert main([f"resume={sweep}"]) == 0
    assert seen == []


def test_a_sweep_that_is_taken_up_stays_what_it_was(verb: Any, capsys: pytest.CaptureFixture[str]) -> None:
    seen = verb("train", record)
    assert main(["-m", "seed=0,1", "report=false"]) == 0
    sweep = Path(seen[0]["run_dir"]).parent
    assert main([f"resume={sweep}", "seed=5"]) == 2
    assert "takes up a sweep as it was: leave out seed=5" in capsys.readouterr().err
    # another sweep in the same folder: no job of the first is touched
    assert main(["-m", "seed=5,1,2", "report=false", f"hydra.sweep.dir={sweep}"]) == 1
    assert "holds another job: seed (seed=0 before)" in capsys.readouterr().err
    assert [cfg["seed"] for cfg in seen] == [0, 1, 2]


def test_the_jobs_of_another_verb_are_done_again_from_their_beginning(verb: Any) -> None:
    states = iter(["done", "interrupted"])
    seen = verb("evaluate", lambda cfg: record(cfg, next(states, "done")))
    words = ["evaluate", "-m", "batch_size=1,2", "checkpoint=a", "report=false", "hydra.sweep.dir=outputs/mine"]
    assert main(words) == 0
    assert main(words) == 0
    assert [cfg["batch_size"] for cfg in seen] == [1, 2, 2]


def test_a_signal_stops_the_sweep(verb: Any) -> None:
    def preempted(cfg: dict[str, Any]) -> int:
        raise PreemptedError("saved")

    seen = verb("evaluate", preempted)
    assert main(["evaluate", "-m", "batch_size=1,2", "checkpoint=a", "report=false"]) == 75
    assert len(seen) == 1


def test_resume_takes_the_overrides_of_the_run_first_and_its_folder(verb: Any) -> None:
    seen = verb("train", lambda cfg: record(cfg, "interrupted"))
    assert main(["seed=3", "model.dropout=0.1"]) == 0
    folder = seen[0]["run_dir"]
    assert main([f"resume={folder}", "trainer.max_epochs=9"]) == 0
    again = seen[1]
    assert (again["seed"], again["model"]["dropout"], again["trainer"]["max_epochs"]) == (3, 0.1, 9)
    assert (again["run_dir"], again["resume"]) == (folder, str(Path(folder).absolute()))


def test_resume_auto_finds_the_unfinished_run_of_the_same_overrides(verb: Any) -> None:
    seen = verb("train", lambda cfg: record(cfg, "interrupted" if cfg["seed"] == 3 else "done"))
    assert main(["seed=3"]) == 0
    assert main(["seed=3", "resume=auto"]) == 0
    assert main(["seed=4", "resume=auto"]) == 0
    assert seen[1]["run_dir"] == seen[0]["run_dir"]
    assert seen[2]["run_dir"] != seen[0]["run_dir"]  # there is none with this seed: a new run
    assert (seen[1]["resume"], seen[2]["resume"]) == (str(Path(seen[0]["run_dir"]).absolute()), None)


def test_a_folder_that_is_no_run_cannot_be_resumed(
    verb: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb("train", lambda _: 0)
    (tmp_path / "empty").mkdir()
    assert main(["resume=empty"]) == 2
    assert "holds no overrides.yaml" in capsys.readouterr().err


def test_processes_started_together_must_be_given_one_folder(verb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = verb("train", lambda _: 0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert main([]) == 2
    assert main(["hydra.run.dir=outputs/shared"]) == 0
    assert seen[0]["run_dir"] == "outputs/shared"


def test_cfg_shows_the_configuration_and_runs_nothing(
    verb: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = verb("predict", lambda _: 0)
    assert main(["predict", "--cfg", "job"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["checkpoint"] == "???"
    assert (seen, list(tmp_path.iterdir())) == ([], [])


@pytest.fixture
def results() -> Iterator[Path]:
    """A place for results at a URL."""
    import fsspec

    from lungseg.remote.path import RemotePath, forget

    store = fsspec.filesystem("memory").store
    store.clear()
    forget()
    yield RemotePath("memory://results")
    store.clear()
    forget()


def test_a_run_is_copied_to_the_results_at_its_end_and_a_failed_one_too(verb: Any, results: Path) -> None:
    def run(cfg: dict[str, Any]) -> int:
        if cfg["seed"]:
            raise DataError("no masks")
        return record(cfg)

    seen = verb("train", run)
    assert main([f"paths.results={results}"]) == 0
    assert main([f"paths.results={results}", "seed=1"]) == 3
    good, bad = (results / Path(cfg["run_dir"]).relative_to("outputs").as_posix() for cfg in seen)
    assert json.loads((good / "status.json").read_text())["state"] == "done"
    assert json.loads((bad / "status.json").read_text())["state"] == "failed"
    assert "DataError: no masks" in (bad / "log.txt").read_text()


def test_a_run_whose_copy_fails_ends_with_that_error_and_keeps_its_own(
    verb: Any, results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lungseg.errors import ResourceError
    from lungseg.remote.storage import Storage

    def refuse(*_: object) -> None:
        raise ResourceError("writing was refused")

    monkeypatch.setattr(Storage, "write", refuse)
    seen = verb("train", lambda cfg: record(cfg) if cfg["seed"] == 0 else 1 // 0)
    assert main([f"paths.results={results}"]) == 4
    assert "writing was refused. All of it is still in outputs/phantom/" in capsys.readouterr().err
    assert (Path(seen[0]["run_dir"]) / "status.json").is_file()
    assert main([f"paths.results={results}", "seed=1"]) == 1


def test_the_jobs_of_a_sweep_are_copied_and_its_report(
    verb: Any, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    html = SimpleNamespace(write_report=lambda runs, output: (output / "report.html").write_text("joined"))
    monkeypatch.setitem(sys.modules, "lungseg.report.html", html)
    seen = verb("train", record)
    assert main(["-m", "seed=0,1", f"paths.results={results}"]) == 0
    sweep = results / Path(seen[0]["run_dir"]).parent.relative_to("outputs").as_posix()
    assert (sweep / "report.html").read_text() == "joined"
    assert [(sweep / job / "status.json").is_file() for job in "01"] == [True, True]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("hydra.run.dir=abfs://images/x", "hydra.run.dir=abfs://images/x must be a folder on this machine"),
        ("resume=abfs://images/x", "resume=abfs://images/x must be a run folder on this machine"),
        ("paths.results=elsewhere", "paths.results=elsewhere is no URL"),
        ("paths.cache_gb=-1", "paths.cache_gb=-1.0 is below 0"),
    ],
)
def test_a_place_of_the_wrong_kind_exits_2(
    verb: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, told: str
) -> None:
    verb("train", lambda _: 0)
    assert main([override]) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
