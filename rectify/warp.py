"""Sampling an image flat along its control points, in numpy and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rectify.conventions import Points, pixel_grid
from rectify.shape import resize
from rectify.tps import grid_basis, tps_basis

SHRINK_THRESHOLD = 1.25
"""Source pixels per output pixel along an axis from which the source is averaged first: bilinear sampling alone would
skip pixels (aliasing)."""

KEPT_PIXELS = 32 * 512
"""Outputs up to the recogniser's widest keep their basis; larger ones come in strips, so that memory stays bounded."""

STRIP_PIXELS = 1 << 16


def warp(
    image: NDArray[np.uint8],
    points: Points,
    rows: int,
    cols: int,
    size: tuple[int, int],
    extent: tuple[float, float] = (1.0, 1.0),
) -> NDArray[np.uint8]:
    """The image sampled along the spline through the control points.

    Args:
        image: (H, W) or (H, W, C) uint8.
        points: (rows·cols, 2) control points in pixels of ``image``.
        size: (width, height) of the result.
        extent: how far the result shows the canonical frame (see ``conventions.pixel_grid``).

    Returns:
        (height, width) or (height, width, C) uint8. Bilinear, averaged where it shrinks, border replicated.
    """
    width, height = size
    source, points = image, np.asarray(points, np.float64)
    shrink = _shrink_factors(points, rows, cols, size, extent)
    if max(shrink) > SHRINK_THRESHOLD:
        source, points = _shrunk(image, points, shrink)
    result = np.empty((height, width, *image.shape[2:]), np.uint8)
    if width * height <= KEPT_PIXELS:
        _remap(source, grid_basis(rows, cols, height, width, extent), points, result)
        return result
    grid = pixel_grid(height, width, extent)
    strip = max(1, STRIP_PIXELS // width)
    for top in range(0, height, strip):
        part = result[top : top + strip]
        basis = tps_basis(grid[top * width : top * width + len(part) * width], rows, cols)
        _remap(source, basis, points, part)
    return result


def _remap(source: NDArray[np.uint8], basis: Points, points: Points, result: NDArray[np.uint8]) -> None:
    """Fills ``result`` (h, w[, C]) with the source at ``basis @ points``."""
    # The product is taken around the middle of the points: in float32 its error grows with the coordinates' size.
    middle = points.mean(0)
    grid = basis @ (points - middle).astype(basis.dtype) + middle
    grid = grid.astype(np.float32).reshape(*result.shape[:2], 2)
    sampled = cv2.remap(source, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    result[...] = sampled.reshape(result.shape)  # OpenCV drops a single channel's axis


def _shrink_factors(
    points: Points, rows: int, cols: int, size: tuple[int, int], extent: tuple[float, float]
) -> tuple[float, float]:
    """Source pixels per output pixel along the source's x and y, a mean over the result."""
    # The mean slope between neighbours of a coarse grid over the result; a fine one would say the same.
    steps = 8
    coarse = grid_basis(rows, cols, steps, steps, extent) @ points
    coarse = coarse.reshape(steps, steps, 2)
    along_x = np.diff(coarse, axis=1) * (steps / size[0])
    along_y = np.diff(coarse, axis=0) * (steps / size[1])
    x, y = np.sqrt((along_x**2).mean((0, 1)) + (along_y**2).mean((0, 1)))
    return float(x), float(y)


def _shrunk(image: NDArray[np.uint8], points: Points, factors: tuple[float, float]) -> tuple[NDArray[np.uint8], Points]:
    """The image averaged down by the factors above the threshold, and the points in its pixels."""
    height, width = image.shape[:2]
    new_width, new_height = (
        max(1, round(side / factor)) if factor > SHRINK_THRESHOLD else side
        for side, factor in zip((width, height), factors, strict=True)
    )
    scale = np.array([new_width / width, new_height / height])
    return resize(image, (new_width, new_height)), (points + 0.5) * scale - 0.5
