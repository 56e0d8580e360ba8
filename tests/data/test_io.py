from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from lungseg.data.io import read_mask, read_radiograph, read_size
from lungseg.errors import DataError


def ramp(height=16, width=24, top=255, dtype=np.uint8):
    return np.linspace(0, top, height * width).round().astype(dtype).reshape(height, width)


def write(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def png(path, pixels):
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return path


def with_chunk(data, kind, body):
    """Insert a chunk after IHDR."""
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data[:33] + chunk + data[33:]


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "gif"])
def test_an_8_bit_file_comes_back_unchanged(tmp_path, ending):
    pixels = ramp()
    read = read_radiograph(write(tmp_path / f"a.{ending}", pixels))
    np.testing.assert_array_equal(read.pixels, pixels)
    assert (read.bits, read.inverted, read.pixels.dtype) == (8, False, np.uint8)


def test_a_jpeg_is_read_within_its_loss(tmp_path):
    pixels = ramp(32, 32)
    read = read_radiograph(write(tmp_path / "a.jpg", pixels, quality=95))
    assert np.abs(read.pixels.astype(int) - pixels).max() < 8


def test_12_bits_in_a_16_bit_png_are_stretched_to_the_full_range(tmp_path):
    # 4095 -> 65535, 2048 -> 2048 * 65535 / 4095 = 32775.5 -> 32776 (half up), 0 -> 0
    pixels = np.full((16, 16), 2048, np.uint16)
    pixels[0, 0], pixels[0, 1] = 0, 4095
    read = read_radiograph(png(tmp_path / "a.png", pixels))
    assert read.pixels[0, 0] == 0
    assert read.pixels[0, 1] == 65535
    assert read.pixels[1, 1] == 32776
    assert read.bits == 12
    assert "12 bits by largest value 4095" in read.note


def test_all_4096_levels_of_a_12_bit_ramp_survive(tmp_path):
    read = read_radiograph(png(tmp_path / "a.png", np.arange(4096, dtype=np.uint16).reshape(64, 64)))
    assert len(np.unique(read.pixels)) == 4096


def test_16_bits_stay_as_they_are(tmp_path):
    pixels = ramp(top=65535, dtype=np.uint16)
    read = read_radiograph(png(tmp_path / "a.png", pixels))
    np.testing.assert_array_equal(read.pixels, pixels)
    assert read.bits == 16


def test_a_16_bit_tiff_is_read_in_full(tmp_path):
    pixels = ramp(top=65535, dtype=np.uint16)
    np.testing.assert_array_equal(read_radiograph(write(tmp_path / "a.tif", pixels)).pixels, pixels)


def test_a_declared_depth_beats_the_largest_value(tmp_path):
    # a dark image of a 12-bit detector: its largest value 900 would pass for 10 bits
    path = png(tmp_path / "a.png", ramp(top=900, dtype=np.uint16))
    assert read_radiograph(path).bits == 10
    declared = read_radiograph(path, bits=12)
    assert declared.bits == 12
    assert declared.pixels.max() == round(900 * 65535 / 4095)


def test_the_sbit_chunk_of_a_png_declares_the_depth(tmp_path):
    path = tmp_path / "a.png"
    data = cv2.imencode(".png", ramp(top=900, dtype=np.uint16))[1].tobytes()
    path.write_bytes(with_chunk(data, b"sBIT", bytes([12])))
    read = read_radiograph(path)
    assert read.bits == 12
    assert read.pixels.max() == round(900 * 65535 / 4095)


def test_a_value_above_the_declared_depth_is_refused(tmp_path):
    with pytest.raises(DataError, match="value 4095, which does not fit the declared 10 bits"):
        read_radiograph(png(tmp_path / "a.png", ramp(top=4095, dtype=np.uint16)), bits=10)


@pytest.mark.parametrize(("top", "dtype"), [(255, np.uint8), (65535, np.uint16)], ids=["8 bit", "16 bit"])
def test_an_inverted_file_is_turned(tmp_path, top, dtype):
    pixels = ramp(top=top, dtype=dtype)
    read = read_radiograph(png(tmp_path / "a.png", pixels), inverted=True)
    np.testing.assert_array_equal(read.pixels, top - pixels)
    assert read.inverted


