from __future__ import annotations

import json

import cv2
import pytest

from lungseg.commands.check import run
from lungseg.data.phantom.layouts import write_layout
from lungseg.errors import ResourceError


def config(root, run_dir, name="montgomery", target="MontgomerySource", **more):
    node = {"_target_": f"lungseg.data.sources.{name}.{target}", "root": str(root)}
    return {"data": {"sources": {name: node}}, "run_dir": str(run_dir), "sheet": 12, **more}


@pytest.fixture
def root(tmp_path):
    return write_layout("montgomery", tmp_path / "set", n=3, size=(64, 80)).root


def test_a_sound_set_is_usable_and_leaves_a_sheet_and_figures(root, tmp_path, capsys):
    assert run(config(root, tmp_path / "run")) == 0
    shown = capsys.readouterr().out
    for said in ("MontgomerySet/", "3 with masks", "64 x 80: 3", "duplicates", "usable"):
        assert said in shown
    # 3 tiles of 360 x 450 with a strip of 24 and a frame of 2 on each side
    assert cv2.imread(str(tmp_path / "run" / "check.png")).shape == (388, 3 * 454, 3)
    figures = json.loads((tmp_path / "run" / "check.json").read_text())
    assert figures["ok"] is True
    assert figures["sources"][0]["n"] == 3


def test_unreadable_files_end_with_exit_code_3_and_are_named(root, tmp_path, capsys):
    bad = sorted((root / "CXR_png").iterdir())[1]
    bad.write_bytes(b"<html>")
    assert run(config(root, tmp_path / "run")) == 3
    shown = capsys.readouterr().out.replace("\n", "")
    assert bad.name in shown
    assert "it is a web page" in shown
    assert json.loads((tmp_path / "run" / "check.json").read_text())["ok"] is False


def test_a_set_that_is_not_there_ends_with_exit_code_3_and_its_tree(tmp_path, capsys):
    assert run(config(tmp_path, tmp_path / "run")) == 3
    shown = capsys.readouterr().out
    assert "ManualMask/leftMask" in shown
    assert "Where to get it" in shown.replace("\n", " ")
    assert not (tmp_path / "run" / "check.png").exists()


def test_a_radiograph_in_two_sets_is_told(root, tmp_path, capsys):
    cfg = config(root, tmp_path / "run")
    other = write_layout("folder", tmp_path / "mine", n=1, size=(64, 80)).root
    image = next((other / "images").iterdir())
    image.write_bytes(sorted((root / "CXR_png").iterdir())[0].read_bytes())
    cfg["data"]["sources"]["folder"] = {"_target_": "lungseg.data.sources.folder.FolderSource", "root": str(other)}
    assert run(cfg) == 0
    assert "1 radiographs stand in more than one set" in capsys.readouterr().out.replace("\n", " ")


def test_the_phantom_needs_no_files(tmp_path, capsys):
    cfg = config(tmp_path, tmp_path / "run", name="phantom", target="PhantomSource")
    cfg["data"]["sources"]["phantom"] |= {"n": 3, "size": [64, 64]}
    assert run(cfg) == 0
    assert "3 with masks" in capsys.readouterr().out


def test_the_sheet_goes_to_output_or_to_a_file_named_after_the_sets(root, tmp_path):
    cfg = config(root, "", output=str(tmp_path / "a" / "sheet.png"))
    run(cfg)
    assert (tmp_path / "a" / "sheet.json").is_file()
    run(config(root, "", paths={"outputs": str(tmp_path / "b")}, output=None))
    assert (tmp_path / "b" / "check_montgomery.png").is_file()


def test_a_place_that_cannot_be_written_is_a_resource_error(root, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResourceError, match="output=<file>"):
        run(config(root, tmp_path / "file"))


@pytest.mark.data
def test_the_real_jsrt_copy_is_usable(real_data, tmp_path, capsys):
    cfg = config("", tmp_path, name="jsrt", target="JsrtSource")
    cfg["data"]["sources"]["jsrt"] = {
        "_target_": "lungseg.data.sources.jsrt.JsrtSource",
        "search": str(real_data),
    }
    assert run(cfg) == 0
    figures = json.loads((tmp_path / "check.json").read_text())["sources"][0]
    assert (figures["n"], figures["sizes"], figures["looks_inverted"]) == (246, {"200 x 200": 246}, [])
    assert (figures["same_files"], figures["unreadable"], figures["warnings"]) == ([], [], [])
    assert 0.28 < figures["masks"]["lungs"]["area"] < 0.33


def test_a_structure_that_the_set_has_no_masks_of_makes_it_unusable_and_says_what_to_set(root, tmp_path, capsys):
    cfg = config(root, tmp_path / "run")
    cfg["data"]["structures"] = ["heart"]
    assert run(cfg) == 3
    shown = " ".join(capsys.readouterr().out.split())
    assert "asks for heart" in shown
    assert "data.structures=[lungs,right_lung,left_lung]" in shown


def test_lungs_are_drawn_beside_another_structure_where_they_are_no_union_of_others():
    from lungseg.commands.check import drawn

    assert drawn({"lungs": "a", "infection": "b"}) == ["lungs", "infection"]
    assert drawn({"right_lung": "a", "left_lung": "b", "heart": "c"}) == ["right_lung", "left_lung", "heart"]


def test_a_set_without_masks_has_a_sheet_of_plain_radiographs_and_its_findings_are_counted(tmp_path, capsys):
    root = write_layout("nih_chestxray", tmp_path / "set", n=6, size=(64, 64)).root
    cfg = config(root, tmp_path / "run", "nih_chestxray", "NihChestXraySource")
    cfg["data"]["sources"]["nih_chestxray"]["label_rule"] = "all"
    assert run(cfg) == 0
    shown = capsys.readouterr().out
    assert "6, 0 kept aside" in shown
    assert "with masks" not in shown
    # six tiles of 360 x 360, four in a row, none of them coloured
    sheet = cv2.imread(str(tmp_path / "run" / "check.png"))
    assert sheet.shape == (2 * 388, 4 * 364, 3)
    assert (sheet.min(axis=2) == sheet.max(axis=2)).all()
    labels = json.loads((tmp_path / "run" / "check.json").read_text())["sources"][0]["labels"]
    assert sum(labels.values()) > 6  # some have two findings
    assert set(labels) <= {"No Finding", "Consolidation", "Infiltration", "Effusion", "Mass", "Nodule"}
