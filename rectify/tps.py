"""The thin-plate spline as a constant matrix: with fixed canonical points it is linear in the predicted ones."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rectify.arrays import Array, like, namespace
from rectify.conventions import TEXT_EXTENT, Points, canonical_points, pixel_grid


def tps_basis(points: Array, rows: int, cols: int) -> Array:
    """Weights of the control points at any points of the canonical frame.

    ``tps_basis(p, rows, cols) @ control_points`` is where the spline through the control points takes ``p``.

    Args:
        points: (..., 2) points of the canonical frame, normalised; numpy, or torch to differentiate in them.
        rows, cols: grid of control points, at least 2 × 2.

    Returns:
        (..., rows·cols), float64 in numpy, the points' dtype in torch. Each row sums to one; affine maps are
        reproduced exactly.

    Source: Bookstein, "Principal Warps", PAMI 1989; the inverse of its system is taken once, here, because the
    canonical points never move (Shi et al., RARE, CVPR 2016, section 3.1.2).
    """
    if namespace(points) is np:
        points = np.asarray(points, np.float64)
    features = _features(points, rows, cols)
    return features @ like(points, _coefficients(rows, cols))


def tps_map(points: Array, control_points: Array, rows: int, cols: int) -> Array:
    """``tps_basis(points, rows, cols) @ control_points`` for points that are asked about once, in half the time.

    Args:
        points: (..., M, 2) floats, points of the canonical frame, normalised.
        control_points: (..., rows·cols, C).

    Returns:
        (..., M, C) of the points' dtype.
    """
    weights = like(control_points, _coefficients(rows, cols)) @ control_points
    return _features(points, rows, cols) @ like(points, weights)


@lru_cache(maxsize=64)
def grid_basis(
    rows: int, cols: int, height: int, width: int, extent: tuple[float, float] = (1.0, 1.0)
) -> NDArray[np.float32]:
    """Basis (height·width, rows·cols) of an output image's pixel centres, float32, read-only, kept.

    ``extent`` is how far the output shows the canonical frame (see ``conventions.pixel_grid``).
    """
    basis = tps_basis(pixel_grid(height, width, extent), rows, cols).astype(np.float32)
    basis.flags.writeable = False
    return basis


@lru_cache(maxsize=64)
def plane_basis(
    rows: int, cols: int, height: int, width: int, extent: tuple[float, float] = (1.0, 1.0)
) -> NDArray[np.float32]:
    """``grid_basis`` the other way round (rows·cols, height·width): control points (2, rows·cols) times it are the
    planes of x and y, in half the time. Kept and read-only as well."""
    basis = tps_basis(pixel_grid(height, width, extent), rows, cols).T.astype(np.float32, order="C")
    basis.flags.writeable = False
    return basis


def grid_planes(
    control_points: Points, rows: int, cols: int, xs: NDArray[np.float64], ys: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Where the spline takes the points with these coordinates of the canonical frame, without a basis.

    For grids that are wanted once: the basis of a grid costs as much as ten of them.

    Args:
        control_points: (rows·cols, 2).
        xs, ys: (W,) and (H,) normalised.

    Returns:
        (2, H, W): the planes of x and y.
    """
    control = canonical_points(rows, cols)
    coefficients = _coefficients(rows, cols) @ control_points
    # A squared distance is a part from x and a part from y, few of each; float32 is off by 1e-6 of the points' span.
    from_x = ((xs - control[:cols, :1]) ** 2).astype(np.float32)
    from_y = ((ys - control[::cols, 1:]) ** 2 + np.finfo(np.float32).tiny).astype(np.float32)  # log 0 is no number
    squared = from_y[:, None, :, None] + from_x[None, :, None, :]
    radial = np.log(squared)
    radial *= squared
    weights = coefficients[:-3].T.astype(np.float32)
    planes = (weights @ radial.reshape(rows * cols, -1)).reshape(2, len(ys), len(xs))
    constant, along_x, along_y = coefficients[-3:, :, None, None]
    planes += constant + along_x * xs + along_y * ys[:, None]
    return planes


@lru_cache(maxsize=16)
def outline_basis(
    rows: int, cols: int, samples: int = 17, extent: tuple[float, float] = TEXT_EXTENT
) -> NDArray[np.float64]:
    """Basis (2·samples, rows·cols) of the text's outline: ``samples`` points along the top edge from left to right,
    then as many along the bottom edge from right to left."""
    x = np.linspace(-extent[0], extent[0], samples)
    top = np.column_stack([x, np.full(samples, -extent[1])])
    basis = tps_basis(np.concatenate([top, -top]), rows, cols)
    basis.flags.writeable = False
    return basis


def text_outline(control_points: Points, rows: int, cols: int, samples: int = 17) -> Points:
    """The word's outline without the margin.

    Args:
        control_points: (..., rows·cols, 2), normalised or in pixels.

    Returns:
        (..., 2·samples, 2) in the same coordinates: the top edge from left to right, then the bottom edge back.
    """
    return outline_basis(rows, cols, samples).astype(control_points.dtype) @ control_points


@lru_cache(maxsize=16)
def affine_projection(rows: int, cols: int) -> NDArray[np.float64]:
    """Matrix (rows·cols, rows·cols) that takes control points to those of their nearest affine map, by least squares.
    Kept and read-only."""
    canonical = canonical_points(rows, cols)
    terms = np.column_stack([np.ones(len(canonical)), canonical])
    projection = terms @ np.linalg.pinv(terms)
    projection.flags.writeable = False
    return np.asarray(projection)


@lru_cache(maxsize=16)
def _coefficients(rows: int, cols: int) -> Points:
    """Spline coefficients of each control point (rows·cols + 3, rows·cols): the inverse of the spline's system without
    the columns that meet zeros."""
    control = canonical_points(rows, cols)
    count = len(control)
    affine = np.column_stack([np.ones(count), control])
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _radial(control, control)
    system[:count, count:] = affine
    system[count:, :count] = affine.T
    return np.linalg.inv(system)[:, :count]


def _features(points: Array, rows: int, cols: int) -> Array:
    """What the spline is a weighted sum of (..., rows·cols + 3): distances to the canonical points, 1, x and y."""
    xp = namespace(points)
    radial = _radial(points, like(points, canonical_points(rows, cols)))
    return xp.concatenate([radial, xp.ones_like(points[..., :1]), points], axis=-1)


def _radial(a: Array, b: Array) -> Array:
    """r² log r² between each of a (..., 2) and each of b (K, 2), (..., K); zero at r = 0."""
    xp = namespace(a)
    squared = (a[..., None, 0] - b[:, 0]) ** 2 + (a[..., None, 1] - b[:, 1]) ** 2
    return squared * xp.log(xp.where(squared > 0, squared, 1.0))
