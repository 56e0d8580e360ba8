"""The run folder's record: what was run and how it ended, whatever happened."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from lungseg.errors import ConfigError, DataError, DivergedError, PreemptedError, ResourceError
from lungseg.run_folder import environment, recording, refuse_small_disk, resource_error, take_up, write_json, writing


def config(folder: Path, **more) -> dict:
    return {
        "verb": "train", "run_dir": str(folder), "overrides": ["seed=3"], "seed": 3, "paths": {"data": Path("data")},
        **more,
    }  # fmt: skip


def status(folder: Path) -> dict:
    return json.loads((folder / "status.json").read_text())


class TestStatus:
    def test_while_it_runs_the_folder_says_so(self, tmp_path):
        with recording(config(tmp_path / "run")) as folder:
            found = status(folder)
        assert (found["verb"], found["state"], found["exit_code"], found["ended"]) == ("train", "running", None, None)

    def test_a_run_that_went_well_is_done(self, tmp_path):
        with recording(config(tmp_path)):
            pass
        found = status(tmp_path)
        assert (found["state"], found["exit_code"], found["error"]) == ("done", 0, None)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", found["started"])
        assert found["ended"] >= found["started"]
        assert found["resumed"] == []

    @pytest.mark.parametrize(
        ("error", "state", "code"),
        [
            (DivergedError("nan"), "diverged", 5),
            (PreemptedError("signal"), "interrupted", 75),
            (KeyboardInterrupt(), "interrupted", 130),
            (DataError("no file"), "failed", 3),
            (ConfigError("no key"), "failed", 2),
            (ResourceError("no disk"), "failed", 4),
            (ValueError("a fault of ours"), "failed", 1),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
    )
    def test_an_error_is_recorded_and_goes_on(self, tmp_path, error, state, code):
        with pytest.raises(type(error)), recording(config(tmp_path)):
            raise error
        found = status(tmp_path)
        assert (found["state"], found["exit_code"]) == (state, code)
        assert found["error"] == f"{type(error).__name__}: {error}"
        assert found["ended"] is not None

    def test_the_seconds_of_a_resumed_run_add_up(self, tmp_path):
        with recording(config(tmp_path)):
            pass
        first = status(tmp_path)
        write_json(tmp_path / "status.json", {**first, "seconds": 100.0, "state": "interrupted"})
        with recording(config(tmp_path)):
            pass
        second = status(tmp_path)
        assert 100 <= second["seconds"] < 110
        assert second["started"] == first["started"]
        assert len(second["resumed"]) == 1

    def test_a_damaged_status_is_begun_afresh(self, tmp_path):
        (tmp_path / "status.json").write_text("{half a fi")
        with recording(config(tmp_path)):
            pass
        assert status(tmp_path)["state"] == "done"


class TestFiles:
    def test_the_config_is_plain_yaml_without_what_only_the_program_knows(self, tmp_path):
        with recording(config(tmp_path, threshold=float("nan"))):
            pass
        found = yaml.safe_load((tmp_path / "config.yaml").read_text())
        assert found == {"seed": 3, "paths": {"data": "data"}, "threshold": None}

    def test_the_overrides_of_the_first_sitting_are_kept(self, tmp_path):
        with recording(config(tmp_path)):
            pass
        with recording({**config(tmp_path), "overrides": ["resume=x"]}):
            pass
        assert yaml.safe_load((tmp_path / "overrides.yaml").read_text()) == ["seed=3"]

    def test_the_environment_names_versions_and_hardware(self):
        found = environment()
        assert found["packages"]["torch"].startswith("2.")
        assert found["hardware"]["cores"] >= 1
        assert found["hardware"]["ram_gib"] > 0
        assert {"lungseg", "commit", "dirty", "python", "platform"} <= set(found)

    def test_a_package_that_is_not_there_is_said_to_be_missing(self, monkeypatch):
        monkeypatch.setattr("lungseg.run_folder.PACKAGES", ("no-such-package",))
        assert environment()["packages"] == {"no-such-package": "not installed"}

    def test_outside_of_a_clone_there_is_no_commit(self, monkeypatch, tmp_path):
        monkeypatch.setattr("lungseg.run_folder.__file__", str(tmp_path / "lungseg" / "run_folder.py"))
        assert (environment()["commit"], environment()["dirty"]) == (None, False)

    def test_a_folder_that_cannot_be_made_is_a_lack_of_resources_and_runs_nothing(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with (
            pytest.raises(ResourceError, match=r"a part of its path is a file .*paths\.outputs"),
            recording(config(tmp_path / "file" / "run")),
        ):
            pytest.fail("the body ran")

    def test_a_disk_that_is_full_at_the_end_hides_no_error(self, tmp_path, caplog, monkeypatch):
        def full(*_, **__) -> None:
            raise OSError(28, "No space left on device")

        def body() -> None:
            monkeypatch.setattr(Path, "write_text", full)
            raise DataError("the true cause")

        with pytest.raises(DataError, match="the true cause"), recording(config(tmp_path)):
            body()
        assert "status.json could not be written" in caplog.text

    def test_a_folder_with_results_is_not_written_over(self, tmp_path):
        (tmp_path / "metrics.json").write_text("{}")
        with pytest.raises(ConfigError, match=r"holds a run already \(metrics\.json\)"), recording(config(tmp_path)):
            pytest.fail("the body ran")

    def test_a_run_that_goes_on_writes_into_its_own_results(self, tmp_path):
        (tmp_path / "metrics.json").write_text("{}")
        with recording(config(tmp_path, resume=str(tmp_path))):
            pass
        assert status(tmp_path)["state"] == "done"

    def test_a_run_that_goes_on_keeps_of_each_override_the_last(self, tmp_path):
        with recording(config(tmp_path)):
            pass
        take_up({**config(tmp_path), "overrides": ["seed=3", "trainer.max_epochs=9", "resume=auto"]}, tmp_path)
        assert yaml.safe_load((tmp_path / "overrides.yaml").read_text()) == ["seed=3", "trainer.max_epochs=9"]

    def test_a_disk_too_small_for_the_checkpoints_is_told_beforehand(self, tmp_path):
        with pytest.raises(ResourceError, match=r"MiB free, and the checkpoints .* take up to 7,000,000,000 MiB"):
            refuse_small_disk(tmp_path, weights=10**9 * 2**20)

    def test_a_disk_large_enough_passes(self, tmp_path):
        refuse_small_disk(tmp_path, weights=1)


@pytest.mark.parametrize(
    ("number", "said"), [(28, "the disk is full"), (30, "read-only"), (13, "permission denied")], ids=str
)
def test_an_error_of_the_machine_becomes_a_sentence(tmp_path, number, said):
    error = resource_error(OSError(number, "as the system says", str(tmp_path / "a.csv")), tmp_path, resume=True)
    assert f"{tmp_path / 'a.csv'} cannot be used: " in str(error)
    assert said in str(error)
    assert f"python -m lungseg resume={tmp_path}" in str(error)


def test_an_error_that_does_not_blame_the_machine_stays_itself(tmp_path):
    assert resource_error(OSError(2, "No such file"), tmp_path) is None


class TestWriteJson:
    def test_what_is_not_a_number_is_null(self, tmp_path):
        values = {"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": np.float32("nan")}}
        write_json(tmp_path / "x.json", values)
        assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [None, 1.5], "c": {"d": None}}

    def test_numpy_s_numbers_paths_and_tuples_are_plain(self, tmp_path):
        values = {"n": np.int64(3), "x": np.float64(0.5), "path": Path("a/b"), "size": (1, 2), 4: np.bool_(True)}
        write_json(tmp_path / "x.json", values)
        assert json.loads((tmp_path / "x.json").read_text()) == {
            "n": 3, "x": 0.5, "path": "a/b", "size": [1, 2], "4": True,
        }  # fmt: skip

    def test_a_write_that_fails_leaves_the_old_file_whole(self, tmp_path, monkeypatch):
        write_json(tmp_path / "x.json", {"old": 1})
        monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            write_json(tmp_path / "x.json", {"new": 2})
        assert json.loads((tmp_path / "x.json").read_text()) == {"old": 1}


def test_writing_names_the_file_and_what_to_do():
    with (
        pytest.raises(ResourceError, match=r"a\.csv cannot be written .*No space.*Free some space"),
        writing(Path("a.csv")),
    ):
        raise OSError(28, "No space left on device")
