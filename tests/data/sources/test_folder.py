from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lungseg.data.phantom.layouts import write_layout
from lungseg.data.sources.folder import FolderSource
from lungseg.errors import ConfigError, DataError


def draw(root, *names, level=255):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((10, 12), level, np.uint8)).save(path)


def ids(source):
    return [row["sample_id"] for row in source.index().rows]


def test_images_and_masks_are_matched_by_name_with_and_without_suffix(tmp_path):
    draw(tmp_path, "images/a.png", "images/b.jpg", "masks/a.png", "masks/b_mask.png")
    source = FolderSource(root=str(tmp_path))
    assert ids(source) == ["folder/a", "folder/b"]
    assert source.index().rows[1]["masks"] == {"lungs": "masks/b_mask.png"}


def test_the_phantoms_layout_is_read_with_its_table(tmp_path):
    written = write_layout("folder", tmp_path, n=5, size=(48, 48))
    index = FolderSource(root=str(written.root), table="patients.csv").index()
    assert len(index.rows) == 5
    assert {row["subject_id"] for row in index.rows} == {
        f"folder/{row['sample_id'].split('/')[1].rsplit('_', 1)[0]}" for row in index.rows
    }
    assert all(row["sex"] in ("F", "M") and row["view"] in ("PA", "AP") and row["label"] for row in index.rows)


def test_sub_folders_make_part_of_the_name(tmp_path):
    draw(tmp_path, "images/p1/front.png", "images/p2/front.png", "masks/p1/front.png", "masks/p2/front_mask.png")
    assert ids(FolderSource(root=str(tmp_path))) == ["folder/p1/front", "folder/p2/front"]


def test_masks_in_other_sub_folders_are_matched_by_unique_names(tmp_path):
    draw(tmp_path, "images/tb/a.png", "images/normal/b.png", "masks/a_mask.png", "masks/b_mask.png")
    assert ids(FolderSource(root=str(tmp_path))) == ["folder/normal/b", "folder/tb/a"]


def test_images_and_masks_may_share_a_folder(tmp_path):
    draw(tmp_path, "a.png", "a_mask.png", "b.png", "b_mask.png")
    assert ids(FolderSource(root=str(tmp_path), images=".", masks={"lungs": "."})) == ["folder/a", "folder/b"]


def test_several_structures_have_a_folder_each(tmp_path):
    draw(tmp_path, "images/a.png", "r/a.png", "l/a.png")
    source = FolderSource(root=str(tmp_path), masks={"right_lung": "r", "left_lung": "l"})
    index = source.index()
    assert source.read_masks(index.root, index.rows[0], ["lungs"]).all()


def test_radiographs_without_masks_can_be_read(tmp_path):
    draw(tmp_path, "images/a.png")
    assert FolderSource(root=str(tmp_path), masks={}).index().rows[0]["masks"] == {}


def test_a_table_of_other_columns_bom_and_semicolons_is_read(tmp_path):
    draw(tmp_path, "images/a.png", "masks/a.png")
    text = "Datei;Person;Geschlecht;Alter;Ebene\r\na.png;7;weiblich;060Y;pa\r\n".replace("weiblich", "female")
    (tmp_path / "t.csv").write_bytes(text.encode("utf-8-sig"))
    columns = {"image": "Datei", "patient": "Person", "sex": "Geschlecht", "age": "Alter", "view": "Ebene"}
    row = FolderSource(root=str(tmp_path), table="t.csv", columns=columns).index().rows[0]
    assert (row["subject_id"], row["sex"], row["age"], row["view"]) == ("folder/7", "F", 60.0, "PA")


def test_two_folders_can_be_read_under_names_of_their_own(tmp_path):
    draw(tmp_path, "images/a.png", "masks/a.png")
    source = FolderSource(root=str(tmp_path), name="clinic_a")
    assert ids(source) == ["clinic_a/a"]
    assert source.index().rows[0]["source"] == "clinic_a"


def test_without_a_root_the_error_shows_what_to_give():
    with pytest.raises(DataError, match=r"set data\.sources\.folder\.root=<folder>") as caught:
        FolderSource(search="/anywhere").find()
    assert "images/a.png" in str(caught.value)


def test_a_root_without_the_folders_is_refused(tmp_path):
    draw(tmp_path, "pictures/a.png")
    with pytest.raises(DataError, match=r"data\.sources\.folder\.images=<folder>"):
        FolderSource(root=str(tmp_path)).find()


def test_an_empty_folder_is_refused(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="holds no radiograph"):
        FolderSource(root=str(tmp_path)).index()


@pytest.mark.parametrize(
    ("extra", "said"),
    [("images/b.png", "1 of 2 radiographs"), ("masks/c.png", "1 masks in"), ("images/a.jpg", "share their name")],
    ids=["no mask", "no image", "twice"],
)
def test_what_does_not_pair_up_is_refused(tmp_path, extra, said):
    draw(tmp_path, "images/a.png", "masks/a.png", extra)
    with pytest.raises(DataError) as caught:
        FolderSource(root=str(tmp_path)).index()
    assert said in str(caught.value)


def test_two_masks_of_one_radiograph_are_refused(tmp_path):
    draw(tmp_path, "images/a.png", "masks/a.png", "masks/a_mask.png")
    with pytest.raises(DataError, match="are both masks of a"):
        FolderSource(root=str(tmp_path)).index()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("picture,sex\na.png,F\n", "has no column 'image'"),
        ("image,sex\nb.png,F\n", "a (no row in t.csv)"),
        ("image,sex\na.png,F\na.png,M\n", "names 1 radiographs twice"),
        ("image,sex\na.png,X\n", "a: 'X' is no sex"),
        ("image,age\na.png,old\n", "a: 'old' is no age"),
    ],
    ids=["column", "row missing", "row twice", "sex", "age"],
)
def test_a_wrong_table_is_refused(tmp_path, text, said):
    draw(tmp_path, "images/a.png", "masks/a.png")
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        FolderSource(root=str(tmp_path), table="t.csv").index()
    assert said in str(caught.value)


def test_a_named_column_that_is_absent_is_refused_with_a_near_name(tmp_path):
    draw(tmp_path, "images/a.png", "masks/a.png")
    (tmp_path / "t.csv").write_text("image,patient_id\na.png,1\n")
    with pytest.raises(DataError, match=r"no column 'patientid'; did you mean 'patient_id'\?"):
        FolderSource(root=str(tmp_path), table="t.csv", columns={"patient": "patientid"}).index()


def test_an_unknown_word_for_a_column_is_refused():
    with pytest.raises(ConfigError, match="Did you mean patient"):
        FolderSource(root=".", columns={"pateint": "x"})


def test_the_convention_of_the_lung_masks_may_be_said(tmp_path):
    assert FolderSource(root=str(tmp_path)).convention is None
    assert FolderSource(root=str(tmp_path), convention="with_heart").convention == "with_heart"
    with pytest.raises(ConfigError, match=r"data\.sources\.mine\.convention is 'heart'"):
        FolderSource(root=str(tmp_path), name="mine", convention="heart")
