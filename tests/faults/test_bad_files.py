"""Files and folders as they should not be: errors name the file, the cause and the fix, and have exit code 3."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from lungseg.data.check import examine
from lungseg.data.io import read_mask, read_radiograph, read_size
from lungseg.data.phantom.layouts import write_layout
from lungseg.data.sources.montgomery import MontgomerySource
from lungseg.data.splits.base import check_subjects
from lungseg.data.table import SamplesTable
from lungseg.errors import DataError

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (64, 64), dtype=np.uint8)


def encoded(kind, pixels=NOISE):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb():
    """A PNG of a few hundred bytes that claims 25,000 x 25,000 pixels."""
    header = struct.pack(">IIBBBBB", 25_000, 25_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    )


def flipped(data, place):
    changed = bytearray(data)
    changed[place] ^= 0x10
    return bytes(changed)


def lost_chunk(data):
    """The PNG without its pixels; every remaining checksum is right."""
    start = data.index(b"IDAT") - 4
    end = data.index(b"IEND") - 4
    return data[:start] + data[end:]


PNG, JPEG, GIF, TIFF = (encoded(kind) for kind in ("PNG", "JPEG", "GIF", "TIFF"))
HTML = b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>"
GIF_BOMB = GIF[:6] + struct.pack("<HH", 20_000, 20_000) + GIF[10:]

BAD = {
    "empty": ("a.png", b"", "is empty (0 bytes)", "download or copy it again"),
    "web page": ("a.png", HTML, "it is a web page", "get the original file again"),
    "web page as IMG": ("a.IMG", HTML, f"has {len(HTML)} bytes, a JSRT .IMG file has 8,388,608", "copy it again"),
    "png cut in its header": ("a.png", PNG[:20], "cut off after 20 bytes", "copy or download it again"),
    "png cut in its pixels": ("a.png", PNG[:2000], "truncated at byte 2,000", "copy or download it again"),
    "png without its end": ("a.png", PNG[:-12], "its IEND chunk is missing", "copy or download it again"),
    "png with a flipped bit": (
        "a.png",
        flipped(PNG, 1500),
        "the checksum of its IDAT chunk",
        "copy or download it again",
    ),
    "png without pixels": ("a.png", lost_chunk(PNG), "its compressed pixels cannot be decoded", "copy or download"),
    "jpeg cut": ("a.jpg", JPEG[: len(JPEG) // 2], "its JPEG data end early", "copy or download it again"),
    "gif cut": ("a.gif", GIF[: len(GIF) // 2], "its GIF data end early", "copy or download it again"),
    "tiff cut": ("a.tif", TIFF[: len(TIFF) // 2], "its TIFF", "copy or download it again"),
    "jpeg named png": ("a.png", JPEG, "is named as a PNG file but holds a JPEG file", "rename it to a.jpeg"),
    "png bomb": ("a.png", bomb(), "claims 25,000 x 25,000 pixels", "is not a radiograph"),
    "gif bomb": ("a.gif", GIF_BOMB, "claims 20,000 x 20,000 pixels", "is not a radiograph"),
    "img too short": ("a.IMG", bytes(1000), "has 1,000 bytes, a JSRT .IMG file has 8,388,608", "holds zeros only"),
    "png named IMG": ("a.IMG", PNG, "a JSRT .IMG file has 8,388,608", "with the ending .png"),
    "archive": ("a.png", b"PK\x03\x04" + bytes(50), "it is an archive, unpack it", "get the original"),
    "git-lfs pointer": ("a.png", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull", "get the original"),
    "dicom": ("a.png", bytes(128) + b"DICM" + bytes(9), "it is a DICOM file", "get the original"),
    "zeros": ("a.png", bytes(5000), "it holds zeros only", "get the original"),
    "text": ("a.png", b"hello, this is no image", "its first bytes are unknown", "get the original"),
}


@pytest.mark.parametrize(
    ("case", "read"),
    [(case, read_radiograph) for case in BAD]
    + [(case, read_mask) for case in BAD if not BAD[case][0].endswith(".IMG")],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_bad_file_is_refused_with_name_cause_and_fix(case, read, tmp_path):
    name, data, cause, fix = BAD[case]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError) as caught:
        read(tmp_path / name)
    for said in (str(tmp_path / name), cause, fix):
        assert said in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("target", ["missing.png", "folder.png"])
def test_a_path_that_is_no_file_is_refused(target, tmp_path):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataError, match=rf"{target} (is not there|cannot be read).*check"):
        read_radiograph(tmp_path / target)


def test_a_bomb_is_refused_from_its_header_alone(tmp_path):
    (tmp_path / "a.png").write_bytes(bomb()[:40])
    with pytest.raises(DataError, match="claims 25,000 x 25,000"):
        read_size(tmp_path / "a.png")


def test_every_single_cut_of_a_png_is_refused(tmp_path):
    path = tmp_path / "a.png"
    for length in range(1, len(PNG), 97):
        path.write_bytes(PNG[:length])
        with pytest.raises(DataError, match=r"a\.png"):
            read_radiograph(path)


def test_no_flipped_bit_of_a_png_passes(tmp_path):
    path = tmp_path / "a.png"
    # 8 bytes of signature, then chunks under checksums
    for place in range(8, len(PNG), 131):
        path.write_bytes(flipped(PNG, place))
        with pytest.raises(DataError, match=r"a\.png"):
            read_radiograph(path)


@pytest.mark.parametrize(
    ("pixels", "bits", "note"),
    [
        (np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16), 16, ""),
        (np.dstack([NOISE] * 4), 8, "transparency dropped"),
    ],
    ids=["16 bit", "RGBA"],
)
def test_an_unusual_png_is_read_and_the_conversion_said(pixels, bits, note, tmp_path):
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    read = read_radiograph(tmp_path / "a.png")
    assert (read.bits, read.note) == (bits, note)
    np.testing.assert_array_equal(read.pixels, pixels if pixels.ndim == 2 else pixels[:, :, :3])


def test_a_palette_png_is_read_in_its_colours(tmp_path):
    image = Image.fromarray(NOISE).convert("P")
    image.save(tmp_path / "a.png")
    read = read_radiograph(tmp_path / "a.png")
    np.testing.assert_array_equal(read.pixels, np.asarray(image.convert("RGB")))
    assert read.note == "palette resolved"


@pytest.fixture
def montgomery(tmp_path):
    return write_layout("montgomery", tmp_path, n=3, size=(48, 56)).root


def test_no_data_root_is_refused_with_the_variable_and_the_key(tmp_path):
    with pytest.raises(DataError, match=r"LUNGSEG_DATA or paths\.data=<folder"):
        MontgomerySource(search=str(tmp_path / "nowhere")).index()


def test_a_wrong_folder_is_refused_with_the_tree(tmp_path):
    with pytest.raises(DataError, match=r"Expected:\n  MontgomerySet/"):
        MontgomerySource(root=str(tmp_path)).index()


def test_a_missing_mask_is_refused_with_the_way_to_drop_it(tmp_path):
    root = write_layout("montgomery", tmp_path, n=3, size=(48, 56), nasty=["missing_mask"]).root
    with pytest.raises(
        DataError, match=r"1 of 3 radiographs .* MCUCXR_0003_\d .*data\.sources\.montgomery\.missing=drop"
    ):
        MontgomerySource(root=str(root)).index()


def test_a_mask_of_the_wrong_size_is_refused_with_both_sizes(tmp_path):
    root = write_layout("montgomery", tmp_path, n=1, size=(48, 56), nasty=["wrong_mask_size"]).root
    source = MontgomerySource(root=str(root))
    index = source.index()
    with pytest.raises(DataError, match=r"is 36 x 56, its radiograph .* is 48 x 56 .* resize the mask"):
        source.read_masks(index.root, index.rows[0], ["lungs"])


def test_the_two_masks_of_a_radiograph_must_have_one_size(montgomery):
    source = MontgomerySource(root=str(montgomery))
    index = source.index()
    left = index.root / index.rows[0]["masks"]["left_lung"]
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(left)
    with pytest.raises(DataError, match=r"rightMask.* is 20 x 20, the other masks of .* are 48 x 56"):
        source.read_masks(index.root, index.rows[0], ["right_lung", "left_lung"])


def test_check_lists_every_unreadable_file_and_goes_on(montgomery):
    images = sorted((montgomery / "CXR_png").iterdir())
    images[0].write_bytes(b"")
    images[1].write_bytes(HTML)
    facts, index, digests = examine(MontgomerySource(root=str(montgomery)))
    assert index is not None
    assert [cause.split()[0] for cause in facts.unreadable] == [str(image) for image in images[:2]]
    assert len(digests) == 1


def test_duplicate_ids_are_refused_by_name(montgomery):
    rows = MontgomerySource(root=str(montgomery)).index().rows
    with pytest.raises(
        DataError, match=r"1 sample_id occur more than once: montgomery/MCUCXR_0001_\d.*rename the files"
    ):
        SamplesTable.from_rows([*rows, rows[0]])


def test_one_patient_in_two_parts_is_refused_by_name(montgomery):
    rows = MontgomerySource(root=str(montgomery)).index().rows
    rows[1]["subject_id"] = rows[0]["subject_id"]
    table = SamplesTable.from_rows(rows)
    with pytest.raises(DataError, match=r"1 of 2 patients .*MCUCXR_0001_\d \(test, train\).*split\.by=subject"):
        check_subjects(table, ["train", "test", "train"])
