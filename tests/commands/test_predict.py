"""`predict`: masks and areas of every readable file, and the broken ones named at the end."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

import lungseg
from lungseg.commands import predict
from lungseg.data.phantom.generator import Phantom
from lungseg.errors import ConfigError, DataError, ResourceError
from tests.toy import phantom_config


def picture(index: int, size: tuple[int, int] = (40, 36)) -> np.ndarray:
    return cv2.resize(Phantom(0, (64, 64)).sample(index).pixels, size[::-1])


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three radiographs, one of them in a folder of its own, and a file that is none."""
    (tmp_path / "in" / "more").mkdir(parents=True)
    for name, size in (("a.png", (40, 36)), ("b.png", (37, 53)), ("more/c.PNG", (64, 64))):
        (tmp_path / "in" / name).write_bytes(cv2.imencode(".png", picture(len(name), size))[1].tobytes())
    (tmp_path / "in" / "notes.txt").write_text("no image")
    return tmp_path / "in"


def run(tmp_path: Path, checkpoint: Path, place: Path, *overrides: str) -> Path:
    config = phantom_config("predict", tmp_path / "run", f"checkpoint={checkpoint}", f"input={place}", *overrides)
    assert predict.run(config) == 0
    return tmp_path / "run"


def areas(folder: Path) -> list[dict[str, str]]:
    with (folder / "areas.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_radiograph_gets_a_mask_of_its_own_size_a_picture_and_a_row(tmp_path, folder, trained_run):
    out = run(tmp_path, trained_run, folder)
    rows = areas(out)
    assert [row["file"] for row in rows] == ["a.png", "b.png", "more/c.PNG"]
    assert [row["mask"] for row in rows] == [
        "masks/a_lungs.png", "masks/b_lungs.png", "masks/more/c_lungs.png",
    ]  # fmt: skip
    for row, size in zip(rows, [(40, 36), (37, 53), (64, 64)], strict=True):
        mask = cv2.imread(str(out / row["mask"]), cv2.IMREAD_UNCHANGED)
        assert mask.shape == size == (int(row["height"]), int(row["width"]))
        assert set(np.unique(mask)) <= {0, 255}
        assert int(row["area_pixels"]) == np.count_nonzero(mask)
        assert float(row["area_share"]) == pytest.approx(np.count_nonzero(mask) / mask.size, abs=1e-6)
    assert sorted(p.relative_to(out).as_posix() for p in (out / "overlays").rglob("*.png")) == [
        "overlays/a.png", "overlays/b.png", "overlays/more/c.png",
    ]  # fmt: skip


def test_masks_are_those_of_the_predictor(tmp_path, folder, trained_run):
    out = run(tmp_path, trained_run, folder, "batch_size=2")
    found = lungseg.load(trained_run, device="cpu")(folder / "b.png").masks["lungs"]
    assert np.array_equal(cv2.imread(str(out / "masks/b_lungs.png"), cv2.IMREAD_UNCHANGED) > 0, found)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_broken_file_is_named_at_the_end_and_the_others_are_written(tmp_path, folder, trained_run, batch_size):
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:200])
    with pytest.raises(DataError, match=r"1 of 3 files could not be read: b\.png\. The reasons are in .*areas\.csv"):
        run(tmp_path, trained_run, folder, f"batch_size={batch_size}")
    rows = areas(tmp_path / "run")
    assert [(row["file"], bool(row["error"])) for row in rows] == [
        ("a.png", False), ("b.png", True), ("more/c.PNG", False),
    ]  # fmt: skip
    assert "b.png" in rows[1]["error"]
    assert (tmp_path / "run/masks/a_lungs.png").exists()
    assert (tmp_path / "run/masks/more/c_lungs.png").exists()
    assert not (tmp_path / "run/masks/b_lungs.png").exists()


def test_one_file_can_be_given(tmp_path, folder, trained_run):
    assert [row["file"] for row in areas(run(tmp_path, trained_run, folder / "a.png"))] == ["a.png"]


def test_files_of_one_stem_keep_their_suffixes_apart(tmp_path, folder, trained_run):
    cv2.imwrite(str(folder / "a.jpg"), picture(9, (20, 24)))
    out = run(tmp_path, trained_run, folder)
    sizes = {p.name: cv2.imread(str(p), cv2.IMREAD_UNCHANGED).shape for p in (out / "masks").glob("*.png")}
    assert sizes == {"a.jpg_lungs.png": (20, 24), "a.png_lungs.png": (40, 36), "b_lungs.png": (37, 53)}


def test_overlays_can_be_left_out(tmp_path, folder, trained_run):
    assert not (run(tmp_path, trained_run, folder, "overlay=false") / "overlays").exists()


def test_another_output_folder_can_be_named(tmp_path, folder, trained_run):
    run(tmp_path, trained_run, folder, f"output={tmp_path / 'elsewhere'}")
    assert len(areas(tmp_path / "elsewhere")) == 3
    assert not (tmp_path / "run" / "areas.csv").exists()


def test_what_was_written_into_the_input_folder_is_no_input_the_next_time(tmp_path, folder, trained_run):
    run(tmp_path, trained_run, folder, f"output={folder}")
    run(tmp_path / "second", trained_run, folder, f"output={folder}")
    assert [row["file"] for row in areas(folder)] == ["a.png", "b.png", "more/c.PNG"]


def test_a_stricter_threshold_can_be_asked_for(tmp_path, folder, trained_run):
    shares = [
        float(areas(run(tmp_path / name, trained_run, folder / "a.png", f"threshold={value}"))[0]["area_share"])
        for name, value in (("low", 0.2), ("high", 0.8))
    ]
    assert shares[0] > shares[1]


def test_16_bits_colour_and_other_formats_are_read(tmp_path, trained_run):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in/deep.png"), picture(1).astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "in/colour.png"), np.dstack([picture(1)] * 3))
    cv2.imwrite(str(tmp_path / "in/photo.jpg"), picture(1))
    cv2.imwrite(str(tmp_path / "in/scan.tif"), picture(1))
    assert len(areas(run(tmp_path, trained_run, tmp_path / "in"))) == 4


def test_no_such_place_and_no_image_in_it_are_told_apart(tmp_path, trained_run):
    with pytest.raises(ConfigError, match="is neither a file nor a folder"):
        run(tmp_path, trained_run, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"holds no image file \(\.png"):
        run(tmp_path / "second", trained_run, tmp_path / "empty")


def test_an_output_folder_that_cannot_be_made_is_a_lack_of_resources(tmp_path, folder, trained_run):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResourceError, match="output="):
        run(tmp_path, trained_run, folder, f"output={tmp_path / 'file' / 'out'}")
