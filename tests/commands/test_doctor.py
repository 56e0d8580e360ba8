from __future__ import annotations

from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from lungseg.commands import doctor
from lungseg.commands.doctor import Finding, data, disk, packages, run, shared_memory


@pytest.fixture
def cfg(tmp_path: Path) -> dict[str, dict[str, str]]:
    return {"paths": {"data": str(tmp_path / "data"), "outputs": str(tmp_path / "outputs"), "store": ""}}


def pretend(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], needs: list[str]) -> None:
    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(doctor.metadata, "version", version)
    monkeypatch.setattr(doctor, "requirements", lambda: needs)


def test_what_is_installed_here_is_within_its_bounds() -> None:
    assert [finding for finding in packages() if finding.state == "missing"] == []


@pytest.mark.parametrize("version", ["2.6.2", "2.6.3"])
def test_the_malicious_uploads_are_named_and_nothing_is_imported(
    monkeypatch: pytest.MonkeyPatch, cfg: dict[str, dict[str, str]], capsys: pytest.CaptureFixture[str], version: str
) -> None:
    pretend(monkeypatch, {"lightning": version}, ["lightning!=2.6.2,!=2.6.3,<2.7,>=2.6"])
    monkeypatch.setattr(doctor, "devices", lambda: pytest.fail("imports torch"))
    monkeypatch.setattr(doctor, "data", lambda _: pytest.fail("imports our sources"))
    assert run(cfg) == 4
    out = " ".join(capsys.readouterr().out.split())
    assert "malicious upload" in out
    assert "change every password" in out


@pytest.mark.parametrize(
    ("versions", "need", "state", "told"),
    [
        ({}, "torch<3,>=2.11", "missing", "pip install 'torch<3,>=2.11'"),
        ({"torch": "2.5.0"}, "torch<3,>=2.11", "missing", "2.5.0 is outside"),
        ({}, "mlflow>=3.10; extra == 'mlflow'", "note", "pip install 'lungseg[mlflow]'"),
    ],
    ids=["absent", "too-old", "of-an-extra"],
)
def test_a_package_that_lacks_is_told_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], need: str, state: str, told: str
) -> None:
    pretend(monkeypatch, versions, [need])
    finding = next(iter(packages()))
    assert finding.state == state
    assert told in finding.text


@pytest.mark.parametrize(("free", "state"), [(0.5, "missing"), (5.0, "note"), (50.0, "ok")])
def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: float, state: str) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=free * 2**30))
    assert next(iter(disk(tmp_path / "a" / "b"))).state == state


def test_small_shared_memory_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(total=64 * 2**20))  # Docker's 64 MiB
    finding = next(iter(shared_memory(tmp_path)))
    assert (finding.state, "--shm-size" in finding.text) == ("note", True)


def test_an_absent_data_folder_is_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LUNGSEG_DATA", str(tmp_path / "gone"))
    (finding,) = data(tmp_path / "gone")
    assert finding.state == "note"
    assert "LUNGSEG_DATA=" in finding.text


def test_a_data_folder_at_a_url_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    from lungseg.data.phantom.layouts import write_layout
    from lungseg.remote.path import RemotePath, forget

    monkeypatch.setenv("LUNGSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LUNGSEG_DATA", raising=False)
    write_layout("montgomery", tmp_path / "data" / "montgomery", n=1)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "data"), "/sets", recursive=True)
    forget()
    try:
        findings = {finding.subject.strip(): finding for finding in data(RemotePath("memory://sets"))}
        (gone,) = data(RemotePath("memory://no"))
        (unknown,) = data(RemotePath("abf://sets"))
    finally:
        memory.store.clear()
        forget()
    assert findings["montgomery"].text.startswith("memory://sets/montgomery")
    assert (gone.state, unknown.state) == ("note", "note")
    assert "paths.data=memory://no is not there" in gone.text
    assert "did you mean abfs://" in unknown.text


def test_every_published_set_is_looked_for(tmp_path: Path) -> None:
    subjects = {finding.subject.strip(): finding.state for finding in data(tmp_path)}
    assert subjects["data"] == "ok"
    assert {subjects[name] for name in ("jsrt", "montgomery", "shenzhen", "mc_sh")} == {"note"}  # an empty folder


@pytest.mark.data
def test_the_sets_that_are_there_are_found(real_data: Path) -> None:
    findings = {finding.subject.strip(): finding for finding in data(real_data)}
    assert findings["montgomery"].state == "ok"


def test_findings_end_with_exit_code_0_when_nothing_needed_lacks(
    monkeypatch: pytest.MonkeyPatch, cfg: dict[str, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "packages", lambda: iter([Finding("ok", "packages", "all")]))
    assert run(cfg) == 0
    assert "Nothing needed is missing." in capsys.readouterr().out
    assert not Path(cfg["paths"]["outputs"]).exists()
