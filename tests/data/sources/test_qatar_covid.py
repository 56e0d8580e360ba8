from __future__ import annotations

import zipfile
from collections import Counter

import pytest

from lungseg.data.phantom.layouts import write_layout
from lungseg.data.sources.qatar_covid import QatarCovidSource
from lungseg.errors import ConfigError, DataError


@pytest.fixture
def root(tmp_path):
    """Eight radiographs, two of each class."""
    return write_layout("qatar_covid", tmp_path / "sets", n=8, size=(48, 48)).root


@pytest.fixture
def flat(tmp_path):
    return write_layout("qatar_covid_flat", tmp_path / "old", n=3, size=(48, 48)).root


def rows(root, **options):
    return QatarCovidSource(root=str(root), **options).index().rows


def test_all_classes_are_read_with_their_label(root):
    found = {row["sample_id"]: row["label"] for row in rows(root)}
    assert found["qatar_covid/COVID-1"] == "covid-19"
    assert found["qatar_covid/Viral Pneumonia-3"] == "viral pneumonia"
    assert Counter(found.values()) == {"covid-19": 2, "normal": 2, "viral pneumonia": 2, "lung opacity": 2}


def test_one_class_may_be_asked_for(root):
    assert [row["sample_id"] for row in rows(root, classes=["COVID"])] == ["qatar_covid/COVID-1", "qatar_covid/COVID-5"]


def test_masks_of_three_channels_on_another_grid_are_read(root):
    source = QatarCovidSource(root=str(root), classes=["COVID"])
    index = source.index()
    reference = source.read_reference(index.root, index.rows[0], ["lungs"])
    # 48 * 256 / 299 = 41.1
    assert reference.masks.shape == (1, 41, 41)
    assert 0.1 < reference.masks.mean() < 0.6
    assert (reference.between, reference.valid) == (0, None)
    assert source.read_image(index.root, index.rows[0]).pixels.shape == (48, 48)


def test_a_class_without_masks_is_fine_when_it_is_not_asked_for(root):
    for path in (root / "Normal" / "masks").iterdir():
        path.unlink()
    (root / "Normal" / "masks").rmdir()
    assert len(rows(root, classes=["COVID", "Viral Pneumonia"])) == 4
    with pytest.raises(DataError, match=r"2 of 8 radiographs .*There are no masks at all of Normal") as caught:
        rows(root)
    assert "data.sources.qatar_covid.classes=[COVID,Lung_Opacity,'Viral Pneumonia']" in str(caught.value)


def test_one_missing_mask_is_an_error(tmp_path):
    root = write_layout("qatar_covid", tmp_path, n=2, size=(48, 48), nasty=["missing_mask"]).root
    with pytest.raises(DataError, match=r"1 of 2 radiographs in .* have no mask: Normal-2"):
        rows(root)


def test_a_mask_without_a_radiograph_is_an_error(root):
    (root / "COVID" / "images" / "COVID-1.png").unlink()
    with pytest.raises(DataError, match=r"1 masks in .* have no radiograph: COVID/masks/COVID-1\.png"):
        rows(root)
    assert len(rows(root, missing="drop")) == 7


def test_names_and_folders_of_another_case_are_matched(root):
    (root / "Normal").rename(root / "normal")
    for number in (2, 6):
        (root / "normal" / "masks" / f"Normal-{number}.png").rename(root / "normal" / "masks" / f"NORMAL-{number}.png")
    assert [row["masks"]["lungs"] for row in rows(root, classes=["Normal"])] == [
        "normal/masks/NORMAL-2.png",
        "normal/masks/NORMAL-6.png",
    ]


def test_a_mask_of_another_shape_is_refused(tmp_path):
    root = write_layout("qatar_covid", tmp_path, n=1, size=(48, 48), nasty=["wrong_mask_size"]).root
    source = QatarCovidSource(root=str(root))
    index = source.index()
    with pytest.raises(DataError, match="aspect ratios differ"):
        source.read_masks(index.root, index.rows[0], ["lungs"])


def test_the_spreadsheet_is_compared_with_the_files_without_case_and_names_origins(root):
    notes = QatarCovidSource(root=str(root), classes=["Normal"]).index().notes
    assert "Normal comes from example.org 2" in notes
    assert not any("absent" in note or "are not in" in note for note in notes)
    for kind in ("images", "masks"):
        (root / "Normal" / kind / "Normal-6.png").rename(root / "Normal" / kind / "Normal-7.png")
    notes = QatarCovidSource(root=str(root), classes=["Normal"]).index().notes
    assert "Normal: 1 of 2 listed radiographs are absent: NORMAL-6" in notes
    assert "Normal: 1 radiographs are not in Normal.metadata.xlsx: Normal-7" in notes


def test_without_a_spreadsheet_the_count_is_compared_with_the_published_one(root):
    (root / "COVID.metadata.xlsx").unlink()
    notes = QatarCovidSource(root=str(root), classes=["COVID"]).index().notes
    assert "COVID: 2 radiographs; the present version has 3616" in notes


