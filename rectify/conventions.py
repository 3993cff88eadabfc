"""The coordinate conventions of the whole project; every other module takes them from here.

Convention:
    * Points are (x, y), float, in the last axis.
    * Normalised coordinates run over [-1, 1] from border to border of an image; the centre of pixel i of n lies at
      (2i + 1)/n - 1 (``align_corners=False`` in torch). A pixel coordinate is ((x + 1)·n - 1)/2, so pixel 0 has its
      centre at 0.0.
    * The canonical frame is the rectified image, [-1, 1]². Control points form a rows × cols grid on it and run row by
      row from the top left; the outer ones lie on its border.
    * The text fills the canonical frame up to a constant margin: ``MARGIN`` of the word's length at each end and of its
      height above and below.
    * Sampling replicates the border. Grids are never clamped.
    * Colour images are RGB, uint8, (H, W, 3); grey ones are (H, W).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.floating]

MARGIN = (0.06, 0.12)
"""Space kept around the word in the canonical frame: (share of its length at each end, share of its height above and
below). Wide enough for the localization error, which would otherwise cost the first or last letter."""

TEXT_EXTENT = (1 / (1 + 2 * MARGIN[0]), 1 / (1 + 2 * MARGIN[1]))
"""Half extents (x, y) of the text outline in the canonical frame."""


MOST_MARGIN = 10.0
"""Times the text's length, or its height."""


def extent_of(margin: tuple[float, float]) -> tuple[float, float]:
    """Half extents (x, y), in the canonical frame, of a picture with this much space around the text (see ``MARGIN``,
    for which it is the frame itself).

    Raises:
        ValueError: a margin that is not (ends, sides), leaves nothing of the text, or next to nothing but space.
    """
    if np.shape(margin) != (2,):
        raise ValueError(f"a margin is (ends, sides), got {margin}")
    along, across = margin
    if not (-0.5 < along <= MOST_MARGIN and -0.5 < across <= MOST_MARGIN):
        raise ValueError(
            f"a margin is two shares of the text's length and height, above -0.5 and at most {MOST_MARGIN:g}, "
            f"like {MARGIN}, got {margin}"
        )
    return (1 + 2 * along) / (1 + 2 * MARGIN[0]), (1 + 2 * across) / (1 + 2 * MARGIN[1])


def pixel_centers(count: int) -> NDArray[np.float64]:
    """Normalised coordinates (count,) of the pixel centres along an axis of ``count`` pixels."""
    return (2 * np.arange(count, dtype=np.float64) + 1) / count - 1


def to_pixels(points: Points, size: ArrayLike) -> Points:
    """Normalised points (..., 2) as pixel coordinates of an image of ``size`` (width, height), or of several images of
    sizes (..., 2) that are broadcast against their points."""
    return ((points + 1) * np.asarray(size, points.dtype) - 1) / 2


def to_pixels_of(points: Points, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Normalised points (N, K, 2) as pixel coordinates, each in its own of N images."""
    sizes = np.array([image.shape[1::-1] for image in images]).reshape(-1, 1, 2)
    return to_pixels(points, sizes).astype(np.float32)


def to_normalized(points: Points, size: tuple[int, int]) -> Points:
    """Pixel coordinates (..., 2) in an image of ``size`` (width, height) as normalised points."""
    return (2 * points + 1) / np.asarray(size, points.dtype) - 1


def grid_points(xs: Points, ys: Points) -> NDArray[np.float64]:
    """All points (len(ys)·len(xs), 2) with these coordinates, row by row."""
    x, y = np.meshgrid(np.asarray(xs, np.float64), np.asarray(ys, np.float64))
    return np.stack([x.ravel(), y.ravel()], axis=1)


@lru_cache(maxsize=16)
def canonical_points(rows: int, cols: int) -> NDArray[np.float64]:
    """The fixed control points (rows·cols, 2) of the canonical frame, row by row from the top left;
    kept and read-only.

    Raises:
        ValueError: fewer than 2 rows or columns; a thin-plate spline needs points that are not on one line.
    """
    if rows < 2 or cols < 2:
        raise ValueError(f"control points need at least 2 rows and 2 columns, got {rows}x{cols}")
    points = grid_points(np.linspace(-1, 1, cols), np.linspace(-1, 1, rows))
    points.flags.writeable = False
    return points


def pixel_grid(height: int, width: int, extent: tuple[float, float] = (1.0, 1.0)) -> NDArray[np.float64]:
    """Pixel centres (height·width, 2) of an image that shows the canonical frame out to ``extent`` (half width, half
    height; 1 is the frame's border, more shows more around the word), row by row."""
    return grid_points(pixel_centers(width) * extent[0], pixel_centers(height) * extent[1])
