"""Splines that turn over somewhere, and how to bring them back."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rectify.conventions import Points, canonical_points, grid_points
from rectify.tps import affine_projection, tps_basis

FOLD_GRID = (65, 33)
"""Points (along, across) of the canonical frame between which a spline is looked at."""
COARSE_GRID = (13, 25)
"""The same for a first look at all splines; folds lie along the outer rows of control points, so it is finer across."""
SUSPECT = 0.2
"""A spline whose Jacobian falls below this share of its mean on the coarse grid may fold between."""
HALVINGS = 4
"""Steps in which the largest part of a change that does not fold is looked for: to a sixteenth."""


def folds_over(points: Points, rows: int, cols: int) -> NDArray[np.bool_]:
    """Whether the spline turns over (Jacobian <= 0) anywhere in the canonical frame, mirrored splines included.

    Args:
        points: (N, rows·cols, 2).

    Returns:
        (N,) bool.
    """
    jacobians = _jacobians(points, rows, cols, FOLD_GRID)
    return np.asarray((~(jacobians > 0)).any(axis=1))


def unfolded(points: Points, rows: int, cols: int, earlier: Points | None = None) -> Points:
    """The control points (N, rows·cols, 2), those of splines that fold brought back as little as is needed.

    They go towards earlier control points, or to their nearest affine map, which leaves nothing of the bend. Where that
    map is itself mirrored, or flat, the whole crop stands in for it.

    Args:
        points: normalised.
        earlier: (N, rows·cols, 2) that do not fold.
    """
    coarse = _jacobians(points, rows, cols, COARSE_GRID)
    suspect = np.flatnonzero(~(coarse.min(1) > SUSPECT * coarse.mean(1)))
    folded = suspect[folds_over(points[suspect], rows, cols)]
    if not len(folded):
        return points
    start = affine_projection(rows, cols) @ points[folded] if earlier is None else earlier[folded]
    change = points[folded] - start
    if earlier is None:
        start[folds_over(start, rows, cols)] = canonical_points(rows, cols)
    kept, step = np.zeros((len(folded), 1, 1)), 0.5
    for _ in range(HALVINGS):
        kept += step * ~folds_over(start + (kept + step) * change, rows, cols)[:, None, None]
        step /= 2
    result = points.copy()
    result[folded] = start + kept * change
    return result


def _sampled_places(points: Points, rows: int, cols: int, grid: tuple[int, int]) -> Points:
    """Where splines (N, K, 2) take a grid of so many points (along, across) over the canonical frame: (N, 2, across,
    along), planes of x and y."""
    planes = points.transpose(0, 2, 1) @ _basis(rows, cols, grid, points.dtype)
    return np.asarray(planes.reshape(len(points), 2, *grid[::-1]))


def _jacobians(points: Points, rows: int, cols: int, grid: tuple[int, int]) -> Points:
    """At the first and at the last corner of every cell of a grid: (N, 2·cells)."""
    places = _sampled_places(points, rows, cols, grid)
    right, down = np.diff(places, axis=3), np.diff(places, axis=2)
    first = _cross(right[:, :, :-1], down[:, :, :, :-1])
    last = _cross(right[:, :, 1:], down[:, :, :, 1:])
    both = np.stack([first, last], axis=1)
    return both.reshape(len(points), np.prod(both.shape[1:]))


def _cross(a: Points, b: Points) -> Points:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


@lru_cache(maxsize=16)
def _basis(rows: int, cols: int, grid: tuple[int, int], dtype: np.dtype[np.floating]) -> Points:
    """(rows·cols, across·along)."""
    along, across = (np.linspace(-1, 1, count) for count in grid)
    return np.ascontiguousarray(tps_basis(grid_points(along, across), rows, cols).T, dtype)
