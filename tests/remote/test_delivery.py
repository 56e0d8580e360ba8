from __future__ import annotations

import pytest

from lungseg.errors import ConfigError, DataError, ResourceError
from lungseg.remote.delivery import check_target, delivering, send_run, upload
from lungseg.remote.path import RemotePath
from lungseg.remote.storage import Storage


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "outputs" / "phantom" / "1"
    for name in ("report.html", "checkpoints/best.ckpt", ".lock", "checkpoints/.best.ckpt.part", ".hidden/a"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def content(place):
    return {path.relative_to(place).as_posix(): path.read_text() for path in place.rglob("*")}


def test_a_folder_is_copied_without_locks_and_half_written_files(run, bucket):
    assert upload(run, bucket / "x") == 2
    assert content(bucket / "x") == {"report.html": "report.html", "checkpoints/best.ckpt": "checkpoints/best.ckpt"}


def test_the_files_of_a_folder_alone(run, bucket):
    assert upload(run, bucket, recursive=False) == 1


def test_a_run_keeps_its_name_below_the_outputs(run, bucket, tmp_path):
    assert str(send_run(run, tmp_path / "outputs", str(bucket))) == "memory://bucket/phantom/1"
    assert (bucket / "phantom" / "1" / "report.html").is_file()


def test_a_run_from_elsewhere_goes_by_its_own_name(run, bucket, tmp_path):
    assert str(send_run(run, tmp_path / "other", str(bucket))) == "memory://bucket/1"


def test_a_local_output_is_written_to_directly(tmp_path):
    with delivering(tmp_path / "out", tmp_path / "stage") as folder:
        assert folder == tmp_path / "out"
    assert not (tmp_path / "stage").exists()


def write_into(folder):
    folder.mkdir()
    (folder / "areas.csv").write_text("file\n")


def test_a_remote_output_is_copied_at_the_end(bucket, tmp_path):
    with delivering(bucket / "out", tmp_path / "stage") as folder:
        write_into(folder)
        assert not (bucket / "out").exists()
    assert content(bucket / "out") == {"areas.csv": "file\n"}


def test_it_is_copied_too_when_some_radiographs_could_not_be_read(bucket, tmp_path):
    def predict():
        with delivering(bucket / "out", tmp_path / "stage") as folder:
            write_into(folder)
            raise DataError("1 of 2 files could not be read")

    with pytest.raises(DataError, match="1 of 2"):
        predict()
    assert content(bucket / "out") == {"areas.csv": "file\n"}


def test_when_nothing_was_written_nothing_is_copied(bucket, tmp_path):
    with pytest.raises(DataError, match="damaged"), delivering(bucket / "out", tmp_path / "stage"):
        raise DataError("the checkpoint is damaged")
    assert not (bucket / "out").exists()


def test_what_could_not_be_copied_is_said_to_be_here_still(run, bucket, monkeypatch):
    monkeypatch.setattr(
        Storage, "write", lambda *_: (_ for _ in ()).throw(ResourceError("writing memory://bucket was refused"))
    )
    with pytest.raises(ResourceError, match=rf"could not be copied to memory://bucket: .*refused.*still in {run}"):
        upload(run, bucket)


def test_a_target_is_looked_at_before_the_work():
    with pytest.raises(ConfigError, match="did you mean abfs://"):
        check_target("abf://bucket")
    check_target(str(RemotePath("memory://bucket")))
