"""A picture of where a word was found: control points, their grid and the text's outline drawn on the crop."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rectify.conventions import Points, canonical_points
from rectify.images import Image
from rectify.shape import resize
from rectify.tps import text_outline, tps_map

TARGET_WIDTH, TARGET_HEIGHT = 960, 360
"""Small crops are enlarged to about this, so that the lines do not hide the word."""

MAX_SCALE = 16
MAX_DRAWN_SIDE = 4096

GRID_COLOR = (0, 150, 255)
GRID_OPACITY = 0.6
OUTLINE_COLOR = (255, 80, 64)
POINT_COLOR = (255, 214, 0)
HALO_COLOR = (0, 0, 0)
PADDING_COLOR = 96
"""Grey around the crop, where points lie outside of it."""

_SUBPIXEL_BITS = 4


def draw_overlay(image: Image, control_points: Points, rows: int, cols: int) -> Image:
    """The crop, enlarged if it is small, with the grid of control points and the text's outline.

    Args:
        image: (H, W) or (H, W, C) uint8.
        control_points: (rows·cols, 2) in pixels of the image.

    Returns:
        (h, w, 3) uint8 RGB, with a grey rim where points lie outside of the crop.
    """
    canvas, scale, shift = _canvas(image, control_points)
    points = (np.asarray(control_points, np.float64) + 0.5) * scale - 0.5 + shift
    line = max(2, round(min(canvas.shape[:2]) / 200))
    drawn = canvas.copy()
    for curve in _grid_curves(points, rows, cols):
        _draw_curve(drawn, curve, GRID_COLOR, line, closed=False)
    canvas = cv2.addWeighted(drawn, GRID_OPACITY, canvas, 1 - GRID_OPACITY, 0).astype(np.uint8)
    outline = text_outline(points, rows, cols, 65)
    _draw_curve(canvas, outline, HALO_COLOR, line + 2, closed=True)
    _draw_curve(canvas, outline, OUTLINE_COLOR, line, closed=True)
    for x, y in points:
        _draw_dot(canvas, (x, y), HALO_COLOR, 2 * line + 2)
        _draw_dot(canvas, (x, y), POINT_COLOR, 2 * line + 1)
    return canvas


def _canvas(image: Image, control_points: Points) -> tuple[Image, NDArray[np.float64], NDArray[np.float64]]:
    """An RGB copy of the crop at drawing size with a rim for the points outside, the scale (x, y) and the shift (x, y)
    that take the crop's pixels to its own."""
    height, width = image.shape[:2]
    factor = min(TARGET_WIDTH / width, TARGET_HEIGHT / height, MAX_SCALE)
    factor = min(max(1.0, factor), MAX_DRAWN_SIDE / max(width, height))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    scale = np.array(size) / (width, height)
    # A rim of at most half the crop: points far outside are cut off rather than leave the word tiny.
    limit = np.array(size) // 2
    points = (np.asarray(control_points, np.float64) + 0.5) * scale
    low = np.clip(np.ceil(-points.min(0)) + 8, 8, limit + 8).astype(int)
    high = np.clip(np.ceil(points.max(0) - size) + 8, 8, limit + 8).astype(int)
    canvas = np.full((size[1] + low[1] + high[1], size[0] + low[0] + high[0], 3), PADDING_COLOR, np.uint8)
    drawn = resize(image, size)
    canvas[low[1] : low[1] + size[1], low[0] : low[0] + size[0]] = drawn if drawn.ndim == 3 else drawn[:, :, None]
    return canvas, scale, low.astype(np.float64)


def _grid_curves(points: Points, rows: int, cols: int) -> list[Points]:
    """The splines (M, 2) through each row and each column of the control points."""
    canonical = canonical_points(rows, cols).reshape(rows, cols, 2)
    steps = np.linspace(-1, 1, 65)
    curves: list[Points] = []
    for y in canonical[:, 0, 1]:
        curves.append(tps_map(np.column_stack([steps, np.full_like(steps, y)]), points, rows, cols))
    for x in canonical[0, :, 0]:
        curves.append(tps_map(np.column_stack([np.full_like(steps, x), steps]), points, rows, cols))
    return curves


def _draw_curve(canvas: Image, curve: Points, color: tuple[int, int, int], line: int, closed: bool) -> None:
    cv2.polylines(canvas, [_fixed(curve)], closed, color, line, cv2.LINE_AA, _SUBPIXEL_BITS)


def _draw_dot(canvas: Image, center: tuple[float, float], color: tuple[int, int, int], radius: int) -> None:
    x, y = _fixed(np.array(center)).tolist()
    cv2.circle(canvas, (x, y), radius << _SUBPIXEL_BITS, color, -1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _fixed(points: Points) -> NDArray[np.int32]:
    """Coordinates in OpenCV's fixed point; what is far outside is drawn just outside."""
    return np.rint(np.clip(points, -1e5, 1e5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
