"""Contrast limited adaptive histogram equalisation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.data.preprocess.base import Prepared, single_channel
from lungseg.errors import ConfigError

_BINS = 256


class CLAHE:
    """Equalise each tile of the image, with a limit on the gain of contrast, and blend the tiles bilinearly.

    At 8 bits this is `cv2.createCLAHE`. At 16 bits the same algorithm runs with the same 256 bins: a tile's curve is
    made from grey values rounded to 8 bits and read linearly between its 256 points, so that an image comes out the
    same at either depth and a deep one keeps its steps. cv2 itself takes 65536 bins there. Its limit, a count per bin,
    then says something else: on a 12-bit radiograph at 256 x 256 its result lies 26 grey levels of 255 (mean) from that
    of the same image at 8 bits.

    Args:
        clip_limit: highest count of a bin, in multiples of a tile's mean count (its pixels / 256).
        tiles: (rows, columns) of the grid of tiles.

    Raises:
        ConfigError: `clip_limit` is not positive, or `tiles` are no two whole numbers from 1 on.

    Source:
        Zuiderveld 1994, Graphics Gems IV, VIII.5. The paper `covid_segmentation` names CLAHE and no parameters; clip
        limit 2 and 8 x 8 tiles are the values of cv2's own example.
    """

    def __init__(self, *, clip_limit: float = 2.0, tiles: Sequence[int] = (8, 8)) -> None:
        if not clip_limit > 0:
            msg = f"preprocess.steps.clahe.clip_limit={clip_limit} must be above 0"
            raise ConfigError(msg)
        if len(tiles) != 2 or any(int(n) != n or n < 1 for n in tiles):
            msg = f"preprocess.steps.clahe.tiles={list(tiles)} is not (rows, columns) of at least 1 tile each"
            raise ConfigError(msg)
        self.clip_limit = float(clip_limit)
        self.tiles = (int(tiles[0]), int(tiles[1]))

    def __call__(self, sample: Prepared) -> Prepared:
        """Return the sample with locally equalised grey values at the image's own depth."""
        image = single_channel(sample, "clahe")
        if image.dtype == np.uint8:
            rows, columns = self.tiles
            return sample.with_image(cv2.createCLAHE(self.clip_limit, (columns, rows)).apply(image))
        return sample.with_image(self._deep(image))

    def _deep(self, image: NDArray[np.uint16]) -> NDArray[np.uint16]:
        curves, tile_height, tile_width = self._curves(image)
        rises = np.diff(curves, axis=2, append=curves[..., -1:])
        level = (image // 257).astype(np.uint8)
        between = (image - level.astype(np.uint16) * np.uint16(257)).astype(np.float32) / np.float32(257)
        rows, columns = _neighbours(image.shape[0], tile_height), _neighbours(image.shape[1], tile_width)
        out = np.empty_like(image)
        for y, above, weight_y in rows:
            for x, left, weight_x in columns:
                at, part = level[y, x], between[y, x]
                value = np.zeros(at.shape, np.float32)
                for row, share_y in ((above, 1 - weight_y), (above + 1, weight_y)):
                    for column, share_x in ((left, 1 - weight_x), (left + 1, weight_x)):
                        tile = min(max(row, 0), self.tiles[0] - 1), min(max(column, 0), self.tiles[1] - 1)
                        value += (curves[tile][at] + rises[tile][at] * part) * (share_y[:, None] * share_x)
                out[y, x] = np.rint(value).clip(0, 65535)
        return out

    def _curves(self, image: NDArray[np.uint16]) -> tuple[NDArray[np.float32], int, int]:
        """Return the curve of each tile, (rows, columns, 256) float32 in [0, 65535], and a tile's height and width."""
        rows, columns = self.tiles
        height, width = image.shape
        if height % rows or width % columns:
            # as cv2 does: a side that already divides gets one more row or column per tile
            more = rows - height % rows, columns - width % columns
            image = np.asarray(cv2.copyMakeBorder(image, 0, more[0], 0, more[1], cv2.BORDER_REFLECT_101), np.uint16)
        tile_height, tile_width = image.shape[0] // rows, image.shape[1] // columns
        coarse = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
        tiled = coarse.reshape(rows, tile_height, columns, tile_width).swapaxes(1, 2)
        pixels = tile_height * tile_width
        limit = max(int(self.clip_limit * pixels / _BINS), 1)
        curves = np.empty((rows, columns, _BINS), np.float32)
        for at in np.ndindex(rows, columns):
            counts = _clipped(np.bincount(tiled[at].ravel(), minlength=_BINS), limit)
            curves[at] = counts.cumsum() * (65535 / pixels)
        return curves, tile_height, tile_width


def _clipped(counts: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Cut counts at the limit and spread what is cut off evenly over all bins."""
    kept = np.minimum(counts, limit)
    spread, left_over = divmod(int((counts - kept).sum()), _BINS)
    kept += spread
    if left_over:
        kept[:: max(_BINS // left_over, 1)][:left_over] += 1
    return kept


def _neighbours(length: int, tile: int) -> list[tuple[slice, int, NDArray[Any]]]:
    """Cut a side where the tiles between whose middles its pixels lie change.

    Returns:
        For each stretch: its pixels, the tile before them (-1 = none) and the weight of the tile after them.
    """
    place = np.arange(length, dtype=np.float32) / np.float32(tile) - np.float32(0.5)
    before = np.floor(place).astype(np.int64)
    cuts = [0, *(np.flatnonzero(np.diff(before)) + 1).tolist(), length]
    stretches = (slice(start, stop) for start, stop in pairwise(cuts))
    return [(at, int(before[at][0]), (place - before)[at].astype(np.float32)) for at in stretches]