def test_a_raw_img_file_is_turned_clipped_and_stretched(tmp_path):
    # value 0 is dense: 4095 - 0 -> 65535; 4095 -> 0; 5000 is clipped to 4095 -> 0; 4094 -> 1 * 65535 / 4095 = 16
    words = np.zeros((2048, 2048), ">u2")
    words[0, :3] = 4095, 5000, 4094
    path = tmp_path / "JPCLN001.IMG"
    path.write_bytes(words.tobytes())
    read = read_radiograph(path)
    assert read.pixels[0, :4].tolist() == [0, 0, 16, 65535]
    assert (read.bits, read.inverted) == (12, True)
    assert read_size(path) == (2048, 2048)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA", "1"])
def test_every_png_mode_gives_the_pixels_that_pillow_shows(tmp_path, mode):
    colours = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    image = Image.fromarray(colours).convert(mode)
    image.save(tmp_path / "a.png")
    expected = np.asarray(image.convert("L" if mode in ("LA", "1") else "RGB"))
    read = read_radiograph(tmp_path / "a.png")
    np.testing.assert_array_equal(read.pixels, expected)
    said = {"RGBA": "transparency dropped", "LA": "transparency dropped", "P": "palette resolved"}
    assert read.note == said.get(mode, "")


def test_a_cmyk_jpeg_becomes_rgb(tmp_path):
    Image.new("CMYK", (16, 16), (0, 0, 0, 0)).save(tmp_path / "a.jpg")
    read = read_radiograph(tmp_path / "a.jpg")
    assert read.pixels.shape == (16, 16, 3)
    assert read.note == "CMYK turned to RGB"


def test_exif_rotation_is_applied(tmp_path):
    image = Image.fromarray(ramp(16, 24))
    exif = image.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    image.save(tmp_path / "a.jpg", exif=exif)
    read = read_radiograph(tmp_path / "a.jpg")
    assert read.pixels.shape == (24, 16)
    assert "EXIF" in read.note


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "tif", "bmp"])
def test_the_size_is_read_from_the_header(tmp_path, ending):
    assert read_size(write(tmp_path / f"a.{ending}", ramp(16, 24))) == (16, 24)


def test_a_mask_is_above_half_of_the_range(tmp_path):
    # four levels: 127 is background, 128 is foreground
    pixels = np.repeat(np.array([[0, 127, 128, 255]], np.uint8), 8, axis=0).repeat(4, axis=1)
    mask = read_mask(write(tmp_path / "m.png", pixels))
    assert mask.mask[0].tolist() == [False] * 8 + [True] * 8
    assert mask.levels == 4
    assert mask.between == 64  # 8 rows x 4 columns of 127 and of 128


@pytest.mark.parametrize("levels", [(0, 1), (0, 255), (0, 100), (3, 4)], ids=str)
def test_the_higher_of_two_levels_is_foreground(tmp_path, levels):
    pixels = np.full((8, 8), levels[0], np.uint8)
    pixels[2:4] = levels[1]
    mask = read_mask(write(tmp_path / "m.png", pixels))
    assert mask.mask.sum() == 16
    assert (mask.levels, mask.between) == (2, 0)


@pytest.mark.parametrize(("level", "share"), [(0, 0.0), (255, 1.0), (1, 0.0)], ids=["black", "white", "ones"])
def test_a_mask_of_one_level_follows_the_rule_of_half(tmp_path, level, share):
    assert read_mask(write(tmp_path / "m.png", np.full((8, 8), level, np.uint8))).mask.mean() == share


def test_a_16_bit_mask_is_read(tmp_path):
    pixels = np.zeros((8, 8), np.uint16)
    pixels[0] = 65535
    assert read_mask(png(tmp_path / "m.png", pixels)).mask.sum() == 8


def test_a_gif_mask_with_a_palette_is_read(tmp_path):
    image = Image.fromarray(np.eye(8, dtype=np.uint8))
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(tmp_path / "m.gif")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.gif").mask, np.eye(8, dtype=bool))


def test_a_mask_of_two_colours_is_read_by_brightness(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = (128, 0, 0)
    assert read_mask(write(tmp_path / "m.png", pixels)).mask.sum() == 32


def test_a_label_map_is_refused(tmp_path):
    pixels = np.zeros((8, 8), np.uint8)
    pixels[1], pixels[2] = 1, 2
    with pytest.raises(DataError, match=r"m\.png has 3 levels and none above 127 \(highest 2\)"):
        read_mask(write(tmp_path / "m.png", pixels))


def test_a_mask_of_several_colours_is_refused(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[1], pixels[2] = (255, 0, 0), (0, 0, 255)
    with pytest.raises(DataError, match=r"m\.png has several colours"):
        read_mask(write(tmp_path / "m.png", pixels))
