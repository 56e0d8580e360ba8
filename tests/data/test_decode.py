from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from lungseg.data.decode import decode, decode_raw, is_raw, size_of
from lungseg.errors import DataError


def encoded(kind, size=(12, 9)):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((size[1], size[0]), np.uint8)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "BMP"])
def test_content_decides_where_the_name_says_nothing(kind):
    assert decode(encoded(kind), Path("file")).pixels.shape == (9, 12)
    assert size_of(encoded(kind), Path("file")) == (9, 12)


def test_a_name_that_says_another_kind_is_refused():
    with pytest.raises(DataError, match=r"a\.png is named as a PNG file but holds a JPEG file; rename it to a\.jpeg"):
        decode(encoded("JPEG"), Path("a.png"))


@pytest.mark.parametrize(("name", "raw"), [("a.IMG", True), ("a.img", True), ("a.png", False)])
def test_raw_files_are_known_by_their_name(name, raw):
    assert is_raw(Path(name)) is raw


def test_a_picture_below_8_pixels_is_refused():
    with pytest.raises(DataError, match="7 x 12 pixels"):
        decode(encoded("PNG", (12, 7)), Path("a.png"))


def test_several_pictures_in_one_file_are_refused():
    buffer = io.BytesIO()
    frames = [Image.fromarray(np.full((9, 9), level, np.uint8)) for level in (0, 99, 200)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=r"a\.gif holds 3 pictures"):
        decode(buffer.getvalue(), Path("a.gif"))


def test_pixels_without_a_stated_range_are_refused():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((9, 9), np.float32)).save(buffer, "TIFF")
    with pytest.raises(DataError, match="kind 'F'"):
        decode(buffer.getvalue(), Path("a.tif"))


def test_raw_values_are_the_complement():
    words = np.full(2048 * 2048, 1000, ">u2")
    assert np.unique(decode_raw(words.tobytes(), Path("a.IMG"))).tolist() == [3095]  # 4095 - 1000


def test_a_grey_file_with_the_profile_of_a_screen_is_decoded_in_silence(capfd):
    buffer = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    ramp = np.arange(108, dtype=np.uint8).reshape(9, 12)
    Image.fromarray(ramp).save(buffer, "PNG", icc_profile=profile)
    assert b"iCCP" in buffer.getvalue()
    assert np.array_equal(decode(buffer.getvalue(), Path("file.png")).pixels, ramp)
    assert capfd.readouterr().err == ""
