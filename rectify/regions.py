"""The region of a word as objects of JSON give it, by whatever name detectors and annotators know it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

REGION_KEYS = ("polygon", "points", "quad", "poly", "vertices")
"""Keys whose value is a list of points [x, y] in pixels of the image."""
BOX_KEYS = ("bbox", "box", "rect")
"""Keys whose value is [left, top, width, height] in pixels of the image, or again a list of points."""


def region_of(values: Mapping[str, Any]) -> NDArray[np.float64] | None:
    """The points (K, 2) of an object's region, None without one of the keys.

    Raises:
        ValueError, TypeError: what stands there is no region.
    """
    for key in (*REGION_KEYS, *BOX_KEYS):
        value = values.get(key)
        if value is None:
            continue
        numbers = np.array(value, np.float64)
        if key in BOX_KEYS and numbers.shape == (4,):
            left, top, width, height = numbers
            return np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (width, height) + (left, top)
        return numbers.reshape(-1, 2)
    return None
