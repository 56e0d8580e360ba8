from __future__ import annotations

import shutil

import pytest

from lungseg.data.phantom.layouts import write_layout
from lungseg.data.sources.shenzhen import ShenzhenSource, without_mask
from lungseg.data.table import SamplesTable
from lungseg.errors import DataError


@pytest.fixture
def root(tmp_path):
    return write_layout("shenzhen", tmp_path, n=4, size=(48, 56)).root


def test_radiographs_masks_and_readings_are_joined(root):
    index = ShenzhenSource(root=str(root)).index()
    assert len(index.rows) == 4
    row = index.rows[0]
    assert row["masks"]["lungs"] == f"mask/{row['sample_id'].split('/')[1]}_mask.png"
    assert row["sex"] in ("F", "M")
    assert row["age"] is not None


@pytest.mark.parametrize("place", ["masks", "shcxr-lung-mask/mask/mask", "../shcxr-lung-mask/mask/mask", "../mask"])
def test_masks_are_found_in_companion_folders(root, place):
    target = (root / place).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(root / "mask", target)
    index = ShenzhenSource(root=str(root)).index()
    SamplesTable.from_rows(index.rows).check_files({"shenzhen": index.root})
    assert len(index.rows) == 4


def test_masks_may_be_given_by_their_own_root(root, tmp_path):
    shutil.move(root / "mask", tmp_path / "elsewhere")
    source = ShenzhenSource(root=str(root), masks_root=str(tmp_path / "elsewhere"))
    assert len(source.index().rows) == 4
    with pytest.raises(DataError, match=r"masks_root=.*CXR_png holds no masks"):
        ShenzhenSource(root=str(root), masks_root=str(root / "CXR_png")).find()


def test_a_radiograph_whose_mask_was_never_published_is_kept_aside_and_any_other_is_an_error(root):
    known = sorted(without_mask())[0]
    image = sorted((root / "CXR_png").iterdir())[0]
    shutil.copy(image, root / "CXR_png" / f"{known}.png")
    index = ShenzhenSource(root=str(root)).index()
    assert index.aside == [f"CXR_png/{known}.png"]
    (root / "mask" / f"{image.stem}_mask.png").unlink()
    with pytest.raises(DataError, match=f"1 of 5 radiographs .* have no mask: {image.stem}"):
        ShenzhenSource(root=str(root)).index()


def test_96_radiographs_have_no_published_mask():
    assert len(without_mask()) == 96


@pytest.mark.data
def test_the_real_part_of_the_kaggle_set_has_566_pairs(real_data):
    source = ShenzhenSource(search=str(real_data))
    index = source.index()
    assert (len(index.rows), len(index.aside)) == (566, 96)
    labels = [row["label"] for row in index.rows]
    assert (labels.count("normal"), labels.count("tuberculosis")) == (279, 287)
    for row in index.rows[::60]:
        assert 0.08 < source.read_masks(index.root, row, ["lungs"]).mean() < 0.5
