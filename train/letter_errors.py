"""How evenly a rectification shows the letters of a synthetic word, and what it cuts off of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from data.synth.geometry import WordGeometry
from rectify.conventions import MARGIN, TEXT_EXTENT, Points, extent_of, grid_points, pixel_centers
from rectify.tps import tps_basis, tps_map
from train.shape_errors import flatten_points

_STEPS = 8
"""Of Newton's method."""
_CLOSE = 1e-3
"""Of the word's half length and height: how exactly a place in the rectified image must be found."""
_BORDER = 33
"""Points along each side of the sampled frame."""
_FRAMES = 9
"""From the canonical one to the sampled one, where that is larger."""
_LETTER = (12, 16)
"""Points along and across a letter's box, each in the middle of its part of it, where the ink is not known."""


@dataclass(frozen=True)
class LetterErrors:
    """The letters of one synthetic word, as they are rectified."""

    height: float | None
    """Standard deviation of the heights (of the word's ink box, at each letter) in % of their mean; None for a single
    letter, or where the spline folds over."""
    spacing: float | None
    """The same of the distances between neighbours' middles, each as a share of what it is on the flat word; None for
    less than three letters."""
    cut_off: float
    """% of the ink that the sampled frame leaves out. In sets that hold no ink letters count with their boxes, a corner
    without ink included."""


def letter_errors(
    points: Points,
    truth: WordGeometry,
    rows: int,
    cols: int,
    margin: tuple[float, float] = MARGIN,
    ink: NDArray[np.bool_] | None = None,
) -> LetterErrors:
    """Compare predicted control points (rows·cols, 2), normalised, with the map that the word was rendered by.

    Args:
        margin: space around the word in the rectified image, see ``Rectifier``.
        ink: where the flat word has ink, over its ink box; None where that is not known.
    """
    columns = np.array(truth.characters or [(-1.0, 1.0)])
    middles = columns.mean(1)
    lines = grid_points(middles, np.array([-1.0, 0.0, 1.0]))
    top, middle, bottom = _rectified_places(lines, points, truth, rows, cols).reshape(3, len(columns), 2)
    steps = np.diff(middles)
    spread = steps > _CLOSE  # an accent over a letter has no distance from it
    return LetterErrors(
        height=_unevenness(np.linalg.norm((bottom - top) * _shape(truth), axis=1)),
        spacing=_unevenness(np.linalg.norm(np.diff(middle, axis=0) * _shape(truth), axis=1)[spread] / steps[spread]),
        cut_off=_cut_off(points, truth, rows, cols, margin, ink),
    )


def _shape(truth: WordGeometry) -> NDArray[np.float64]:
    """Length and height of the canonical frame in text heights, halved."""
    return np.array([truth.length, 1.0]) / 2 / np.array(TEXT_EXTENT)


def _unevenness(values: NDArray[np.float64]) -> float | None:
    """Standard deviation in % of the mean."""
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    return float(100 * values.std() / max(values.mean(), 1e-9))


def _rectified_places(flat: Points, points: Points, truth: WordGeometry, rows: int, cols: int) -> NDArray[np.float64]:
    """Where points (M, 2) of the flat word come to lie in the canonical frame, by Newton's method; NaN where the spline
    takes no place near there to the point."""

    def flattened(places: Points) -> NDArray[np.float64]:
        return flatten_points(tps_map(places, points, rows, cols), truth)

    places = flat * np.array(TEXT_EXTENT)
    hair = 1e-4
    with np.errstate(all="ignore"):  # a spline that folds over may lead anywhere
        for _ in range(_STEPS):
            shifted = [places, places + np.array([hair, 0]), places + np.array([0, hair])]
            at, right, down = flattened(np.concatenate(shifted)).reshape(3, -1, 2)
            (a, c), (b, d) = ((right - at) / hair).T, ((down - at) / hair).T
            x, y = (flat - at).T
            determinant = a * d - b * c
            step = np.stack([d * x - b * y, a * y - c * x], axis=1) / determinant[:, None]
            places = places + np.clip(step, -0.5, 0.5)
        found = np.abs(flattened(places) - flat).max(1) < _CLOSE
    return np.where(found[:, None], places, np.nan)


def _cut_off(
    points: Points,
    truth: WordGeometry,
    rows: int,
    cols: int,
    margin: tuple[float, float],
    ink: NDArray[np.bool_] | None,
) -> float:
    flat, weights = _letter_boxes(truth) if ink is None or not ink.any() else _ink_points(ink)
    places = truth.map(flat)
    # Far from the control points the border may cross itself, and what lies in the loop is shown all the same: by one
    # of the frames between.
    wide = np.array(extent_of(margin))
    narrow = np.minimum(wide, 1.0)
    frames = {tuple((narrow + share * (wide - narrow)).tolist()) for share in np.linspace(0, 1, _FRAMES)}
    shown = [is_inside(places, _border_basis(rows, cols, frame) @ points) for frame in frames]
    outside = ~np.any(shown, axis=0)
    return float(100 * weights[outside].sum() / weights.sum())


def _letter_boxes(truth: WordGeometry) -> tuple[Points, NDArray[np.float64]]:
    """Flat points all over the letters' boxes, and the area that each stands for."""
    along, across = _LETTER
    columns = np.array(truth.characters or [(-1.0, 1.0)])
    lines = np.array(truth.heights or [(-1.0, 1.0)] * len(columns))
    x = columns.mean(1, keepdims=True) + np.diff(columns) / 2 * pixel_centers(along)
    y = lines.mean(1, keepdims=True) + np.diff(lines) / 2 * pixel_centers(across)
    boxes = np.stack(np.broadcast_arrays(x[:, None, :], y[:, :, None]), axis=-1)
    areas = np.diff(columns)[:, 0] * np.diff(lines)[:, 0]
    return boxes.reshape(-1, 2), np.repeat(areas, along * across)


def _ink_points(ink: NDArray[np.bool_]) -> tuple[Points, NDArray[np.float64]]:
    """Flat points in the middle of each pixel with ink, all of one weight."""
    height, width = ink.shape
    places = grid_points(pixel_centers(width), pixel_centers(height))[ink.ravel()]
    return places, np.ones(len(places))


def is_inside(points: Points, polygon: Points) -> NDArray[np.bool_]:
    """Whether points (M, 2) lie inside a polygon (N, 2): whether a ray from them crosses it an odd number of times."""
    x, y = points[:, None, 0], points[:, None, 1]
    start, end = polygon, np.roll(polygon, -1, axis=0)
    across = (start[:, 1] > y) != (end[:, 1] > y)
    rise = end[:, 1] - start[:, 1]
    crossing = start[:, 0] + (y - start[:, 1]) * (end - start)[:, 0] / np.where(rise == 0, 1, rise)
    return np.asarray((across & (x < crossing)).sum(1) % 2 == 1)


@lru_cache(maxsize=64)
def _border_basis(rows: int, cols: int, extent: tuple[float, float]) -> NDArray[np.float64]:
    """Of the sampled frame's border, once around."""
    line = np.linspace(-1, 1, _BORDER)[:-1]
    top, right = np.column_stack([line, -np.ones_like(line)]), np.column_stack([np.ones_like(line), line])
    return tps_basis(np.concatenate([top, right, -top, -right]) * np.array(extent), rows, cols)
