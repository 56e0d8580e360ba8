from __future__ import annotations

import pytest

from lungseg.data.phantom.layouts import write_layout
from lungseg.data.sources.mc_sh import McShSource
from lungseg.errors import DataError


@pytest.fixture
def written(tmp_path):
    return write_layout("mc_sh", tmp_path / "chest-xray-masks-and-labels", n=8, size=(48, 48))


def test_masks_of_both_sets_are_paired_and_images_without_one_kept_aside(written):
    index = McShSource(root=str(written.root)).index()
    assert len(index.rows) == 7
    assert [path.split("/")[1][:-4] for path in index.aside] == list(written.without_mask)
    for row in index.rows:
        suffix = "_mask" if "CHNCXR" in row["image"] else ""
        assert row["masks"]["lungs"] == f"masks/{row['sample_id'].split('/')[1]}{suffix}.png"
        assert row["official_split"] == ("shenzhen" if suffix else "montgomery")


def test_an_image_without_a_mask_is_an_error_when_asked_for(written):
    with pytest.raises(DataError, match="1 of 8 radiographs"):
        McShSource(root=str(written.root), missing="error").index()


def test_a_mask_without_an_image_is_an_error(written):
    next(iter(sorted((written.root / "CXR_png").glob("MCU*")))).unlink()
    with pytest.raises(DataError, match=r"1 masks in .* have no radiograph"):
        McShSource(root=str(written.root)).index()


def test_labels_csv_one_folder_above_gives_sex_and_age(written):
    stem = McShSource(root=str(written.root)).index().rows[0]["sample_id"].split("/")[1]
    table = written.root.parent / "labels.csv"
    table.write_text(f'file,sex,age,condition\n{stem}.png,M,58,"a, b"\n')
    row = McShSource(root=str(written.root)).index().rows[0]
    assert (row["sex"], row["age"]) == ("M", 58.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [("file,age\na,1\n", "no column 'sex'"), ("file,sex,age\na,M,old\n", "record 2: 'old' is no age")],
    ids=["column", "value"],
)
def test_a_wrong_labels_csv_is_refused(written, text, said):
    (written.root / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=r"labels\.csv") as caught:
        McShSource(root=str(written.root)).index()
    assert said in str(caught.value)


@pytest.mark.data
def test_the_real_set_has_704_pairs_and_96_aside(real_data):
    index = McShSource(search=str(real_data)).index()
    assert (len(index.rows), len(index.aside)) == (704, 96)
    parts = [row["official_split"] for row in index.rows]
    assert (parts.count("montgomery"), parts.count("shenzhen")) == (138, 566)
    assert sum(row["sex"] is not None for row in index.rows) == 528
    assert index.notes == []


@pytest.mark.data
def test_real_masks_are_not_binary_and_plausible(real_data):
    source = McShSource(search=str(real_data))
    index = source.index()
    for row in index.rows[::70]:
        reference = source.read_reference(index.root, row, ["lungs"])
        assert reference.levels > 50
        assert 0.08 < reference.masks.mean() < 0.5
