from __future__ import annotations

import shutil

import numpy as np
import pytest

from lungseg.data.phantom.layouts import write_layout
from lungseg.data.sources.jsrt import JsrtSource
from lungseg.data.table import SamplesTable
from lungseg.errors import DataError

STRUCTURES = ["right_lung", "left_lung", "heart", "right_clavicle", "left_clavicle"]


@pytest.fixture
def png(tmp_path):
    return write_layout("jsrt_png", tmp_path, n=6, size=(64, 64)).root


def test_rows_bear_fold_label_and_spacing(png):
    rows = {row["sample_id"]: row for row in JsrtSource(root=str(png)).index().rows}
    assert list(rows) == [f"jsrt/JPC{kind}N{i:03d}" for kind in "LN" for i in (1, 2, 3)]
    assert rows["jsrt/JPCLN001"]["official_split"] == "fold1"
    assert rows["jsrt/JPCNN002"]["official_split"] == "fold2"
    assert (rows["jsrt/JPCLN001"]["label"], rows["jsrt/JPCNN001"]["label"]) == ("nodule", "normal")
    # 0.175 mm at 2048 px = 5.6 mm at 64 px
    assert rows["jsrt/JPCLN001"]["spacing_mm"] == pytest.approx((5.6, 5.6))
    assert set(rows["jsrt/JPCLN001"]["masks"]) == set(STRUCTURES)


def test_sex_and_age_come_from_text_files_with_cr_line_ends(png):
    (png / "Clinical_Information" / "CLNDAT_EN.txt").write_bytes(
        b"JPCLN001.IMG\t5\t15\t53\tmale\t1634\t692\tmalignant\tl.upper\tlobe\tlung cancer\t\r"
        b"JPCLN002.IMG\t5\t30\t?\tfemale\t1614\t1090\tbenign"
    )
    rows = JsrtSource(root=str(png)).index().rows
    assert [(row["sex"], row["age"]) for row in rows[:3]] == [("M", 53.0), ("F", None), (None, None)]
    assert rows[3]["age"] is not None


def test_clinical_files_are_also_found_one_folder_above(png, tmp_path):
    root = tmp_path / "inner"
    root.mkdir()
    for name in ("images", "fold1", "fold2"):
        (png / name).rename(root / name)
    assert JsrtSource(root=str(root)).index().rows[0]["sex"] in ("F", "M")


def test_without_clinical_files_a_note_says_so(png):
    for path in (png / "Clinical_Information").iterdir():
        path.unlink()
    index = JsrtSource(root=str(png)).index()
    assert index.rows[0]["sex"] is None
    assert any("sex and age are unknown" in note for note in index.notes)
    assert any("241 of the 247 published radiographs are not there" in note for note in index.notes)


def test_raw_files_and_masks_of_another_size_are_read(tmp_path):
    written = write_layout("jsrt", tmp_path, n=1, size=(64, 64))
    source = JsrtSource(root=str(written.root))
    index = source.index()
    image = source.read_image(index.root, index.rows[0])
    assert image.pixels.shape == (2048, 2048)
    assert (image.bits, image.inverted) == (12, True)
    assert source.read_masks(index.root, index.rows[0], STRUCTURES).shape == (5, 64, 64)
    assert index.rows[0]["spacing_mm"] == pytest.approx((0.175, 0.175))
    # bright = dense: the spine is brighter than the lung
    right = np.kron(source.read_masks(index.root, index.rows[0], ["right_lung"])[0], np.ones((32, 32), bool))
    assert image.pixels[right].mean() < image.pixels[~right].mean()


def test_masks_may_lie_in_scratch_or_elsewhere(png, tmp_path):
    (png / "scratch").mkdir()
    for fold in ("fold1", "fold2"):
        (png / fold).rename(png / "scratch" / fold)
    assert len(JsrtSource(root=str(png)).index().rows) == 6
    elsewhere = tmp_path.parent / f"{tmp_path.name}_scr"
    (png / "scratch").rename(elsewhere)
    index = JsrtSource(root=str(png), masks_root=str(elsewhere)).index()
    SamplesTable.from_rows(index.rows).check_files({"jsrt": index.root})
    assert index.root == tmp_path.parent


def test_images_without_masks_and_masks_without_images_are_told_apart(png, tmp_path):
    other = tmp_path / "other"
    (other / "only").mkdir(parents=True)
    (png / "images").rename(other / "only" / "images")
    with pytest.raises(DataError, match=r"radiographs but no masks; data\.sources\.jsrt\.masks_root="):
        JsrtSource(root=str(other / "only")).find()
    (other / "masks").mkdir()
    (png / "fold1").rename(other / "masks" / "fold1")
    with pytest.raises(DataError, match="masks but no radiographs"):
        JsrtSource(root=str(other / "masks")).find()
    with pytest.raises(DataError, match=r"masks_root=.*only holds no SCR masks"):
        JsrtSource(root=str(other / "only"), masks_root=str(other / "only")).index()


def test_a_missing_structure_is_named(png):
    (png / "fold1" / "masks" / "right lung" / "JPCLN003.gif").unlink()
    with pytest.raises(DataError, match="1 of 6 radiographs") as caught:
        JsrtSource(root=str(png)).index()
    assert "JPCLN003 (right lung)" in str(caught.value)
    assert "data.sources.jsrt.missing=drop" in str(caught.value)
    assert "docs/datasets.md#jsrt" in str(caught.value)
    index = JsrtSource(root=str(png), missing="drop").index()
    assert len(index.rows) == 5
    assert index.dropped == ["images/JPCLN003.png"]


