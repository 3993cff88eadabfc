"""The spline as a constant matrix: exact cases, a spline solved anew for each set of points, properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from rectify.conventions import MARGIN, TEXT_EXTENT, canonical_points, pixel_centers, pixel_grid
from rectify.tps import grid_basis, grid_planes, outline_basis, plane_basis, text_outline, tps_basis, tps_map

GRIDS = [(2, 2), (2, 10), (3, 3), (5, 5), (7, 7), (3, 10)]
Array = NDArray[np.float64]


def random_points(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-1.5, 1.5, (count, 2))


def solved_spline(control: Array, targets: Array, points: Array) -> Array:
    """The textbook: solve the spline's system for these targets, then sum its terms, point by point."""

    def radial(p: Array, q: Array) -> float:
        r = math.dist(p, q)
        return r**2 * math.log(r**2) if r > 0 else 0.0

    count = len(control)
    system = np.zeros((count + 3, count + 3))
    for i in range(count):
        for j in range(count):
            system[i, j] = radial(control[i], control[j])
        system[i, count:] = system[count:, i] = [1.0, *control[i]]
    weights = np.linalg.solve(system, np.concatenate([targets, np.zeros((3, 2))]))
    terms = [[*(radial(p, c) for c in control), 1.0, *p] for p in points]
    return np.array(terms) @ weights


@pytest.mark.parametrize(("rows", "cols"), GRIDS)
def test_control_points_are_reproduced(rows: int, cols: int) -> None:
    basis = tps_basis(canonical_points(rows, cols), rows, cols)
    np.testing.assert_allclose(basis, np.eye(rows * cols), atol=1e-11)


@pytest.mark.parametrize(("rows", "cols"), GRIDS)
def test_rows_sum_to_one(rows: int, cols: int) -> None:
    np.testing.assert_allclose(tps_basis(random_points(50), rows, cols).sum(1), 1, atol=1e-11)


@pytest.mark.parametrize(("rows", "cols"), GRIDS)
def test_affine_maps_are_exact(rows: int, cols: int) -> None:
    matrix, shift = np.array([[0.7, -0.4], [0.2, 1.3]]), np.array([0.3, -0.1])
    points = random_points(50)
    mapped = tps_basis(points, rows, cols) @ (canonical_points(rows, cols) @ matrix.T + shift)
    np.testing.assert_allclose(mapped, points @ matrix.T + shift, atol=1e-11)


@pytest.mark.parametrize(("rows", "cols"), GRIDS)
def test_agrees_with_a_spline_solved_for_the_points(rows: int, cols: int) -> None:
    control = canonical_points(rows, cols)
    targets = control + np.random.default_rng(1).normal(0, 0.2, control.shape)
    points = random_points(20, seed=2)
    np.testing.assert_allclose(
        tps_basis(points, rows, cols) @ targets, solved_spline(control, targets, points), atol=1e-9
    )


@given(arrays(np.float64, (25, 2), elements=st.floats(-2, 2)), st.floats(-3, 3), st.floats(-3, 3))
def test_moving_the_points_moves_the_grid(points: Array, dx: float, dy: float) -> None:
    basis, shift = tps_basis(pixel_grid(4, 6), 5, 5), np.array([dx, dy])
    np.testing.assert_allclose(basis @ (points + shift), basis @ points + shift, atol=1e-9)


@given(arrays(np.float64, (9, 2), elements=st.floats(-2, 2)))
def test_mirrored_points_give_the_mirrored_grid(points: Array) -> None:
    grid = (tps_basis(pixel_grid(4, 6), 3, 3) @ points).reshape(4, 6, 2)
    mirrored = points.reshape(3, 3, 2)[:, ::-1].reshape(9, 2)
    np.testing.assert_allclose(
        (tps_basis(pixel_grid(4, 6), 3, 3) @ mirrored).reshape(4, 6, 2), grid[:, ::-1], atol=1e-9
    )


