import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from lungseg.data.phantom.generator import Phantom
from lungseg.data.phantom.layouts import write_layout

SIZE = (40, 48)
LABELS = [Phantom(0, SIZE).facts(i).label for i in range(8)]


def files(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def test_kermany_names_tell_the_class_and_one_of_four_is_for_testing(tmp_path):
    written = write_layout("kermany", tmp_path, n=8, size=SIZE)
    assert written.root == tmp_path / "chest_xray"
    words = {"normal": "IM-", "lobar": "_bacteria_", "bilateral": "_virus_"}
    for place, (stem, label) in enumerate(zip(written.samples, LABELS, strict=True), start=1):
        folder = "NORMAL" if label == "normal" else "PNEUMONIA"
        path = written.root / ("test" if place % 4 == 2 else "train") / folder / f"{stem}.jpeg"
        assert path.read_bytes()[:3] == b"\xff\xd8\xff"  # JPEG
        assert words[label] in stem
    assert len(files(tmp_path)) == 8


def test_the_numbers_of_children_begin_anew_in_the_test_part(tmp_path):
    root = write_layout("kermany", tmp_path, n=18, size=SIZE).root
    children = {
        part: {p.name.split("_")[0] for p in (root / part / "PNEUMONIA").iterdir()} for part in ("train", "test")
    }
    assert "person1" in children["train"] & children["test"]


def test_a_jpeg_is_the_radiograph_but_for_its_loss(tmp_path):
    written = write_layout("kermany", tmp_path, n=1, size=(64, 64))
    (path,) = written.root.rglob("*.jpeg")
    drawn = Phantom(0, (64, 64), bits=12).sample(0).pixels / 4095 * 255
    assert np.abs(cv2.imread(str(path), cv2.IMREAD_UNCHANGED) - drawn).mean() < 2


def test_mendeley_names_begin_with_the_class_and_there_is_a_validation_part(tmp_path):
    written = write_layout("kermany_mendeley", tmp_path, n=8, size=SIZE)
    words = {"normal": "NORMAL", "lobar": "BACTERIA", "bilateral": "VIRUS"}
    assert [stem.split("-")[0] for stem in written.samples] == [words[label] for label in LABELS]
    parts = {name.split("/")[1] for name in files(tmp_path)}
    assert parts == {"train", "val", "test"}


def test_nih_has_folders_of_four_images_a_bare_header_and_two_lists(tmp_path):
    written = write_layout("nih_chestxray", tmp_path, n=6, size=SIZE)
    images = [f"images_{i // 4 + 1:03d}/images/{stem}.png" for i, stem in enumerate(written.samples)]
    assert files(tmp_path) == sorted([*images, "Data_Entry_2017.csv", "test_list.txt", "train_val_list.txt"])
    lines = (tmp_path / "Data_Entry_2017.csv").read_bytes().decode().split("\r\n")
    assert lines[0].endswith("View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],")
    assert {line.count(",") for line in lines if line} == {11}
    assert ",40,40,0.143,0.143," in lines[1]  # square: NIH's images are
    assert lines[1].split(",")[4].endswith("Y")
    listed = [(tmp_path / f"{name}_list.txt").read_text().split() for name in ("train_val", "test")]
    assert sorted([*listed[0], *listed[1]]) == sorted(f"{stem}.png" for stem in written.samples)
    assert not {name[:8] for name in listed[0]} & {name[:8] for name in listed[1]}


def test_the_nih_table_of_2020_has_quoted_headers_and_plain_ages(tmp_path):
    written = write_layout("nih_chestxray_v2020", tmp_path, n=3, size=SIZE)
    with (tmp_path / "Data_Entry_2017_v2020.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header[7:] == ["OriginalImage[Width,Height]", "OriginalImagePixelSpacing[x,y]"]
    assert [row[0].removesuffix(".png") for row in rows] == list(written.samples)
    assert all(row[4].isdigit() for row in rows)
    assert (tmp_path / "images" / rows[0][0]).is_file()


def test_nih_findings_follow_the_phantoms_label_and_some_are_joined(tmp_path):
    write_layout("nih_chestxray_v2020", tmp_path, n=8, size=SIZE)
    with (tmp_path / "Data_Entry_2017_v2020.csv").open(newline="") as file:
        findings = [row[1] for row in list(csv.reader(file))[1:]]
    first = {"normal": "No Finding", "lobar": "Consolidation", "bilateral": "Infiltration"}
    assert [text.split("|")[0] for text in findings] == [first[label] for label in LABELS]
    assert any("|" in text for text in findings)


def test_class_folders_bear_the_label(tmp_path):
    written = write_layout("class_folders", tmp_path, n=4, size=SIZE)
    assert files(tmp_path) == sorted(
        f"{label}/{stem}.png" for label, stem in zip(LABELS, written.samples, strict=False)
    )


def test_a_label_table_has_ones_noughts_and_cells_that_are_empty(tmp_path):
    write_layout("label_table", tmp_path, n=4, size=SIZE)
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["effusion"] for row in rows] == ["0", "0", "", "0"]  # every third is unknown
    assert [row["lobar"] for row in rows] == [str(int(label == "lobar")) for label in LABELS[:4]]


@pytest.mark.parametrize("name", ["kermany", "kermany_mendeley", "nih_chestxray", "class_folders", "label_table"])
def test_layouts_for_classification_have_no_masks(tmp_path, name):
    written = write_layout(name, tmp_path, n=3, size=SIZE)
    assert written.without_mask == tuple(written.samples)
