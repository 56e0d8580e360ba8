"""Reading radiographs and masks from files, with every damage named before pixels are used.

All bytes come through `read_bytes`: from this machine or, where the path is a URL, from elsewhere through the cache.
The content decides what a file is, not its name. PNG files are decoded with OpenCV, but only after every chunk's
checksum was verified, since OpenCV says nothing of a damaged file; the others with Pillow, which raises on truncated
files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lungseg.data.decode import MAX_PIXELS, RAW_SIDE, Decoded, decode, decode_raw, is_raw, size_of
from lungseg.errors import DataError
from lungseg.remote.path import RemotePath, place

__all__ = [
    "MAX_PIXELS",
    "Mask",
    "Radiograph",
    "content_hash",
    "read_bytes",
    "read_mask",
    "read_radiograph",
    "read_size",
]

_DEPTHS = (8, 10, 12, 14, 16)
_HEADER_BYTES = 1 << 16
_COLOUR_TOLERANCE = 16


@dataclass(frozen=True)
class Radiograph:
    """A radiograph as read: bright = dense, values stretched to the full range of the dtype.

    Attributes:
        pixels: (H, W) or (H, W, 3) uint8 or uint16. A 12-bit file comes as uint16 with v * 65535 / 4095.
        bits: Depth found or declared, in bits.
        inverted: The file showed dense parts dark and was turned.
        note: What was converted, in words; empty when nothing was.
    """

    pixels: np.ndarray
    bits: int
    inverted: bool
    note: str


@dataclass(frozen=True)
class Mask:
    """A mask as read.

    Attributes:
        mask: (h, w) bool.
        levels: Number of distinct grey levels in the file.
        between: Number of pixels that are neither at the lowest nor at the highest level found.
    """

    mask: np.ndarray
    levels: int
    between: int


def read_bytes(path: Path | str, *, limit: int | None = None) -> bytes:
    """Read a file, or its first `limit` bytes.

    Raises:
        DataError: The file is missing, a folder, unreadable or empty.
    """
    path = place(path)
    try:
        if isinstance(path, RemotePath):
            data = path.fetch(limit)
        else:
            with path.open("rb") as file:
                data = file.read() if limit is None else file.read(limit)
    except FileNotFoundError as error:
        msg = f"{path} is not there; check the path, and that the whole set was unpacked"
        raise DataError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror or error}); check that it is a file and its permissions"
        raise DataError(msg) from error
    if not data:
        msg = f"{path} is empty (0 bytes); download or copy it again"
        raise DataError(msg)
    return data


def read_size(path: Path | str) -> tuple[int, int]:
    """Height and width of an image from its header.

    Raises:
        DataError: The file is missing, no image, or larger than `MAX_PIXELS`.
    """
    path = place(path)
    if is_raw(path):
        return RAW_SIDE, RAW_SIDE
    if isinstance(path, RemotePath):
        height, width = path.remembered("size", lambda: "x".join(map(str, _size(path)))).split("x")
        return int(height), int(width)
    return _size(path)


def content_hash(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hex; of a remote file it is noted, so that it is not read again for it.

    Raises:
        DataError: The file is missing or cannot be read.
    """
    path = place(path)
    if isinstance(path, RemotePath):
        return path.remembered("sha256", lambda: hashlib.sha256(read_bytes(path)).hexdigest())
    return hashlib.sha256(read_bytes(path)).hexdigest()


def _size(path: Path) -> tuple[int, int]:
    head = read_bytes(path, limit=_HEADER_BYTES)
    try:
        return size_of(head, path)
    except DataError:
        if len(head) < _HEADER_BYTES:
            raise
        # a JPEG with a large thumbnail, or a TIFF with its directory at the end
        return size_of(read_bytes(path), path)