def test_identity_grid_is_within_a_thousandth_of_a_pixel() -> None:
    grid = grid_basis(5, 5, 64, 192) @ canonical_points(5, 5).astype(np.float32)
    error = (grid - pixel_grid(64, 192)) * (96, 32)
    assert np.abs(error).max() < 1e-3


def test_grid_basis_is_kept_and_cannot_be_changed() -> None:
    basis = grid_basis(3, 4, 5, 6)
    assert basis is grid_basis(3, 4, 5, 6)
    assert basis.shape == (30, 12)
    assert basis.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        basis[0, 0] = 1


def test_grid_basis_takes_the_extent() -> None:
    grid = grid_basis(2, 2, 1, 2, (2.0, 1.0)) @ canonical_points(2, 2)
    np.testing.assert_allclose(grid, [[-1, 0], [1, 0]], atol=1e-6)


@pytest.mark.parametrize(("rows", "cols"), GRIDS)
def test_text_outline_takes_exactly_the_margin_off(rows: int, cols: int) -> None:
    length, height = 300.0, 40.0
    framed = canonical_points(rows, cols) * (length * (1 + 2 * MARGIN[0]) / 2, height * (1 + 2 * MARGIN[1]) / 2)
    outline = text_outline(framed, rows, cols, 3)
    expected = [[-150, -20], [0, -20], [150, -20], [150, 20], [0, 20], [-150, 20]]
    np.testing.assert_allclose(outline, expected, atol=1e-9)


def test_text_outline_takes_batches_and_keeps_the_dtype() -> None:
    points = np.stack([canonical_points(5, 5)] * 3).astype(np.float32)
    outline = text_outline(points, 5, 5, 4)
    assert outline.shape == (3, 8, 2)
    assert outline.dtype == np.float32
    np.testing.assert_allclose(outline[2, 0], [-TEXT_EXTENT[0], -TEXT_EXTENT[1]], atol=1e-6)


def test_outline_basis_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        outline_basis(5, 5)[0, 0] = 1


@pytest.mark.parametrize(
    ("rows", "cols", "size"), [(2, 2, (3, 5)), (5, 5, (32, 100)), (7, 7, (20, 61)), (2, 10, (1, 1))]
)
def test_a_grid_without_a_basis_is_the_same_grid(rows: int, cols: int, size: tuple[int, int]) -> None:
    """One control point lies on a pixel of the 61: there the distance is zero."""
    points = canonical_points(rows, cols) * (200, 60) + np.random.default_rng(0).normal(0, 5, (rows * cols, 2))
    exact = tps_basis(pixel_grid(*size, (1.0, 1.1)), rows, cols) @ points
    planes = grid_planes(points, rows, cols, pixel_centers(size[1]), pixel_centers(size[0]) * 1.1)
    assert planes.shape == (2, *size)
    np.testing.assert_allclose(planes.reshape(2, -1).T, exact, atol=1e-3)
    kept = points.T.astype(np.float32) @ plane_basis(rows, cols, *size, (1.0, 1.1))
    np.testing.assert_allclose(kept.T, exact, atol=2e-3)


def test_a_grid_without_a_basis_meets_the_control_points() -> None:
    points = np.random.default_rng(1).normal(0, 50, (25, 2))
    planes = grid_planes(points, 5, 5, np.linspace(-1, 1, 5), np.linspace(-1, 1, 5))
    np.testing.assert_allclose(planes.reshape(2, -1).T, points, atol=1e-3)


@pytest.mark.parametrize(("dtype", "exact"), [(np.float64, 1e-11), (np.float32, 1e-4)])
def test_points_asked_about_once_are_those_of_the_basis(dtype: type[np.floating], exact: float) -> None:
    rng = np.random.default_rng(0)
    points, control = rng.uniform(-1.2, 1.2, (3, 40, 2)), canonical_points(7, 7) + rng.normal(0, 0.2, (3, 49, 2))
    mapped = tps_map(points.astype(dtype), control.astype(dtype), 7, 7)
    assert mapped.dtype == dtype
    np.testing.assert_allclose(mapped, tps_basis(points, 7, 7) @ control, atol=exact)