def test_a_spreadsheet_without_its_column_and_one_that_is_damaged_are_refused(root):
    path = root / "COVID.metadata.xlsx"
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data.replace(b"FILE NAME", b"NAME"))
    with pytest.raises(DataError, match=r"has no column 'FILE NAME'; it has NAME, FORMAT, SIZE, URL"):
        rows(root, classes=["COVID"])
    path.write_bytes(b"no spreadsheet")
    with pytest.raises(DataError, match=r"COVID\.metadata\.xlsx is damaged"):
        rows(root, classes=["COVID"])


def test_a_table_one_folder_above_gives_patients(root):
    (root.parent / "sources.csv").write_text("file,source,patient\nCOVID/images/COVID-1.png,a.jpg,7\n")
    found = {row["sample_id"]: row["subject_id"] for row in rows(root, classes=["COVID"])}
    assert found == {"qatar_covid/COVID-1": "qatar_covid/7", "qatar_covid/COVID-5": "qatar_covid/COVID-5"}
    (root.parent / "sources.csv").write_text("image,person\nCOVID-1.png,7\n")
    with pytest.raises(DataError, match="lacks the columns file and patient; it has image, person"):
        rows(root, classes=["COVID"])


def test_the_flat_layout_says_that_it_has_no_masks_and_can_be_read_without(flat):
    with pytest.raises(DataError, match="3 of 3 radiographs") as caught:
        rows(flat)
    assert "data.sources.qatar_covid.masks=false" in str(caught.value)
    source = QatarCovidSource(root=str(flat), masks=False)
    index = source.index()
    assert [row["sample_id"] for row in index.rows] == [
        "qatar_covid/COVID (1)",
        "qatar_covid/Normal (2)",
        "qatar_covid/Viral Pneumonia (3)",
    ]
    assert all(row["masks"] == {} for row in index.rows)
    assert source.convention is None
    assert "classes that are not there: Lung_Opacity" in index.notes


def test_two_versions_in_one_folder_are_refused(root, flat):
    (flat / "Normal" / "Normal (2).png").rename(root / "Normal" / "Normal (2).png")
    with pytest.raises(DataError, match="Normal holds radiographs both in images/ and beside it"):
        rows(root)


def test_classes_of_two_versions_are_refused(root, flat):
    (root / "COVID").rename(root / "gone")
    (flat / "COVID").rename(root / "COVID")
    with pytest.raises(DataError, match="Lung_Opacity, Normal, Viral Pneumonia has images/ and COVID has not"):
        rows(root)


def test_a_copy_without_a_class_that_is_asked_for_is_not_complete(flat):
    with pytest.raises(DataError, match="no complete copy"):
        rows(flat, classes=["COVID", "Lung_Opacity"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": ["covid"]}, "out of [COVID, Lung_Opacity, Normal, Viral Pneumonia]"),
        ({"classes": ["Lung Opacity"]}, "Did you mean 'Lung_Opacity'"),
        ({"classes": "COVID"}, "must be a list"),
        ({"classes": []}, "must be a list"),
        ({"classes": ["COVID", "COVID"]}, "each once"),
        ({"convention": "heart"}, "data.sources.qatar_covid.convention is 'heart'"),
    ],
    ids=["case", "near name", "text", "none", "twice", "convention"],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(ConfigError) as caught:
        QatarCovidSource(**options)
    assert said in str(caught.value)


def test_another_convention_can_be_said(root):
    assert QatarCovidSource(root=str(root), convention="with_heart").convention == "with_heart"


@pytest.mark.data
def test_the_real_stand_in_has_160_covid_radiographs_with_masks(real_data):
    source = QatarCovidSource(search=str(real_data), classes=["COVID"])
    index = source.index()
    assert len(index.rows) == 160
    assert len({row["subject_id"] for row in index.rows}) == 96
    for row in index.rows[::16]:
        reference = source.read_reference(index.root, row, ["lungs"])
        assert reference.masks.shape == (1, 256, 256)
        assert 0.1 < reference.masks.mean() < 0.65
    with pytest.raises(DataError, match=r"310 of 470 radiographs.*classes=\[COVID\]"):
        QatarCovidSource(search=str(real_data)).index()
    assert len(QatarCovidSource(search=str(real_data), masks=False).index().rows) == 470


@pytest.mark.data
def test_the_real_stand_in_has_three_classes_for_classification(real_data):
    source = QatarCovidSource(search=str(real_data), classes=["COVID", "Normal", "Viral Pneumonia"], masks=False)
    found = source.index().rows
    assert Counter(row["label"] for row in found) == {"covid-19": 160, "normal": 200, "viral pneumonia": 110}
    assert len({row["subject_id"] for row in found}) == 403
    assert all(row["masks"] == {} for row in found)