def read_radiograph(path: Path | str, *, inverted: bool = False, bits: int | None = None) -> Radiograph:
    """Read a radiograph from PNG, JPEG, TIFF, BMP, GIF or JSRT's raw .IMG.

    A 16-bit file rarely uses 16 bits: without `bits` and without a PNG's sBIT chunk, the depth is the smallest of 8,
    10, 12, 14 and 16 that holds the largest value found. Values are stretched so that the depth's largest value
    becomes the dtype's: v * 65535 / (2**bits - 1). Palettes become colours, transparency is dropped, EXIF rotation is
    applied; `note` says so. .IMG files are 2048 x 2048 big-endian 12-bit, inverted: v becomes 4095 - min(v, 4095).

    Args:
        path: The file.
        inverted: The file shows dense parts dark (MONOCHROME1); turn it. .IMG files are always turned.
        bits: Depth of the values where it is known.

    Raises:
        DataError: The file is missing, empty, truncated, damaged, too large, or no image; it names file, cause and fix.
    """
    path = place(path)
    data = read_bytes(path)
    if is_raw(path):
        values = decode_raw(data, path)
        return Radiograph(_stretch(values, 12), 12, True, "raw 12-bit file, inverted")
    decoded = decode(data, path)
    pixels, depth, notes = _full_range(decoded, path, bits)
    if inverted:
        # full range, so the complement is the bitwise one
        pixels = np.invert(pixels)
        notes.append("inverted")
    return Radiograph(np.ascontiguousarray(pixels), depth, inverted, "; ".join(notes))


def read_mask(path: Path | str) -> Mask:
    """Read a mask.

    Rule: a pixel above half of the file's range (> 127 at 8 bits) is foreground. In a file of exactly two levels the
    higher one is foreground, so that masks of 0 and 1 work. A file of three and more levels that all lie in the lower
    half is refused: it is a label map or damaged.

    Raises:
        DataError: The file cannot be read, has colours, or is a label map.
    """
    path = place(path)
    decoded = decode(read_bytes(path), path)
    grey = _grey(decoded, path)
    bins = 1 << 8 * grey.dtype.itemsize
    values = np.flatnonzero(cv2.calcHist([grey], [0], None, [bins], [0, bins]))
    low, high = int(values[0]), int(values[-1])
    half = int(np.iinfo(grey.dtype).max) // 2
    if len(values) == 2:
        return Mask(grey == high, 2, 0)
    if len(values) > 2 and high <= half:
        msg = (
            f"{path} has {len(values)} levels and none above {half} (highest {high}), so it is no mask of one "
            "structure but looks like a label map; write one file per structure with 0 and 255"
        )
        raise DataError(msg)
    mask = grey > half
    between = int(np.count_nonzero((grey != low) & (grey != high)))
    return Mask(mask, len(values), between)


def _full_range(decoded: Decoded, path: Path, bits: int | None) -> tuple[np.ndarray, int, list[str]]:
    """Stretch values to the dtype's range; returns pixels, depth in bits, notes."""
    pixels, notes = decoded.pixels, list(decoded.notes)
    if pixels.dtype == np.uint8:
        if bits is not None and bits > 8:
            msg = f"{path} has 8 bits a pixel, but {bits} were declared; leave the depth out or use the deeper file"
            raise DataError(msg)
        return pixels, decoded.bits, notes
    largest = int(pixels.max())
    depth = bits or decoded.declared_bits or next(d for d in _DEPTHS if largest < 1 << d)
    if largest >= 1 << depth:
        if bits is not None:
            msg = (
                f"{path} holds the value {largest}, which does not fit the declared {bits} bits; declare its true depth"
            )
            raise DataError(msg)
        # sBIT of a file that was already stretched, as the PNG specification asks for
        return pixels, depth, notes
    if depth < 16:
        notes.append(
            f"{depth} bits in 16" if bits or decoded.declared_bits else f"{depth} bits by largest value {largest}"
        )
    return _stretch(pixels, depth), depth, notes


def _stretch(values: np.ndarray, bits: int) -> np.ndarray:
    """Return v * 65535 / (2**bits - 1), rounded, as uint16."""
    if bits == 16:
        return values
    top = (1 << bits) - 1
    table = (np.arange(top + 1, dtype=np.uint32) * 65535 + top // 2) // top
    stretched: np.ndarray = table.astype(np.uint16)[values]
    return stretched


def _grey(decoded: Decoded, path: Path) -> np.ndarray:
    pixels = decoded.pixels
    if pixels.ndim == 2:
        return pixels
    spread = int((pixels.max(axis=2).astype(np.int32) - pixels.min(axis=2)).max())
    luminance = (pixels.astype(np.uint32) @ np.array([299, 587, 114], dtype=np.uint32) + 500) // 1000
    grey: np.ndarray = luminance.astype(pixels.dtype)
    if spread > _COLOUR_TOLERANCE and len(np.unique(grey)) > 2:
        msg = f"{path} has several colours, so it is no mask of one structure; write one grey file per structure"
        raise DataError(msg)
    return grey
