from __future__ import annotations

from lungseg.data.sources.nlm import images_in, masks_in, tuberculosis_label


def test_the_last_digit_is_the_class():
    assert tuberculosis_label("MCUCXR_0001_0") == "normal"
    assert tuberculosis_label("MCUCXR_0001_2") is None


def test_a_mask_belongs_to_the_stem_with_or_without_its_suffix(tmp_path):
    for name in ("CHNCXR_0001_0_mask.png", "MCUCXR_0001_0.png", "other.png"):
        (tmp_path / name).touch()
    assert sorted(masks_in(tmp_path, ("CHNCXR_", "MCUCXR_"))) == ["CHNCXR_0001_0", "MCUCXR_0001_0"]
    assert sorted(images_in(tmp_path, ("MCUCXR_",))) == ["MCUCXR_0001_0"]
