"""Decoding image bytes: formats by content, sizes from headers before any pixel, damage refused."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from PIL import BmpImagePlugin, GifImagePlugin, Image, ImageFile, ImageOps, JpegImagePlugin, TiffImagePlugin

from lungseg.errors import DataError

MAX_PIXELS = 100_000_000
"""Larger images are refused from the header: a 76 kB file can claim 25,000 x 25,000 pixels."""
MIN_SIDE = 8
RAW_SIDE = 2048
_RAW_BYTES = RAW_SIDE * RAW_SIDE * 2
_RAW_TOP = 4095

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_COLOURS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# plugin classes, not Image.open: that one warns of large images by Pillow's own global limit
_PLUGINS: dict[str, Callable[[IO[bytes]], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
}
_ENDINGS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}


@dataclass(frozen=True)
class Decoded:
    """Pixels as stored.

    Attributes:
        pixels: (H, W) or (H, W, 3) uint8 or uint16; 1-, 2- and 4-bit files are spread over 0..255.
        bits: Bits a channel in the file.
        declared_bits: Significant bits by a PNG's sBIT chunk, or None.
        notes: Conversions done, in words.
    """

    pixels: np.ndarray
    bits: int
    declared_bits: int | None
    notes: tuple[str, ...]


def is_raw(path: Path) -> bool:
    """Whether the name is that of a raw JSRT file."""
    return path.suffix.lower() == ".img"


def decode_raw(data: bytes, path: Path) -> np.ndarray:
    """Decode a JSRT .IMG file: headerless 2048 x 2048 big-endian 16-bit words with 12 bits, dense = 0.

    Returns:
        (2048, 2048) uint16 in 0..4095, dense = 4095.

    Raises:
        DataError: The length is not 8,388,608 bytes.
    """
    if len(data) != _RAW_BYTES:
        msg = (
            f"{path} has {len(data):,} bytes, a JSRT .IMG file has {_RAW_BYTES:,} (2048 x 2048 of 2 bytes, no header); "
            f"{_guess(data)}copy it again, or use the PNG copy with the ending .png"
        )
        raise DataError(msg)
    values = np.frombuffer(data, dtype=">u2").reshape(RAW_SIDE, RAW_SIDE).astype(np.uint16)
    return np.subtract(_RAW_TOP, np.minimum(values, _RAW_TOP), dtype=np.uint16)


def size_of(data: bytes, path: Path) -> tuple[int, int]:
    """Height and width from the beginning of a file.

    Raises:
        DataError: It is no image that lungseg reads, or its size is not that of a radiograph.
    """
    kind = _kind(data, path)
    if kind == "PNG":
        width, height = _png_header(data, path)[:2]
    else:
        width, height = _open(kind, data, path).size
    _check_size(height, width, path)
    return height, width


def decode(data: bytes, path: Path) -> Decoded:
    """Decode PNG, JPEG, GIF, TIFF or BMP bytes.

    Raises:
        DataError: The bytes are damaged, too large, of another kind than the name says, or no image.
    """
    kind = _kind(data, path)
    return _decode_png(data, path) if kind == "PNG" else _decode_pillow(kind, data, path)


def _kind(data: bytes, path: Path) -> str:
    kind = _sniff(data)
    if kind is None:
        msg = f"{path} is no image: {_guess(data) or 'its first bytes are unknown; '}get the original file again"
        raise DataError(msg)
    said = _ENDINGS.get(path.suffix.lower())
    if said is not None and said != kind:
        msg = f"{path} is named as a {said} file but holds a {kind} file; rename it to {path.stem}.{kind.lower()}"
        raise DataError(msg)
    return kind


def _sniff(data: bytes) -> str | None:
    if data.startswith(_PNG):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if data[:4] in (b"II*\0", b"MM\0*"):
        return "TIFF"
    if data.startswith(b"BM") and len(data) > 26:
        return "BMP"
    return None


def _guess(data: bytes) -> str:
    """What bytes that are no image look like, as the beginning of a clause; empty when unknown."""
    head = data[:512].lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
        return "it is a web page (HTML or XML), most likely an error page that was saved under this name; "
    if data.startswith(b"version https://git-lfs"):
        return "it is a pointer of git-lfs, not the file (run git lfs pull); "
    if data.startswith((b"PK\x03\x04", b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf")):
        return "it is an archive, unpack it; "
    if data[128:132] == b"DICM":
        return "it is a DICOM file; "
    if not any(data[:4096]):
        return "it holds zeros only, as after a broken copy; "
    return ""


def _check_size(height: int, width: int, path: Path) -> None:
    if height * width > MAX_PIXELS:
        msg = (
            f"{path} claims {height:,} x {width:,} pixels (height x width), more than the {MAX_PIXELS:,} that are "
            "read; it is not a radiograph or its header is damaged"
        )
        raise DataError(msg)
    if min(height, width) < MIN_SIDE:
        msg = f"{path} is {height} x {width} pixels (height x width); a side below {MIN_SIDE} is no radiograph or mask"
        raise DataError(msg)


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{path} is damaged: {what}; copy or download it again")


def _png_header(data: bytes, path: Path) -> tuple[int, int, int, int]:
    """Width, height, bit depth and colour type."""
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise _damaged(path, f"the PNG header is cut off after {len(data)} bytes")
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    if colour not in _PNG_COLOURS or depth not in (1, 2, 4, 8, 16) or not width or not height:
        raise _damaged(path, f"its PNG header says {height} x {width}, {depth} bits, colour type {colour}")
    return width, height, depth, colour


def _png_chunks(data: bytes, path: Path) -> tuple[dict[bytes, bytes], bytes]:
    """Walk all chunks and verify their checksums; returns the small ones that matter, and the file to decode.

    A colour profile is left out of the latter: pixels are taken as they are, and of one that does not fit the file
    (grey radiographs with the profile of a screen are around) libpng complains on the terminal.
    """
    kept: dict[bytes, bytes] = {}
    profile: tuple[int, int] | None = None
    view = memoryview(data)
    place = len(_PNG)
    while place < len(data):
        if place + 12 > len(data):
            raise _damaged(path, f"truncated at byte {len(data):,}, within a chunk's header")
        length = int.from_bytes(view[place : place + 4], "big")
        kind = bytes(view[place + 4 : place + 8])
        end = place + 12 + length
        if end > len(data):
            raise _damaged(path, f"truncated at byte {len(data):,} of at least {end:,}, within its {_name(kind)} chunk")
        if zlib.crc32(view[place + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise _damaged(path, f"the checksum of its {_name(kind)} chunk at byte {place:,} is wrong")
        if kind in (b"sBIT", b"tRNS"):
            kept[kind] = bytes(view[place + 8 : end - 4])
        if kind == b"iCCP":
            profile = place, end
        if kind == b"IEND":
            return kept, data if profile is None else data[: profile[0]] + data[profile[1] :]
        place = end
    raise _damaged(path, f"truncated at byte {len(data):,}: its IEND chunk is missing")


def _name(kind: bytes) -> str:
    return kind.decode("ascii", "replace")


def _decode_png(data: bytes, path: Path) -> Decoded:
    width, height, depth, colour = _png_header(data, path)
    _check_size(height, width, path)
    chunks, data = _png_chunks(data, path)
    pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape[:2] != (height, width):
        raise _damaged(path, "its compressed pixels cannot be decoded")
    notes: list[str] = []
    if colour == 3:
        notes.append("palette resolved")
    if colour in (4, 6) or b"tRNS" in chunks:
        notes.append("transparency dropped")
    if colour in (0, 4) and pixels.ndim == 3:
        pixels = pixels[:, :, 0]
    elif pixels.ndim == 3:
        pixels = pixels[:, :, 2::-1]
    declared = chunks.get(b"sBIT")
    significant = max(declared) if declared else None
    if significant is not None and not 8 <= significant <= 16:
        significant = None
    bits = 8 if colour == 3 else depth
    return Decoded(np.ascontiguousarray(pixels), bits, significant if depth == 16 else None, tuple(notes))


def _open(kind: str, data: bytes, path: Path) -> ImageFile.ImageFile:
    try:
        return _PLUGINS[kind](io.BytesIO(data))
    except (OSError, SyntaxError, ValueError, struct.error, IndexError, KeyError, TypeError, EOFError) as error:
        raise _damaged(path, f"its {kind} header cannot be read ({error})") from error


def _decode_pillow(kind: str, data: bytes, path: Path) -> Decoded:
    picture = _open(kind, data, path)
    _check_size(picture.height, picture.width, path)
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        msg = f"{path} holds {frames} pictures; a radiograph or mask is one: split the file"
        raise DataError(msg)
    notes: list[str] = []
    try:
        picture.load()
        image: Image.Image = picture
        if kind in ("JPEG", "TIFF") and image.getexif().get(0x0112, 1) != 1:
            image = ImageOps.exif_transpose(image)
            notes.append("turned as its EXIF orientation says")
    except (OSError, SyntaxError, ValueError, struct.error, IndexError, KeyError, TypeError, EOFError) as error:
        raise _damaged(path, f"its {kind} data end early or cannot be decoded ({error})") from error
    pixels, bits = _pixels(image, path, notes)
    return Decoded(np.ascontiguousarray(pixels), bits, None, tuple(notes))


def _pixels(image: Image.Image, path: Path, notes: list[str]) -> tuple[np.ndarray, int]:
    """Pixels of a loaded Pillow image and its depth."""
    mode = image.mode
    if mode == "1":
        return np.asarray(image.convert("L")), 1
    if mode in ("L", "RGB"):
        return np.asarray(image), 8
    if mode == "P":
        notes.append("palette resolved")
        # a table look-up of the indices is some ten times quicker than Pillow's own conversion
        palette = np.asarray(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
        table = np.zeros((256, 3), dtype=np.uint8)
        table[: len(palette)] = palette
        indices = np.asarray(image)
        grey = bool((palette == palette[:, :1]).all())
        return (table[:, 0][indices] if grey else table[indices]), 8
    if mode in ("LA", "PA", "RGBA", "RGBX"):
        notes.append("transparency dropped")
        return np.asarray(image.convert("RGBA"))[:, :, : 3 if mode != "LA" else 1].squeeze(), 8
    if mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        notes.append(f"{mode} turned to RGB")
        return np.asarray(image.convert("RGB")), 8
    if mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16), 16
    if mode == "I":
        wide = np.asarray(image)
        if wide.min() >= 0 and wide.max() <= 65535:
            return wide.astype(np.uint16), 16
        msg = f"{path} holds integers in {wide.min()}..{wide.max()}; save it with 8 or 16 bits (0..65535)"
        raise DataError(msg)
    msg = f"{path} holds pixels of the kind {mode!r}, which have no stated range; save it with 8 or 16 bits"
    raise DataError(msg)
