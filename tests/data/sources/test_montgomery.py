from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lungseg.data.phantom.layouts import write_layout
from lungseg.data.sources.montgomery import MontgomerySource
from lungseg.errors import DataError


@pytest.fixture
def root(tmp_path):
    return write_layout("montgomery", tmp_path, n=4, size=(48, 56)).root


def test_left_mask_is_the_patients_right_lung(root):
    row = MontgomerySource(root=str(root)).index().rows[0]
    assert row["masks"]["right_lung"].startswith("ManualMask/leftMask/")
    assert row["masks"]["left_lung"].startswith("ManualMask/rightMask/")


def test_sex_age_and_label_are_read(root):
    row = MontgomerySource(root=str(root)).index().rows[0]
    (root / "ClinicalReadings" / f"{row['sample_id'].split('/')[1]}.txt").write_bytes(
        b"Patient's Sex: F\r\nPatient's Age: 031Y\r\nnormal\r\n"
    )
    again = MontgomerySource(root=str(root)).index().rows[0]
    assert (again["sex"], again["age"]) == ("F", 31.0)
    assert again["label"] == {"0": "normal", "1": "tuberculosis"}[again["image"][-5]]


@pytest.mark.parametrize(
    ("size", "spacing"),
    # 4020 x 4892 at 0.0875 mm; a tenth of it has ten times the spacing; a square copy has lost its shape
    [((402, 489), (0.875, 0.0875 * 4892 / 489)), ((489, 402), (0.0875 * 4892 / 489, 0.875)), ((64, 64), None)],
    ids=["landscape", "portrait", "square"],
)
def test_spacing_is_given_where_the_shape_was_kept(root, size, spacing):
    first = sorted((root / "CXR_png").iterdir())[0]
    Image.fromarray(np.zeros(size, np.uint8)).save(first)
    found = MontgomerySource(root=str(root)).index().rows[0]["spacing_mm"]
    assert found == (None if spacing is None else pytest.approx(spacing))


def test_a_missing_side_is_named_by_the_patients_side(root):
    first = sorted((root / "ManualMask" / "leftMask").iterdir())[0]
    first.unlink()
    with pytest.raises(DataError, match=rf"1 of 4 radiographs .* {first.stem} \(right lung\)"):
        MontgomerySource(root=str(root)).index()
    # the radiograph and its other mask are left out
    assert len(MontgomerySource(root=str(root), missing="drop").index().rows) == 3
    assert MontgomerySource(root=str(root), missing="aside").index().aside == [f"CXR_png/{first.name}"]


def test_a_mask_of_the_wrong_size_is_refused(tmp_path):
    root = write_layout("montgomery", tmp_path, n=1, size=(48, 56), nasty=["wrong_mask_size"]).root
    source = MontgomerySource(root=str(root))
    index = source.index()
    with pytest.raises(DataError, match=r"leftMask.* is 36 x 56, its radiograph .* is 48 x 56"):
        source.read_masks(index.root, index.rows[0], ["right_lung"])


@pytest.mark.data
def test_the_real_set_has_138_pairs_with_plausible_masks(real_data):
    source = MontgomerySource(search=str(real_data))
    index = source.index()
    labels = [row["label"] for row in index.rows]
    assert (len(labels), labels.count("normal"), labels.count("tuberculosis")) == (138, 80, 58)
    assert all(row["spacing_mm"] is None for row in index.rows)
    for row in index.rows[::12]:
        right, left = source.read_masks(index.root, row, ["right_lung", "left_lung"])
        assert np.nonzero(right)[1].mean() < np.nonzero(left)[1].mean()
        assert 0.08 < (right | left).mean() < 0.5
