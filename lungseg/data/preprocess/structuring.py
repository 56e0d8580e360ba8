"""Structuring elements of grey-value and mask morphology."""

from __future__ import annotations

from typing import Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from lungseg.errors import ConfigError, near_name

Shape = Literal["rect", "ellipse", "cross"]

_SHAPES = {"rect": cv2.MORPH_RECT, "ellipse": cv2.MORPH_ELLIPSE, "cross": cv2.MORPH_CROSS}


def odd_side(side: int, key: str) -> int:
    """Return the side of a square kernel, which must have a middle pixel.

    Args:
        side: pixels.
        key: where the value stands in the config, for the message.

    Raises:
        ConfigError: `side` is no odd number from 3 on.
    """
    if int(side) != side or side < 3 or side % 2 == 0:
        msg = f"{key}={side} must be an odd number of pixels, 3 or more"
        raise ConfigError(msg)
    return int(side)


def check_shape(shape: str, key: str) -> Shape:
    """Return the name of an element's shape.

    Args:
        shape: `rect`, `ellipse` or `cross`.
        key: where the value stands in the config, for the message.

    Raises:
        ConfigError: there is no such shape.
    """
    if shape not in _SHAPES:
        near = near_name(shape, _SHAPES)
        msg = f"{key}={shape} is none of {', '.join(_SHAPES)}" + (f"; did you mean {near}?" if near else "")
        raise ConfigError(msg)
    return cast("Shape", shape)


def structuring_element(side: int, shape: Shape) -> NDArray[np.uint8]:
    """Return a (side, side) uint8 element, 1 where it takes part.

    Example:
        >>> structuring_element(3, "ellipse").tolist()
        [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    """
    return np.asarray(cv2.getStructuringElement(_SHAPES[shape], (side, side)), np.uint8)