def test_a_mask_without_a_radiograph_is_an_error(png):
    (png / "images" / "JPCNN001.png").unlink()
    with pytest.raises(DataError, match=r"5 masks in .* have no radiograph"):
        JsrtSource(root=str(png)).index()
    assert len(JsrtSource(root=str(png), missing="drop").index().rows) == 5


def test_a_radiograph_with_masks_in_both_folds_is_refused(png):
    mask = png / "fold1" / "masks" / "heart" / "JPCLN001.gif"
    (png / "fold2" / "masks" / "heart" / mask.name).write_bytes(mask.read_bytes())
    with pytest.raises(DataError, match="JPCLN001 has masks in fold1 and in fold2"):
        JsrtSource(root=str(png)).index()


def test_a_mask_of_another_shape_is_refused(tmp_path):
    root = write_layout("jsrt_png", tmp_path, n=1, size=(64, 64), nasty=["wrong_mask_size"]).root
    source = JsrtSource(root=str(root))
    index = source.index()
    # 48 x 64 on 64 x 64: 33 % off
    with pytest.raises(DataError, match=r"JPCLN001\.gif is 48 x 64.* aspect ratios differ by 33\.3%"):
        source.read_masks(index.root, index.rows[0], ["heart"])


def test_a_copy_without_clavicles_is_refused_for_five_structures_and_says_what_to_set(png):
    for fold in ("fold1", "fold2"):
        for side in ("left", "right"):
            shutil.rmtree(png / fold / "masks" / f"{side} clavicle")
    source = JsrtSource(root=str(png))
    index = source.index()
    with pytest.raises(DataError, match="asks for right_clavicle, left_clavicle") as caught:
        source.check_structures(index.rows, STRUCTURES)
    assert "data.structures=[right_lung,left_lung,heart]" in str(caught.value)
    assert "data.sources.jsrt.masks_root=" in str(caught.value)
    with pytest.raises(DataError, match=r"no mask of 'left_clavicle'.*data\.sources\.jsrt\.masks_root="):
        source.read_masks(index.root, index.rows[0], ["left_clavicle"])


@pytest.mark.data
def test_the_one_complete_real_copy_is_found_with_its_counts(real_data):
    index = JsrtSource(search=str(real_data)).index()
    assert index.root.name == "scr-200"
    labels = [row["label"] for row in index.rows]
    assert (len(labels), labels.count("nodule"), labels.count("normal")) == (246, 153, 93)
    folds = [row["official_split"] for row in index.rows]
    assert (folds.count("fold1"), folds.count("fold2")) == (124, 122)
    assert sum(row["sex"] == "F" for row in index.rows) == 128
    assert sum(row["age"] is None for row in index.rows) == 2
    assert index.rows[0]["age"] == 53
    assert any("JPCLN016" in note for note in index.notes)


@pytest.mark.data
def test_the_copy_that_is_found_has_no_clavicles_and_says_so(real_data):
    source = JsrtSource(search=str(real_data))
    with pytest.raises(DataError, match="asks for right_clavicle, left_clavicle"):
        source.check_structures(source.index().rows, STRUCTURES)


@pytest.mark.data
def test_real_right_lungs_lie_on_image_left_and_lungs_fill_a_plausible_area(real_data):
    source = JsrtSource(search=str(real_data))
    index = source.index()
    for row in index.rows[::10]:
        right, left, lungs = source.read_masks(index.root, row, ["right_lung", "left_lung", "lungs"])
        assert np.nonzero(right)[1].mean() < 100 < np.nonzero(left)[1].mean()
        assert 0.15 < lungs.mean() < 0.5


@pytest.mark.data
def test_real_clavicles_can_be_taken_from_the_folder_of_1024_px_masks(real_data):
    source = JsrtSource(
        root=str(real_data / "jsrt" / "scr-200"), masks_root=str(real_data / "jsrt" / "scr-1024-from-landmarks")
    )
    index = source.index()
    assert len(index.rows) == 246
    masks = source.read_masks(index.root, index.rows[0], STRUCTURES)
    assert masks.shape == (5, 1024, 1024)
    assert masks.any(axis=(1, 2)).all()


@pytest.mark.data
def test_the_real_raw_file_is_read_as_bright_is_dense(real_data):
    source = JsrtSource(
        root=str(real_data / "jsrt" / "raw-img-sample"),
        masks_root=str(real_data / "jsrt" / "scr-200"),
        missing="drop",
    )
    index = source.index()
    assert [row["sample_id"] for row in index.rows] == ["jsrt/JPCLN001"]
    image = source.read_image(index.root, index.rows[0])
    copy = JsrtSource(root=str(real_data / "jsrt" / "scr-200"))
    small = copy.read_image(copy.find(), copy.index().rows[0]).pixels.astype(float)
    shrunk = image.pixels[5::10, 5::10][:200, :200].astype(float)
    assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > 0.9


@pytest.mark.data
def test_real_folders_that_are_not_complete_are_refused(real_data):
    for name in ("raw-img-sample", "scr-1024-from-landmarks"):
        with pytest.raises(DataError, match="there are"):
            JsrtSource(root=str(real_data / "jsrt" / name)).find()
