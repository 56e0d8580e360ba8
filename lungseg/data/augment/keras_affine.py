"""The random affine maps and flips of Keras' ImageDataGenerator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lungseg.data.augment.base import generator
from lungseg.errors import ConfigError


@dataclass(frozen=True)
class KerasParameters:
    """The drawn values of one sample, in the order of drawing, and the map they make.

    theta_degrees: rotation. shift_rows, shift_columns: pixels. shear_degrees: of the column axis. zoom_rows,
    zoom_columns: factors, above 1 = shows more. flip_columns: left-right, flip_rows: upside down. matrix: (2, 3)
    float64, maps output (row, column, 1) to input (row, column), pixel centres at whole numbers.
    """

    theta_degrees: float
    shift_rows: float
    shift_columns: float
    shear_degrees: float
    zoom_rows: float
    zoom_columns: float
    flip_columns: bool
    flip_rows: bool
    matrix: NDArray[np.float64]


class KerasAffine:
    """Rotate, shift, shear and zoom about the centre, then flip, as `ImageDataGenerator` of TensorFlow 2.1 does.

    With coordinates (row, column), c the centre and T the shift, an output pixel x reads the input at

        c + R (T + S Z (x' - c)),   R = [[cos t, -sin t], [sin t, cos t]],   S = [[1, -sin s], [0, cos s]],
                                    Z = diag(zoom_rows, zoom_columns),

    where x' is x after the flips are undone. The values are drawn in Keras' order (t, rows, columns, s, zooms,
    left-right, upside down), each from its own symmetric uniform range, though not by Keras' generator: here they are a
    pure function of seed, epoch and sample.

    Images are sampled bilinearly and reflected at the border with the edge pixel repeated (`fill_mode="reflect"`, the
    "reflect" of scipy, cv2.BORDER_REFLECT). Masks take the same map, bilinearly and with the same reflection, and a
    pixel belongs to a structure where the result is above 1/2 (np.round sends 1/2 to 0). A reflected lung is thus a
    lung, as it is to the authors' code.

    The centre of TensorFlow 2.1 lies at size / 2 + 1/2, one pixel off the middle of the pixel grid, (size - 1) / 2, in
    both directions; keras-preprocessing corrected this in October 2020
    (https://github.com/keras-team/keras-preprocessing/pull/314). `centre_offset` says which is meant.

    Single samples and batches are moved by the same code of torch: cv2 before version 5 rounds places to 1/32 pixel in
    `warpAffine` and `remap`, which is up to 6 grey levels of 255 wrong at sharp edges. With noise of 300 x 340 pixels
    and scipy.ndimage.affine_transform for comparison, grey values agree within 0.02 levels before they are rounded, and
    within 0.52 after.

    Args:
        rotation_degrees: largest angle t.
        height_shift: largest shift of rows as a share of the height.
        width_shift: largest shift of columns as a share of the width.
        shear_degrees: largest angle s.
        zoom: largest relative change of either zoom, 0.1 = 0.9 to 1.1.
        horizontal_flip: probability of a left-right flip, which moves the heart to the right side.
        vertical_flip: probability of a flip upside down.
        centre_offset: the centre lies at size / 2 + this: 0.5 as in TensorFlow 2.1, -0.5 the true middle.

    Raises:
        ConfigError: a probability lies outside [0, 1] or `zoom` outside [0, 1).

    Source:
        The code of the paper `res_cr_net`, whose values are the defaults; keras-preprocessing 1.1.0,
        `get_random_transform` and `apply_affine_transform`.
    """

    def __init__(
        self,
        *,
        rotation_degrees: float = 90.0,
        height_shift: float = 0.1,
        width_shift: float = 0.1,
        shear_degrees: float = 15.0,
        zoom: float = 0.1,
        horizontal_flip: float = 0.5,
        vertical_flip: float = 0.5,
        centre_offset: float = 0.5,
    ) -> None:
        for name, value in (("horizontal_flip", horizontal_flip), ("vertical_flip", vertical_flip)):
            if not 0 <= value <= 1:
                msg = f"augment.{name}={value} is a probability and must be in [0, 1]"
                raise ConfigError(msg)
        if not 0 <= zoom < 1:
            msg = f"augment.zoom={zoom} must be in [0, 1): 0.1 zooms by 0.9 to 1.1"
            raise ConfigError(msg)
        self.rotation_degrees = float(rotation_degrees)
        self.height_shift = float(height_shift)
        self.width_shift = float(width_shift)
        self.shear_degrees = float(shear_degrees)
        self.zoom = float(zoom)
        self.horizontal_flip = float(horizontal_flip)
        self.vertical_flip = float(vertical_flip)
        self.centre_offset = float(centre_offset)

    def sample(self, *, seed: int, epoch: int, key: int, height: int, width: int) -> KerasParameters:
        """Draw the parameters of one sample in one epoch: a pure function of its arguments."""
        draws = generator(seed, epoch, key).random(8)
        turn, rows, columns, lean, tall, wide = (2 * float(u) - 1 for u in draws[:6])
        theta, shear = self.rotation_degrees * turn, self.shear_degrees * lean
        shift = np.array([self.height_shift * rows * height, self.width_shift * columns * width])
        zooms = np.array([1 + self.zoom * tall, 1 + self.zoom * wide])
        flip_columns, flip_rows = bool(draws[6] < self.horizontal_flip), bool(draws[7] < self.vertical_flip)
        return KerasParameters(
            theta,
            float(shift[0]),
            float(shift[1]),
            shear,
            float(zooms[0]),
            float(zooms[1]),
            flip_columns,
            flip_rows,
            self._matrix(theta, shift, shear, zooms, np.array([flip_rows, flip_columns]), np.array([height, width])),
        )

    def _matrix(
        self,
        theta: float,
        shift: NDArray[np.float64],
        shear: float,
        zooms: NDArray[np.float64],
        flips: NDArray[np.bool_],
        size: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Return the map of output to input; all pairs are (rows, columns)."""
        t, s = math.radians(theta), math.radians(shear)
        turned = np.array([[math.cos(t), -math.sin(t)], [math.sin(t), math.cos(t)]])
        sheared = np.array([[1.0, -math.sin(s)], [0.0, math.cos(s)]])
        linear = turned @ sheared @ np.diag(zooms)
        centre = size / 2 + self.centre_offset
        offset = centre + turned @ shift - linear @ centre
        # the flips come after the map: output place x is place size - 1 - x of the map's output
        offset = offset + linear @ np.where(flips, size - 1.0, 0.0)
        return np.column_stack([linear * np.where(flips, -1.0, 1.0), offset])

    def __call__(
        self, image: NDArray[Any], masks: NDArray[np.uint8], *, seed: int, epoch: int, key: int
    ) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Change one sample: (H, W) integers and (P, H, W) uint8 masks.

        At 300 x 340 with one mask this takes 1.1 ms on one core (scipy, as Keras calls it, 4.7 ms).
        """
        height, width = image.shape
        drawn = self.sample(seed=seed, epoch=epoch, key=key, height=height, width=width)
        planes = np.concatenate([image[None].astype(np.float32), masks.astype(np.float32)])
        moved = _warped(torch.from_numpy(planes)[None], [drawn])[0].numpy()
        # half a level up and cut: rounding without a pass of its own; values lie within the dtype's range
        return (moved[0] + np.float32(0.5)).astype(image.dtype), (moved[1:] > 0.5).astype(np.uint8)

    def apply_batch(self, image: Tensor, mask: Tensor, drawn: list[KerasParameters]) -> tuple[Tensor, Tensor]:
        """Apply drawn parameters to a whole batch where it lies (for a store that lives on the device).

        Args:
            image: (B, 1, H, W) float32 in [0, 1].
            mask: (B, P, H, W) uint8 in {0, 1}.
            drawn: B parameters.

        Returns:
            Image and mask of the same shapes; grey values differ from those of single samples by their rounding only.
        """
        moved = _warped(torch.cat([image, mask.to(image.dtype)], 1), drawn)
        return moved[:, :1], (moved[:, 1:] > 0.5).to(torch.uint8)


def _warped(planes: Tensor, drawn: list[KerasParameters]) -> Tensor:
    """Sample (B, C, H, W) float32 planes at the places of B parameters."""
    height, width = planes.shape[-2:]
    matrices = torch.as_tensor(np.stack([p.matrix for p in drawn]), device=planes.device)
    # places are computed in float64: float32 would lose 1e-4 pixel of 1000
    rows = torch.arange(height, dtype=torch.float64, device=planes.device)[:, None]
    columns = torch.arange(width, dtype=torch.float64, device=planes.device)
    places = [
        m[:, 0, None, None] * rows + m[:, 1, None, None] * columns + m[:, 2, None, None] for m in matrices.unbind(1)
    ]
    # grid_sample wants (x, y) in [-1, 1] from the outer edge of the first pixel to that of the last
    units = [(2 * place + 1) / side - 1 for place, side in zip(reversed(places), (width, height), strict=True)]
    grid = torch.stack(units, -1).to(planes.dtype)
    return torch.nn.functional.grid_sample(planes, grid, padding_mode="reflection", align_corners=False)
