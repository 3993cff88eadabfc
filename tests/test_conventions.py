"""Each line of the convention block, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rectify.conventions import (
    MARGIN,
    TEXT_EXTENT,
    canonical_points,
    grid_points,
    pixel_centers,
    pixel_grid,
    to_normalized,
    to_pixels,
)

sizes = st.tuples(st.integers(1, 5000), st.integers(1, 5000))
coordinates = st.floats(-3, 3)


def test_pixel_centers_lie_half_a_pixel_inside() -> None:
    assert pixel_centers(4).tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert pixel_centers(1).tolist() == [0.0]


def test_first_pixel_has_its_center_at_zero() -> None:
    assert to_pixels(np.array([-0.75, 0.0]), (4, 1)).tolist() == [0.0, 0.0]


def test_borders_lie_half_a_pixel_outside_the_centers() -> None:
    corners = np.array([[-1.0, -1.0], [1.0, 1.0]])
    assert to_pixels(corners, (10, 4)).tolist() == [[-0.5, -0.5], [9.5, 3.5]]


@pytest.mark.parametrize("count", [1, 2, 3, 32, 101])
def test_pixel_centers_are_whole_pixels(count: int) -> None:
    points = np.stack([pixel_centers(count), np.zeros(count)], axis=1)
    np.testing.assert_allclose(to_pixels(points, (count, 1))[:, 0], np.arange(count), atol=1e-12)


@given(coordinates, coordinates, sizes)
def test_pixels_and_normalized_are_inverse(x: float, y: float, size: tuple[int, int]) -> None:
    points = np.array([[x, y]])
    np.testing.assert_allclose(to_normalized(to_pixels(points, size), size), points, atol=1e-12)


def test_conversions_keep_the_dtype() -> None:
    points = np.zeros((3, 2), np.float32)
    assert to_pixels(points, (7, 5)).dtype == np.float32
    assert to_normalized(points, (7, 5)).dtype == np.float32


def test_canonical_points_run_row_by_row_from_the_top_left() -> None:
    expected = [[-1, -1], [0, -1], [1, -1], [-1, 1], [0, 1], [1, 1]]
    assert canonical_points(2, 3).tolist() == expected


@pytest.mark.parametrize(("rows", "cols"), [(1, 5), (5, 1), (0, 0)])
def test_a_line_of_control_points_is_refused(rows: int, cols: int) -> None:
    with pytest.raises(ValueError, match=f"{rows}x{cols}"):
        canonical_points(rows, cols)


def test_canonical_points_cannot_be_changed() -> None:
    """They are kept."""
    with pytest.raises(ValueError, match="read-only"):
        canonical_points(3, 4)[0] = 0


def test_grid_points_are_x_y() -> None:
    assert grid_points(np.array([1, 2]), np.array([5, 6])).tolist() == [[1, 5], [2, 5], [1, 6], [2, 6]]


def test_pixel_grid_shows_the_frame_out_to_its_extent() -> None:
    assert pixel_grid(1, 2).tolist() == [[-0.5, 0.0], [0.5, 0.0]]
    assert pixel_grid(2, 1, (0.5, 3.0)).tolist() == [[0.0, -1.5], [0.0, 1.5]]


def test_text_and_its_margins_fill_the_frame() -> None:
    for extent, margin in zip(TEXT_EXTENT, MARGIN, strict=True):
        assert extent * 2 * (1 + 2 * margin) == pytest.approx(2)
